"""What came of a plan: its assignments joined to the outcomes logged since, one day's partition at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, Select, delete, insert, select

from routing_core.records.outcomes import OUTCOME_COLUMNS, Outcomes
from routing_core.store.database import lock_writers
from routing_core.store.files import partition_dates
from routing_core.store.parquet import read_outcomes
from routing_core.store.tables import metadata
from routing_core.store.tables.decisions import assignments
from routing_core.store.tables.runs import routing_runs

_AT_ONCE = 50_000
_READ = frozenset({"query_id", "model", "quality", "cost_usd", "logged_at"})
_COLUMNS = tuple(column for column in OUTCOME_COLUMNS if column.name in _READ)
_NEVER = np.iinfo(np.int64).max
_NOT_YET = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True, eq=False)
class Assigned:
    """The assignments of a run, without their text.

    Attributes
    ----------
    query_id : pyarrow.Array of string, length n_assigned
    models, tasks : tuple of str
        Sorted names.
    model, task : ndarray of int32, shape (n_assigned,)
        Indices into them.
    mean_quality, cost_usd : ndarray of float64, shape (n_assigned,)
        As planned.
    since, until : ndarray of int64, shape (n_assigned,)
        Days since 1970 of the partitions whose outcomes are of this run: from ``since`` to before ``until``. A
        query_id is unique within a day's backlog only; from the day another night was executed that gave the id of
        another query to a model, outcomes are that one's.
    """

    query_id: pa.Array
    models: tuple[str, ...]
    tasks: tuple[str, ...]
    model: NDArray[np.int32]
    task: NDArray[np.int32]
    mean_quality: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    since: NDArray[np.int64]
    until: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.query_id)


@dataclass(slots=True, eq=False)
class Answers:
    """What the assigned models are known to have answered; arrays of shape (n_assigned,).

    Of several outcomes of a query's model the one logged last counts, of two logged at once the greater: the order
    and the number of times they arrive do not matter.

    Attributes
    ----------
    quality, cost_usd : ndarray of float64
        NaN where there is no outcome yet.
    logged_at : ndarray of int64
        Microseconds since 1970 of the outcome that counts.
    first_day : ndarray of int64
        Days since 1970 of the first partition with an outcome.
    corrected : ndarray of bool
        Whether outcomes were logged that differ.
    by_other : ndarray of bool
        Whether another model than the assigned one has answered.
    rejected : int
        Rows that broke the contract.
    through : date or None
        Last day with a partition.
    """

    quality: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    logged_at: NDArray[np.int64]
    first_day: NDArray[np.int64]
    corrected: NDArray[np.bool_]
    by_other: NDArray[np.bool_]
    rejected: int = 0
    through: date | None = None
    _first: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))
    _others: list[tuple[NDArray[Any], ...]] = field(default_factory=list)

    @classmethod
    def none_yet(cls, n: int) -> Answers:
        """Of a plan of which no outcome has been looked at."""
        return cls(
            quality=np.full(n, np.nan),
            cost_usd=np.full(n, np.nan),
            logged_at=np.full(n, _NOT_YET),
            first_day=np.full(n, _NEVER),
            corrected=np.zeros(n, dtype=bool),
            by_other=np.zeros(n, dtype=bool),
            _first=np.full((n, 2), np.nan),
        )

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which assignments have an outcome."""
        return ~np.isnan(self.quality)

    def take_in(
        self, at: NDArray[np.int64], quality: NDArray[Any], cost: NDArray[Any], logged_at: NDArray[np.int64], day: int
    ) -> None:
        """Take in outcomes of the assigned models, any number of them for one query.

        Parameters
        ----------
        at : ndarray of int64, shape (n_outcomes,)
            Assignment of each.
        quality, cost, logged_at : ndarray, shape (n_outcomes,)
        day : int
            Of their partition, days since 1970.
        """
        order = np.lexsort((cost, quality, logged_at))
        at, logged_at = at[order], logged_at[order]
        seen = np.stack([quality[order], cost[order]], axis=1).astype(np.float64)
        new = np.isnan(self._first[at, 0])
        self._first[at[new]] = seen[new]
        self.corrected[at[(seen != self._first[at]).any(axis=1)]] = True
        last = np.flatnonzero(~_comes_again(at))
        at, logged_at, seen = at[last], logged_at[last], seen[last]
        has = (self.logged_at[at], self.quality[at], self.cost_usd[at])
        newer = (logged_at > has[0]) | (
            (logged_at == has[0]) & ((seen[:, 0] > has[1]) | ((seen[:, 0] == has[1]) & (seen[:, 1] > has[2])))
        )
        self.logged_at[at[newer]] = logged_at[newer]
        self.quality[at[newer]], self.cost_usd[at[newer]] = seen[newer].T
        self.first_day[at] = np.minimum(self.first_day[at], day)

    def take_in_others(
        self, at: NDArray[np.int64], model: NDArray[np.object_], cost: NDArray[Any], logged_at: NDArray[np.int64]
    ) -> None:
        """Take in outcomes of other models than the assigned ones; arguments as for :meth:`take_in`."""
        self.by_other[at] = True
        self._others.append((at, model.astype(str), logged_at, cost))

    def other_cost_usd(self) -> NDArray[np.float64]:
        """Cost of what other models answered, of each the outcome that counts: shape (n_assigned,), USD."""
        total = np.zeros(len(self.quality))
        if self._others:
            at, model, logged_at, cost = (np.concatenate(parts) for parts in zip(*self._others, strict=True))
            order = np.lexsort((cost, logged_at, model, at))
            at, model, cost = at[order], model[order], cost[order]
            last = np.append((at[1:] != at[:-1]) | (model[1:] != model[:-1]), [True] * bool(len(at))).astype(bool)
            total += np.bincount(at[last], cost[last], len(total))
        return total


def _comes_again(at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Entries that come again later."""
    _, last = np.unique(at[::-1], return_index=True)
    again = np.ones(len(at), dtype=bool)
    again[len(at) - 1 - last] = False
    return again


def executed_run(connection: Connection, dt: date) -> Row[Any] | None:
    """The run of a date that was executed: the last one sealed, else the current one, or None."""
    of_day = select(routing_runs).where(routing_runs.c.dt == dt)
    sealed = of_day.where(routing_runs.c.sealed_at.is_not(None)).order_by(routing_runs.c.run_id.desc()).limit(1)
    row = connection.execute(sealed).one_or_none()
    return row or connection.execute(of_day.where(routing_runs.c.status == "current")).one_or_none()


def executed_nights(connection: Connection, first: date, last: date) -> list[date]:
    """Days from ``first`` to ``last`` that have a published run, oldest first."""
    days = select(routing_runs.c.dt).where(routing_runs.c.dt.between(first, last), routing_runs.c.status == "current")
    return sorted(connection.execute(days.distinct()).scalars().all())


def read_assigned(connection: Connection, run_id: int) -> Assigned:
    """The assignments of a run, fetched in portions."""
    names = ("query_id", "model", "task", "mean_quality", "cost_usd")
    query = select(*(assignments.c[name] for name in names)).where(assignments.c.run_id == run_id)
    rows = connection.execution_options(yield_per=_AT_ONCE).execute(query.order_by(assignments.c.query_id))
    parts: dict[str, list[pa.Array]] = {name: [] for name in names}
    for portion in rows.partitions():
        for name, values in zip(names, zip(*portion, strict=True), strict=True):
            parts[name].append(pa.array(values, _kind(name)))
    columns = {name: pa.chunked_array(parts[name], _kind(name)) for name in names}
    numbers = {name: columns[name].to_numpy() for name in names[3:]}
    models, model = _coded(columns["model"])
    tasks, task = _coded(columns["task"])
    query_id = columns["query_id"].combine_chunks()
    since, until = _own_days(query_id, connection.execute(_elsewhere(run_id)))
    return Assigned(query_id, models, tasks, model, task, **numbers, since=since, until=until)


def _elsewhere(run_id: int) -> Select[Any]:
    """Ids of a run's assignments that another night, executed since its day, gave to another query."""
    ours, theirs = assignments.alias(), assignments.alias()
    run, other = routing_runs.alias(), routing_runs.alias()
    return (
        select(ours.c.query_id, run.c.execution_date, other.c.execution_date)
        .join(run, run.c.run_id == ours.c.run_id)
        .join(theirs, (theirs.c.query_id == ours.c.query_id) & (theirs.c.first_dt != ours.c.first_dt))
        .join(other, other.c.run_id == theirs.c.run_id)
        .where(ours.c.run_id == run_id, other.c.dt != run.c.dt, other.c.execution_date >= run.c.dt)
        .where(other.c.sealed_at.is_not(None) | (other.c.status == "current"))
        .distinct()
    )


def _own_days(query_id: pa.Array, elsewhere: Iterable[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    since, until = np.full(len(query_id), _NOT_YET), np.full(len(query_id), _NEVER)
    rows = list(elsewhere)
    at = pc.index_in(pa.array([row[0] for row in rows], pa.string()), query_id).to_pylist()
    for k, row in zip(at, rows, strict=True):
        own, other = row[1], row[2]
        if other > own:
            until[k] = min(until[k], _day_number(other))
        else:
            since[k] = _day_number(own)
    return since, until


def _day_number(day: date) -> int:
    return (day - date(1970, 1, 1)) // timedelta(days=1)


def join_outcomes(assigned: Assigned, root: str | Path, first: date, through: date | None) -> Answers:
    """Go through the outcomes logged from ``first`` to ``through`` (None: to the last there are), a day at a time.

    Raises
    ------
    ContractError
        If a file is unreadable or lacks a column.
    """
    answers = Answers.none_yet(len(assigned))
    for day in partition_dates(root):
        if day < first or (through is not None and day > through):
            continue
        outcomes, rejected = read_outcomes(root, [day], columns=_COLUMNS)
        answers.rejected += len(rejected)
        answers.through = day
        _take_in_day(answers, assigned, outcomes, day)
    return answers


def has_outcomes_since(root: str | Path, day: date) -> bool:
    """Whether anything was logged on ``day`` or later."""
    return any(logged >= day for logged in partition_dates(root))


def replace_settlement(connection: Connection, run_id: int, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Replace what is known of an executed run, in each of the tables named."""
    for name in sorted(tables):
        lock_writers(connection, name)
    for name, rows in tables.items():
        table = metadata.tables[name]
        connection.execute(delete(table).where(table.c.run_id == run_id))
        if rows:
            connection.execute(insert(table), [{"run_id": run_id, **row} for row in rows])


def _take_in_day(answers: Answers, assigned: Assigned, outcomes: Outcomes, day: date) -> None:
    found = pc.index_in(pa.array(outcomes.query_id, pa.string()), assigned.query_id)
    at = np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
    code = {name: k for k, name in enumerate(assigned.models)}
    model = np.fromiter((code.get(name, -1) for name in outcomes.model), dtype=np.int32, count=len(outcomes))
    ours = at >= 0
    number = _day_number(day)
    ours[ours] = (assigned.since[at[ours]] <= number) & (number < assigned.until[at[ours]])
    right = ours.copy()
    right[ours] = model[ours] == assigned.model[at[ours]]
    logged_at, other = outcomes.logged_at.astype(np.int64), ours & ~right
    answers.take_in_others(at[other], outcomes.model[other], outcomes.cost_usd[other], logged_at[other])
    answers.take_in(
        at[right],
        outcomes.quality[right],
        outcomes.cost_usd[right],
        logged_at[right],
        number,
    )


def _kind(name: str) -> pa.DataType:
    return pa.string() if name in ("query_id", "model", "task") else pa.float64()


def _coded(column: pa.ChunkedArray) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    names = sorted(pc.unique(column).to_pylist())
    codes = pc.index_in(column, pa.array(names, pa.string()))
    return tuple(names), np.asarray(codes.to_numpy(), dtype=np.int32)
