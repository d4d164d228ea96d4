"""The task that writes a chunk's decisions to the database."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from routing_core import log
from routing_core.settings import Settings
from routing_core.steps.means import as_opened
from routing_core.store import catalogs, chunks, decisions, runs
from routing_core.store.database import reading, writing
from routing_core.store.gather import read_part, solution_directory
from routing_core.store.shards import read_shard


@log.step
def write_chunk(run_id: int, chunk: int, settings: Settings, *, attempt: int) -> dict[str, Any]:
    """Write a chunk's decisions to the database, in place of what an earlier attempt wrote.

    Returns
    -------
    dict
        chunk, assigned, deferred, rejected, seconds.

    Raises
    ------
    StaleAttemptError
        If a newer attempt has the chunk.
    """
    started = time.monotonic()
    with reading(settings) as connection:
        run = runs.get_run(connection, run_id)
        log.learn(dt=run.dt)
        name = chunks.get_chunk(connection, run_id, chunk).estimate_shard
    asked = as_opened(run, settings)
    directory = asked.run_directory(run_id)
    models = catalogs.of_run(run, asked).names
    part = read_part(solution_directory(directory, run.solve_attempt), chunk, decisions.PARTS)
    shard = read_shard(directory / name)
    if run.conservative:
        shard = replace(shard, lower_quality=shard.careful_quality)
    rows = decisions.chunk_rows(run, chunk, models, shard, part)
    with writing(settings) as connection:
        claim = chunks.claim_rows(connection, run_id, chunk, attempt)
        checksum = decisions.write_rows(connection, claim, rows)
        chunks.mark_written(connection, claim, len(rows), checksum)
    counts = {"assigned": len(rows.assignments), "deferred": len(rows.deferred_queries)}
    seconds = round(time.monotonic() - started, 3)
    return {"chunk": chunk, **counts, "rejected": len(rows.rejected_queries), "seconds": seconds}
