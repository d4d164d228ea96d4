"""The task that lists a run's input files and deals them to chunks."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from routing_core import log
from routing_core.settings import Settings
from routing_core.steps.means import as_opened
from routing_core.steps.watch import tell_passed_over
from routing_core.store import carry, chunks, files, inputs, runs
from routing_core.store.database import reading, writing


@log.step
def list_chunks(run_id: int, settings: Settings) -> list[int]:
    """List the run's input files with size and hash, and deal them to chunks.

    Returns
    -------
    list of int
        Numbers of the chunks; none for a night without a file.

    Raises
    ------
    MissingPartitionError
        If the backlog has no partition for the date.
    """
    with reading(settings) as connection:
        run = runs.get_run(connection, run_id)
    log.learn(dt=run.dt)
    if run.base_run_id is not None:
        return _list_again(run, settings)
    with reading(settings) as connection:
        waiting = carry.carried_files(connection, run.run_id)
    backlog = [inputs.Input("backlog", run.dt, file) for file in files.list_partition(settings.backlog_root, run.dt)]
    carried = inputs.list_carried(settings.backlog_root, waiting)
    dealt = inputs.deal(carried, 1) + inputs.deal(backlog, as_opened(run, settings).chunks)
    tell_passed_over(settings.backlog_root, run.dt)
    with writing(settings) as connection:
        runs.lock_run(connection, run_id)  # an orphan lists beside its own retry, as tasks do that make up for it
        inputs.record(connection, run_id, [one.row() for one in backlog + carried])
        carry.count_taken(connection, run_id)
        chunks.record(connection, run_id, [inputs.chunk_row(k, chunk) for k, chunk in enumerate(dealt)])
        runs.update_run(
            connection,
            run_id,
            backlog_rows=sum(one.rows for one in backlog),
            carried_rows=sum(one.rows for one in carried),
        )
    log.learn(chunks=len(dealt))
    return list(range(len(dealt)))


def _list_again(run: Row[Any], settings: Settings) -> list[int]:
    """The files of the run whose input is planned again, dealt as they were; each is proven when it is read."""
    with writing(settings) as connection:
        base = runs.get_run(connection, run.base_run_id)
        listed = chunks.of_run(connection, base.run_id)
        inputs.record(connection, run.run_id, inputs.input_rows(connection, base.run_id))
        carry.copy_sources(connection, run.run_id, base.run_id)
        dealt = [{"chunk": row.chunk, "source": row.source, "partitions": row.partitions} for row in listed]
        chunks.record(connection, run.run_id, dealt)
        runs.update_run(connection, run.run_id, backlog_rows=base.backlog_rows, carried_rows=base.carried_rows)
    return list(range(len(dealt)))
