"""Estimate shards: what one attempt at a chunk found out, as arrays on disk that can be memory-mapped.

A shard is a directory of ``.npy`` files and two Arrow files; it never changes once its name is in
``run_chunks``. Nothing in it is executed on load.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_EMPTY = {"careful_quality": ((0,), np.float32), "unfamiliar": ((), np.int8)}
"""What stands for arrays that the shards of earlier versions lack: the shape of a row, and the kind."""


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """One chunk, estimated. Rows are the chunk's routable queries, in the order they were read.

    Attributes
    ----------
    mean_quality, lower_quality, cost_usd : ndarray of float32, shape (n_queries, n_models)
        As in :class:`routing_core.records.estimates.Estimates`.
    careful_quality : ndarray of float32, shape (n_queries, n_models)
        The same; no columns if the night cannot switch to it.
    unfamiliar : ndarray of int8, shape (n_queries,)
        The same.
    eligible : ndarray of bool, shape (n_queries, n_models)
    penalty : ndarray of float32, shape (n_queries,), quality units
    last_batch : ndarray of int32, shape (n_queries,)
        Last batch of the night that meets the deadline, 1 to B.
    queries : pyarrow.Table of n_queries rows
        query_id, task, team, partition, row, first_dt, nights_waited, deadline, submitted_at.
    rejected : pyarrow.Table
        partition, row, first_dt, query_id, reason, detail.
    """

    mean_quality: NDArray[np.float32]
    lower_quality: NDArray[np.float32]
    cost_usd: NDArray[np.float32]
    careful_quality: NDArray[np.float32]
    unfamiliar: NDArray[np.int8]
    eligible: NDArray[np.bool_]
    penalty: NDArray[np.float32]
    last_batch: NDArray[np.int32]
    queries: pa.Table
    rejected: pa.Table

    def __len__(self) -> int:
        return len(self.queries)


def write_shard(directory: Path, shard: Shard) -> None:
    """Write a shard so that ``directory`` either holds all of it or does not exist."""
    arrays = {f.name: getattr(shard, f.name) for f in fields(shard)}
    write_directory(directory, arrays)


def read_shard(directory: Path) -> Shard:
    """Open a shard, its matrices memory-mapped."""
    return Shard(**{f.name: _read(directory, f.name) for f in fields(Shard)})


def write_directory(directory: Path, parts: dict[str, Any]) -> None:
    """Write arrays and Arrow tables by name, all or nothing."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    making = directory.with_name(f".{directory.name}.{uuid4().hex}")
    making.mkdir()
    try:
        for name, part in parts.items():
            _write(making, name, part)
        if directory.exists():
            shutil.rmtree(directory)
        making.rename(directory)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def read_directory(directory: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Open the parts called ``names``, memory-mapped."""
    return {name: _read(directory, name) for name in names}


def _write(directory: Path, name: str, part: Any) -> None:
    if isinstance(part, pa.Table):
        with pa.OSFile(str(directory / f"{name}.arrow"), "wb") as sink, pa.ipc.new_file(sink, part.schema) as writer:
            writer.write_table(part)
    else:
        np.save(directory / f"{name}.npy", part, allow_pickle=False)


def _read(directory: Path, name: str) -> Any:
    table = directory / f"{name}.arrow"
    if table.exists():
        with pa.memory_map(str(table)) as source:
            return pa.ipc.open_file(source).read_all()
    array = directory / f"{name}.npy"
    if name in _EMPTY and not array.exists() and directory.exists():
        shape, kind = _EMPTY[name]
        return np.zeros((len(_read(directory, "penalty")), *shape), dtype=kind)
    return np.load(array, mmap_mode="r", allow_pickle=False)
