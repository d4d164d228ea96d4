"""A chunk's decisions as rows of the results tables, built column by column in Arrow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, delete

from routing_core.records.assignments import DEFERRED, Constraint, Reason
from routing_core.route.admission import candidate_bits
from routing_core.store.bulk import insert_rows
from routing_core.store.chunks import Claim
from routing_core.store.shards import Shard
from routing_core.store.tables import metadata

CAUSES: tuple[Constraint, ...] = tuple(Constraint)
"""Constraints by the code that ``cause`` arrays hold."""

PARTS = ("model", "batch", "runner_up", "regret", "cause", "propensity")
"""Arrays that the decisions of a chunk consist of."""


@dataclass(frozen=True, slots=True)
class ChunkRows:
    """The rows one chunk adds to the results: Arrow tables named as in the schema."""

    assignments: pa.Table
    deferred_queries: pa.Table
    rejected_queries: pa.Table

    def __len__(self) -> int:
        return len(self.assignments) + len(self.deferred_queries) + len(self.rejected_queries)


def chunk_rows(
    run: Row[Any], chunk: int, models: tuple[str, ...], shard: Shard, part: dict[str, NDArray[Any]]
) -> ChunkRows:
    """Turn a chunk's shard and its part of the solution into rows.

    Parameters
    ----------
    run : row of ``routing_runs``
    chunk : int
    models : tuple of str
        The catalog's names, in order.
    shard : Shard
    part : dict of str to ndarray, shape (n_queries,)
        :data:`PARTS` and ``duplicate``.
    """
    duplicate = part["duplicate"]
    # By identifier, as most indexes have them: a database that fills its pages one after another takes less time.
    order = pc.sort_indices(shard.queries["query_id"]).to_numpy()
    served, unique = part["model"][order] != DEFERRED, ~duplicate[order]
    assigned, deferred = order[unique & served], order[unique & ~served]
    return ChunkRows(
        assignments=_assigned(run, chunk, models, shard, part, assigned),
        deferred_queries=_deferred(run, chunk, models, shard, part, deferred),
        rejected_queries=_rejected(run, chunk, shard, np.flatnonzero(duplicate)),
    )


def write_rows(connection: Connection, claim: Claim, rows: ChunkRows) -> str:
    """Replace the claimed chunk's rows by ``rows``, and return their checksum."""
    checksum = ""
    for name in ("assignments", "deferred_queries", "rejected_queries"):
        table = metadata.tables[name]
        if claim.rewrites:
            own = (table.c.run_id == claim.run_id) & (table.c.chunk == claim.chunk)
            connection.execute(delete(table).where(own))
        checksum += insert_rows(connection, table, getattr(rows, name))
    return checksum


def _assigned(
    run: Row[Any],
    chunk: int,
    models: tuple[str, ...],
    shard: Shard,
    part: dict[str, NDArray[Any]],
    at: NDArray[np.int64],
) -> pa.Table:
    model = part["model"][at]
    bits = candidate_bits(np.asarray(shard.eligible[at]))
    return pa.table(
        {
            **_same(run, chunk, len(at)),
            **_taken(shard, at, "query_id", "first_dt", "partition", "row", "task", "team"),
            "batch_no": pa.array(part["batch"][at], pa.int32()),
            "model": _names(models, model),
            "mean_quality": pa.array(shard.mean_quality[at, model].astype(np.float64)),
            "planned_quality": pa.array(shard.lower_quality[at, model].astype(np.float64)),
            "cost_usd": pa.array(shard.cost_usd[at, model].astype(np.float64)),
            "runner_up": _names(models, part["runner_up"][at]),
            "regret": pa.array(part["regret"][at].astype(np.float64), from_pandas=True),
            "candidates": pa.nulls(len(at), pa.int64()) if bits is None else pa.array(bits),
            "propensity": pa.array(part["propensity"][at]),
        }
    )


def _deferred(
    run: Row[Any],
    chunk: int,
    models: tuple[str, ...],
    shard: Shard,
    part: dict[str, NDArray[Any]],
    at: NDArray[np.int64],
) -> pa.Table:
    causes = pa.array([cause.value for cause in CAUSES])
    return pa.table(
        {
            **_same(run, chunk, len(at)),
            **_taken(
                shard, at, "query_id", "first_dt", "partition", "row", "task", "team", "nights_waited", "deadline"
            ),
            "cause": causes.take(pa.array(part["cause"][at], pa.int32())),
            "penalty": pa.array(shard.penalty[at].astype(np.float64)),
            "best_model": _names(models, part["runner_up"][at]),
        }
    )


def _rejected(run: Row[Any], chunk: int, shard: Shard, duplicates: NDArray[np.int64]) -> pa.Table:
    repeated = _taken(shard, duplicates, "first_dt", "partition", "row", "query_id")
    n = len(duplicates)
    repeated["reason"] = pa.array([Reason.DUPLICATE.value] * n, pa.string())
    repeated["detail"] = pa.array(["query_id must be unique in the night; another file has it"] * n, pa.string())
    rows = pa.concat_tables([shard.rejected, pa.table(repeated).select(shard.rejected.column_names)])
    for name, values in _same(run, chunk, len(rows)).items():
        rows = rows.append_column(name, values)
    return rows


def _same(run: Row[Any], chunk: int, n: int) -> dict[str, pa.Array]:
    def repeat(value: Any, kind: pa.DataType) -> pa.Array:
        return pa.repeat(pa.scalar(value, kind), n)

    return {
        "run_id": repeat(run.run_id, pa.int64()),
        "dt": repeat(run.dt, pa.date32()),
        "chunk": repeat(chunk, pa.int32()),
    }


def _taken(shard: Shard, at: NDArray[np.int64], *names: str) -> dict[str, Any]:
    taken = shard.queries.select(names).take(pa.array(at))
    return {name: taken[name] for name in names}


def _names(models: tuple[str, ...], index: NDArray[Any]) -> pa.Array:
    """Names of models by index; null below 0."""
    return pa.array(models, pa.string()).take(pa.array(index.astype(np.int32), mask=index < 0))


def identity_table(
    *,
    query_id: NDArray[np.object_],
    task: NDArray[np.object_],
    team: NDArray[np.object_],
    partition: NDArray[np.object_],
    row: NDArray[np.int64],
    first_dt: NDArray[np.datetime64],
    nights_waited: NDArray[np.int64],
    deadline: NDArray[np.datetime64],
    submitted_at: NDArray[np.datetime64],
) -> pa.Table:
    """The identities of a shard's queries."""
    return pa.table(
        {
            "query_id": pa.array(query_id, pa.string()),
            "task": pa.array(task, pa.string()),
            "team": pa.array(team, pa.string()),
            "partition": pa.array(partition, pa.string()),
            "row": pa.array(row, pa.int64()),
            "first_dt": pa.array(first_dt.astype("datetime64[D]"), pa.date32()),
            "nights_waited": pa.array(nights_waited, pa.int32()),
            "deadline": pa.array(deadline.astype("datetime64[us]"), pa.timestamp("us", "UTC")),
            "submitted_at": pa.array(submitted_at.astype("datetime64[us]"), pa.timestamp("us")),
        }
    )


def rejected_table(rejected: list[tuple[str, int, date, str | None, str, str]]) -> pa.Table:
    """Rejected rows as a table: partition, row, first_dt, query_id, reason, detail of each."""
    columns = list(zip(*rejected, strict=True)) or [()] * 6
    kinds = {
        "partition": pa.string(),
        "row": pa.int64(),
        "first_dt": pa.date32(),
        "query_id": pa.string(),
        "reason": pa.string(),
        "detail": pa.string(),
    }
    return pa.table({name: pa.array(values, kind) for (name, kind), values in zip(kinds.items(), columns, strict=True)})
