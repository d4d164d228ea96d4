"""The backlog of days gone by: how much of what came, and a sample of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

import numpy as np

from routing_core.errors import ContractError
from routing_core.records.outcomes import OUTCOME_COLUMNS
from routing_core.records.queries import QUERY_COLUMNS, Queries
from routing_core.store.chance import hashes
from routing_core.store.files import list_partition, partition_dates
from routing_core.store.parquet import read_outcomes, read_queries

_COUNTED = tuple(column for column in QUERY_COLUMNS if column.name in ("query_id", "task"))
_IDS = tuple(column for column in OUTCOME_COLUMNS if column.name == "query_id")


def days_before(root: str | Path, dt: date, days: int) -> tuple[date, ...]:
    """Days that have a partition among the ``days`` that end with ``dt``, oldest first."""
    first = date.fromordinal(dt.toordinal() - days + 1)
    return tuple(day for day in partition_dates(root) if first <= day <= dt)


def count_tasks(root: str | Path, days: Iterable[date]) -> tuple[dict[date, dict[str, int]], tuple[str, ...]]:
    """Queries of each day by task family, broken rows left out.

    Returns
    -------
    counts : dict
        Day to task to queries.
    unreadable : tuple of str
        Why days are missing from it: history that cannot be read is a gap, no reason not to plan.
    """
    counts: dict[date, dict[str, int]] = {}
    unreadable: list[str] = []
    for day in days:
        try:
            read = read_queries(root, day, list_partition(root, day), columns=_COUNTED)
        except ContractError as error:
            unreadable.append(error.message)
            continue
        tasks, rows = np.unique(read.queries.task.astype(str), return_counts=True)
        counts[day] = dict(zip(tasks.tolist(), rows.tolist(), strict=True))
    return counts, tuple(unreadable)


def answered(root: str | Path, days: Iterable[date]) -> frozenset[str]:
    """Ids of the queries answered on some days, as far as they can be read."""
    ids: set[str] = set()
    for day in days:
        try:
            ids.update(read_outcomes(root, [day], columns=_IDS)[0].query_id.tolist())
        except ContractError:
            continue
    return frozenset(ids)


def sample_each_day(root: str | Path, days: Iterable[date], size: int, seed: int) -> Iterator[tuple[date, Queries]]:
    """At most ``size`` queries of each day, drawn by their ids; days that cannot be read or are empty are left out."""
    for day in days:
        if (sample := sample_queries(root, [day], size, seed)) is not None:
            yield day, sample


def sample_queries(
    root: str | Path, days: Iterable[date], size: int, seed: int, *, without: frozenset[str] = frozenset()
) -> Queries | None:
    """A sample of the queries of some days, drawn by their ids: the files they lie in do not matter. None of none.

    Parameters
    ----------
    root : str or Path
    days : iterable of date
    size : int
        Most queries in the sample; broken rows are left out of it.
    seed : int
    without : frozenset of str
        Ids that are not drawn.
    """
    read = [queries for day in days if (queries := _readable(root, day, without)) is not None]
    draws = [hashes(queries.query_id, seed) for queries in read]
    if not any(len(draw) for draw in draws):
        return None
    highest = np.sort(np.concatenate(draws))[:size][-1]
    kept = [queries.take(draw <= highest) for queries, draw in zip(read, draws, strict=True) if len(draw)]
    sample = Queries.concatenate(kept)
    return sample.take(np.argsort(hashes(sample.query_id, seed), kind="stable"))


def _readable(root: str | Path, day: date, without: frozenset[str]) -> Queries | None:
    try:
        queries = read_queries(root, day, list_partition(root, day)).queries
    except ContractError:
        return None
    kept = np.array([name not in without for name in queries.query_id], dtype=bool)
    return queries if kept.all() else queries.take(kept)
