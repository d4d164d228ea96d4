"""The backlog of days gone by: how much of what came, and a sample of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from routing_core.errors import ContractError
from routing_core.records.queries import Queries
from routing_core.store.files import file_names, list_partition, partition_dates, partition_path, read_bytes
from routing_core.store.parquet import read_queries


def days_before(root: str | Path, dt: date, days: int) -> tuple[date, ...]:
    """Days that have a partition among the ``days`` that end with ``dt``, oldest first."""
    first = date.fromordinal(dt.toordinal() - days + 1)
    return tuple(day for day in partition_dates(root) if first <= day <= dt)


def count_tasks(root: str | Path, days: Iterable[date]) -> dict[date, dict[str, int]]:
    """Backlog rows of each day by task family; rows without one are not counted."""
    return {day: _count_day(root, day) for day in days}


def sample_queries(root: str | Path, days: Iterable[date], size: int, seed: int) -> Queries | None:
    """A sample of the queries of some days, drawn by their ids: the files they lie in do not matter. None of none.

    Parameters
    ----------
    root : str or Path
    days : iterable of date
    size : int
        Most queries in the sample; broken rows are left out of it.
    seed : int
    """
    read = [read_queries(root, day, list_partition(root, day)) for day in days]
    draws = [_draw(part.queries.query_id, seed) for part in read]
    if not any(len(draw) for draw in draws):
        return None
    highest = np.sort(np.concatenate(draws))[:size][-1]
    kept = [part.queries.take(draw <= highest) for part, draw in zip(read, draws, strict=True) if len(draw)]
    sample = Queries.concatenate(kept)
    return sample.take(np.argsort(_draw(sample.query_id, seed), kind="stable"))


def _draw(ids: NDArray[np.object_], seed: int) -> NDArray[np.uint64]:
    """A number for each id that looks random and depends on nothing else."""
    key = f"{seed % 10**16:016d}"
    return np.asarray(pd.util.hash_array(ids, hash_key=key, categorize=False), dtype=np.uint64)


def _count_day(root: str | Path, day: date) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in file_names(root, day):
        for task, count in _count_file(root, day, name).items():
            counts[task] = counts.get(task, 0) + count
    return counts


def _count_file(root: str | Path, day: date, name: str) -> dict[str, int]:
    try:
        tasks = pq.read_table(pa.BufferReader(read_bytes(root, day, name)), columns=["task"])["task"]
    except (pa.ArrowException, OSError) as error:
        raise ContractError(
            f"file {partition_path(root, day)}/{name}: its task column cannot be read: {error}"
        ) from error
    counted = pc.value_counts(pc.drop_null(tasks.cast(pa.string())))
    return {row["values"]: row["counts"] for row in counted.to_pylist()}
