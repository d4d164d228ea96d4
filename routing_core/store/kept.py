"""What a plan of the rest of a night leaves as it was: decisions of the run before, found again in the new one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, select, union_all

from routing_core.errors import ContractError, NotFoundError
from routing_core.records.assignments import DEFERRED
from routing_core.store.decisions import CAUSES, PARTS
from routing_core.store.shards import Shard
from routing_core.store.tables.decisions import assignments, deferred_queries, rejected_queries
from routing_core.store.tables.runs import routing_runs

DIRECTORY = "kept"
"""Name of the directory that kept decisions are in, below the run's."""

_KEPT = pa.schema(
    [
        ("query_id", pa.string()),
        ("model", pa.string()),
        ("batch", pa.int32()),
        ("runner_up", pa.string()),
        ("regret", pa.float32()),
        ("cause", pa.string()),
        ("propensity", pa.float64()),
    ]
)
_KINDS = dict(zip(PARTS, (np.int16, np.int32, np.int16, np.float32, np.int8, np.float64), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Decisions that stay, over a night in query_id order.

    Attributes
    ----------
    fixed : ndarray of bool, shape (n_queries,)
    decided : dict of str to ndarray, shape (n_queries,)
        ``decisions.PARTS``; meaningless where not fixed.
    """

    fixed: NDArray[np.bool_]
    decided: dict[str, NDArray[Any]]


def read_sent(file: Path) -> list[str]:
    """The queries a dispatcher says it has sent.

    Parameters
    ----------
    file : Path
        Parquet with a column ``query_id``, JSON lines with ``custom_id`` or ``query_id`` (such as the exported files),
        or one query_id a line.

    Raises
    ------
    ContractError
        Naming file and line.
    """
    try:
        if file.suffix == ".parquet":
            return [str(name) for name in pq.read_table(file, columns=["query_id"])["query_id"].to_pylist()]
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise ContractError(f"file {file} of sent queries cannot be read: {str(error)[:200]}") from error
    return [_sent_in(file, number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def last_batch_sent(connection: Connection, run: Row[Any], sent: Sequence[str]) -> int:
    """The last batch that has one of the queries ``sent``; 0 if none was.

    Raises
    ------
    NotFoundError
        If the run gave one of them to no model.
    """
    if not sent:
        return 0
    rows = select(assignments.c.query_id, assignments.c.batch_no).where(assignments.c.run_id == run.run_id)
    batch_of: dict[str, int] = {row.query_id: row.batch_no for row in connection.execute(rows)}
    strangers = sorted({name for name in sent if name not in batch_of})
    if strangers:
        raise NotFoundError(
            f"{len(strangers)} queries said to be sent were given to no model by run {run.run_id} of {run.dt}: "
            f"{', '.join(strangers[:5])}",
            remedy=f"say what was sent of run {run.run_id}, the current one",
        )
    return max(batch_of[name] for name in sent)


def read_kept(connection: Connection, run: Row[Any], after_batch: int, sent: Sequence[str]) -> pa.Table:
    """What of ``run`` stays: the sent, and the deferred that a later night has taken up.

    Parameters
    ----------
    connection : Connection
    run : row of ``routing_runs``
    after_batch : int
        Everything up to this batch was sent.
    sent : sequence of str
        Queries of later batches that were sent too.
    """
    wanted = set(sent)
    given = assignments.c
    columns = select(given.query_id, given.model, given.batch_no, given.runner_up, given.regret, given.propensity)
    rows = connection.execute(columns.where(given.run_id == run.run_id))
    kept = [(*row[:5], None, row.propensity) for row in rows if row.batch_no <= after_batch or row.query_id in wanted]
    taken = _taken_up(connection, run)
    if taken:
        waiting = deferred_queries.c
        rows = connection.execute(
            select(waiting.query_id, waiting.best_model, waiting.cause).where(waiting.run_id == run.run_id)
        )
        kept += [(row.query_id, None, 0, row.best_model, None, row.cause, 1.0) for row in rows if row.query_id in taken]
    arrays = list(zip(*kept, strict=True)) or [()] * len(_KEPT)
    return pa.table([pa.array(column, field.type) for column, field in zip(arrays, _KEPT, strict=True)], schema=_KEPT)


def in_night_order(
    kept: pa.Table, shards: Iterable[Shard], places: Sequence[NDArray[np.int64]], n_queries: int, models: Sequence[str]
) -> Kept:
    """Find kept decisions again in a gathered night.

    Parameters
    ----------
    kept : pyarrow.Table
        As :func:`read_kept` gives it.
    shards, places
        The night's shards, and the place of each of their rows, as :func:`routing_core.store.gather.gather` says.
    n_queries : int
    models : sequence of str
        The catalog's names, in order.
    """
    codes = {
        "model": _index(kept["model"], models),
        "batch": kept["batch"].to_numpy(),
        "runner_up": _index(kept["runner_up"], models),
        "regret": pc.fill_null(kept["regret"], float("nan")).to_numpy(),
        "cause": _index(kept["cause"], [cause.value for cause in CAUSES]),
        "propensity": kept["propensity"].to_numpy(),
    }
    fixed = np.zeros(n_queries, dtype=bool)
    decided = {name: np.zeros(n_queries, dtype=_KINDS[name]) for name in PARTS}
    for shard, place in zip(shards, places, strict=True):
        found = _index(shard.queries["query_id"], kept["query_id"])
        mine = (found >= 0) & (place >= 0)
        fixed[place[mine]] = True
        for name in PARTS:
            decided[name][place[mine]] = codes[name][found[mine]]
    return Kept(fixed, decided)


def _sent_in(file: Path, number: int, line: str) -> str:
    if not line.startswith("{"):
        return line
    try:
        said = json.loads(line)
    except ValueError:
        said = {}
    name = said.get("custom_id", said.get("query_id"))
    if not isinstance(name, str):
        raise ContractError(f"file {file}, line {number}: must have custom_id or query_id, got {line[:80]!r}")
    return name


def _taken_up(connection: Connection, run: Row[Any]) -> set[str]:
    """Queries of ``run``'s night and before that the current runs of later nights have taken up."""
    is_later = (routing_runs.c.dt > run.dt) & (routing_runs.c.status == "current") & (routing_runs.c.carried_rows > 0)
    later = connection.execute(select(routing_runs.c.run_id).where(is_later)).scalars().all()
    if not later:
        return set()
    parts = [
        select(table.c.query_id).where(table.c.run_id.in_(later), table.c.first_dt <= run.dt)
        for table in (assignments, deferred_queries, rejected_queries)
    ]
    return {name for name in connection.execute(union_all(*parts)).scalars() if name is not None}


def _index(values: Any, of: Any) -> NDArray[np.int64]:
    """Place of each value in ``of``; ``DEFERRED`` where it is null or not there."""
    found = pc.index_in(values, pa.array(of, pa.string()) if isinstance(of, list | tuple) else of.combine_chunks())
    return np.asarray(pc.fill_null(found, DEFERRED).to_numpy(), dtype=np.int64)
