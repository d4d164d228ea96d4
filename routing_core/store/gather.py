"""A night out of its shards, and back: all queries in query_id order, whatever the chunks were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from mmap import MADV_DONTNEED, mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from routing_core.records.assignments import Reason
from routing_core.store.shards import Shard, read_directory, read_shard, write_directory

DUPLICATE = -1
"""Place in the night of a row whose query_id another row of the night already has."""


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """The routable queries of a night in query_id order, each once.

    Attributes
    ----------
    mean_quality, lower_quality, cost_usd : ndarray of float32, shape (n_queries, n_models)
    careful_quality : ndarray of float32, shape (n_queries, n_models)
        No columns if the night cannot switch to it.
    unfamiliar : ndarray of int8, shape (n_queries,)
    eligible : ndarray of bool, shape (n_queries, n_models)
    penalty : ndarray of float32, shape (n_queries,)
    last_batch : ndarray of int32, shape (n_queries,)
    team : ndarray of int32, shape (n_queries,)
        Index into ``teams``, -1 for a query that no listed team pays.
    arrival : ndarray of int64, shape (n_queries,)
        Places in the order the queries came: by submitted_at, unknown ones last, ties by query_id.
    places : tuple of ndarray of int64, one per shard
        For each row of a shard its place in the night, or :data:`DUPLICATE`.
    """

    mean_quality: NDArray[np.float32]
    lower_quality: NDArray[np.float32]
    cost_usd: NDArray[np.float32]
    careful_quality: NDArray[np.float32]
    unfamiliar: NDArray[np.int8]
    eligible: NDArray[np.bool_]
    penalty: NDArray[np.float32]
    last_batch: NDArray[np.int32]
    team: NDArray[np.int32]
    arrival: NDArray[np.int64]
    places: tuple[NDArray[np.int64], ...]

    def __len__(self) -> int:
        return len(self.penalty)


def gather(
    directories: Sequence[Path], n_models: int, teams: Sequence[str], *, scratch: Path | None = None
) -> Gathered:
    """Bring the shards of a night together.

    Parameters
    ----------
    directories : sequence of Path
        The shards, in chunk order; of rows with the same query_id the first is kept.
    n_models : int
    teams : sequence of str
        The teams that have a budget of their own.
    scratch : Path, optional
        Directory on whose disk the matrices are put together, and mapped from; the space is free again once they are
        let go of, however the process ends. In memory by default.
    """
    places, n_queries = _places([read_shard(directory) for directory in directories])

    # A part of a shard at a time, so that what is mapped of it is let go of at once.
    def matrix(name: str, kind: Any, *shape: int) -> NDArray[Any]:
        out, pages = _blank((n_queries, *shape), kind, scratch)
        for directory, place in zip(directories, places, strict=True):
            kept = place >= 0
            if out.size:
                out[place[kept]] = read_directory(directory, (name,))[name][kept]
        if pages is not None:
            pages.madvise(MADV_DONTNEED)  # what is written is on the disk, and need not stay resident
        return out

    def column(name: str, fill: Any) -> NDArray[Any]:
        out = np.empty(n_queries, dtype=fill.dtype)
        for directory, place in zip(directories, places, strict=True):
            kept = place >= 0
            out[place[kept]] = _numpy(read_directory(directory, ("queries",))["queries"][name], teams, fill)[kept]
        return out

    never = np.datetime64(np.iinfo(np.int64).max, "us")
    return Gathered(
        mean_quality=matrix("mean_quality", np.float32, n_models),
        lower_quality=matrix("lower_quality", np.float32, n_models),
        cost_usd=matrix("cost_usd", np.float32, n_models),
        careful_quality=matrix("careful_quality", np.float32, _careful_models(directories)),
        unfamiliar=matrix("unfamiliar", np.int8),
        eligible=matrix("eligible", np.bool_, n_models),
        penalty=matrix("penalty", np.float32),
        last_batch=matrix("last_batch", np.int32),
        team=column("team", np.int32(-1)),
        arrival=np.argsort(column("submitted_at", never), kind="stable"),
        places=places,
    )


def scatter(directory: Path, places: Sequence[NDArray[np.int64]], decided: dict[str, NDArray[Any]]) -> None:
    """Write the night's decisions as one part per chunk, rows in the shard's order.

    Parameters
    ----------
    directory : Path
    places : sequence of ndarray
        As in :class:`Gathered`.
    decided : dict of str to ndarray, shape (n_queries,)
        Arrays over the night; a duplicate's entries mean nothing.
    """
    for chunk, place in enumerate(places):
        at = np.maximum(place, 0)
        parts = {name: values[at] if len(values) else values[:0] for name, values in decided.items()}
        write_directory(part_directory(directory, chunk), {**parts, "duplicate": place == DUPLICATE})


def read_part(directory: Path, chunk: int, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The decisions of one chunk, by name, ``duplicate`` among them."""
    return read_directory(part_directory(directory, chunk), (*names, "duplicate"))


def assemble(directory: Path, places: Sequence[NDArray[np.int64]], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The decisions that :func:`scatter` wrote, over the night again: arrays of shape (n_queries,) by name."""
    parts = [read_part(directory, chunk, names) for chunk in range(len(places))]
    return {name: _over_night([part[name] for part in parts], places) for name in names}


def query_ids(directories: Sequence[Path], places: Sequence[NDArray[np.int64]]) -> NDArray[np.object_]:
    """The query_id of each place of a night, shape (n_queries,)."""
    columns = [read_shard(directory).queries["query_id"].to_numpy() for directory in directories]
    return _over_night(columns, places)


def _over_night(columns: Sequence[NDArray[Any]], places: Sequence[NDArray[np.int64]]) -> NDArray[Any]:
    """A column of each shard, put in its places of the night."""
    if not columns:
        return np.empty(0, dtype=object)
    out = np.empty(1 + max(int(place.max(initial=DUPLICATE)) for place in places), dtype=columns[0].dtype)
    for column, place in zip(columns, places, strict=True):
        kept = place >= 0
        out[place[kept]] = column[kept]
    return out


def solution_directory(directory: Path, attempt: int) -> Path:
    """Where the decisions of an attempt at solving are, below the run's directory."""
    return directory / f"solution-attempt-{attempt:03d}"


def part_directory(directory: Path, chunk: int) -> Path:
    """Where the decisions of a chunk are, below the solution's directory."""
    return directory / f"chunk-{chunk:05d}"


def _places(shards: Sequence[Shard]) -> tuple[tuple[NDArray[np.int64], ...], int]:
    """For each row of each shard its place in query_id order, and how many places there are.

    Rows that are not routable are counted among the repeats too: whether a query is a duplicate must not
    depend on the chunk that found out about the other one.
    """
    known = [(shard.queries["query_id"], _refused_ids(shard)) for shard in shards]
    ids = pa.chunked_array([chunk for pair in known for column in pair for chunk in column.chunks], pa.string())
    routable = np.concatenate(
        [np.empty(0, dtype=bool), *(np.repeat([True, False], list(map(len, pair))) for pair in known)]
    )
    order = pc.sort_indices(ids).to_numpy()
    counted = ~_repeated(ids.take(pa.array(order))) & routable[order]
    place = np.empty(len(ids), dtype=np.int64)
    place[order] = np.where(counted, np.cumsum(counted) - 1, DUPLICATE)
    ends = np.cumsum([len(shard) for shard in shards])[:-1]
    return tuple(np.split(place[routable], ends)) if shards else (), int(counted.sum())


def _refused_ids(shard: Shard) -> pa.ChunkedArray:
    """Ids of a chunk's rows that keep the contract but cannot be routed."""
    refused = pc.is_in(shard.rejected["reason"], pa.array([Reason.EXPIRED.value, Reason.NO_ELIGIBLE_MODEL.value]))
    return shard.rejected["query_id"].filter(refused)


def _repeated(ids: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Which of the sorted ids equal the one before."""
    repeated = np.zeros(len(ids), dtype=bool)
    if len(ids) > 1:
        repeated[1:] = pc.equal(ids[1:], ids[:-1]).to_numpy()
    return repeated


def _blank(shape: tuple[int, ...], kind: Any, scratch: Path | None) -> tuple[NDArray[Any], mmap | None]:
    """An array to be filled, and the pages it is mapped to if there is a disk for it."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    if scratch is None or not size:
        return np.empty(shape, dtype=kind), None
    with TemporaryFile(dir=scratch) as file:  # without a name from the start; the mapping outlives its closing
        file.truncate(size)
        pages = mmap(file.fileno(), size)
    return np.frombuffer(pages, dtype=kind).reshape(shape), pages


def _careful_models(directories: Sequence[Path]) -> int:
    """Columns of the careful estimates; none of a night that cannot switch to them: a shard lacks them."""
    careful = [read_directory(directory, ("careful_quality",))["careful_quality"] for directory in directories]
    return min((int(one.shape[1]) for one in careful if len(one)), default=0)


def _numpy(column: pa.ChunkedArray, teams: Sequence[str], fill: Any) -> NDArray[Any]:
    if fill.dtype == np.int32:
        codes = pc.index_in(column, pa.array(teams, pa.string()))
        return np.asarray(pc.fill_null(codes, -1).to_numpy(), dtype=np.int32)
    times = np.asarray(column.to_numpy(), dtype="datetime64[us]")
    return np.where(np.isnat(times), fill, times)
