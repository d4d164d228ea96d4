"""A night solved from estimate shards on disk, as a night's tasks leave them: gathered, mapped, solved, verified.

Resident memory is told apart: *anonymous* pages are the process's own and cannot be given back; *file-backed* ones are
copies of what is on disk, which the kernel drops when memory is short. The bound counts both.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from routing_core.bench.memory import highest, peak_rss_mib, status_mib
from routing_core.bench.solver import FAMILIES, SEED, Family, estimate_blocks
from routing_core.errors import SettingsError
from routing_core.route.parameters import Parameters
from routing_core.route.problem import UNLIMITED, Problem
from routing_core.route.solve import solve
from routing_core.route.verify import verify
from routing_core.store.decisions import rejected_table
from routing_core.store.gather import gather
from routing_core.store.shards import Shard, write_shard

GAP = 1e-5
_LOOK_SECONDS = 0.05
_SCATTER = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that no two numbers go to the same place; what is cut off afterwards is one bit of 64."""


def bench_mapped(queries: int, models: int, family: str = "binding") -> dict[str, Any]:
    """Write a night's shards, and solve it in a fresh process that maps them.

    Parameters
    ----------
    queries, models : int
    family : str
        One of ``bench.solver.FAMILIES``.

    Returns
    -------
    dict
        queries, models, family, shards, inputs_mib (on disk), gather_seconds, seconds (of the solve), verify_seconds,
        gap, status, feasible, passes, core_queries; peak_rss_mib (all that was ever resident at once, which the bound
        is on), peak_anonymous_mib and peak_file_mib (of each kind, as far as looking twenty times a second sees it).

    Raises
    ------
    SettingsError
        If there is no such family.
    """
    if family not in FAMILIES:
        raise SettingsError(f"family must be one of {', '.join(FAMILIES)}, got {family!r}")
    with tempfile.TemporaryDirectory(prefix="nightshift-mapped-") as folder:
        limits = write_night(Path(folder), queries, models, FAMILIES[family])
        call = "import sys; from routing_core.bench.mapped import solve_mapped; solve_mapped(*sys.argv[1:])"
        command = [sys.executable, "-c", call, folder, json.dumps(limits)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return {"queries": queries, "models": models, "family": family, **figures}


def write_night(folder: Path, queries: int, models: int, family: Family) -> dict[str, Any]:
    """Write a night as shards, no more than one of them in memory; queries come in no order of their identifiers.

    Returns
    -------
    dict
        budget and capacity, of the same kind as ``bench.solver.instance`` makes.
    """
    best, rng = 0.0, np.random.default_rng(SEED + 2)
    for rows, better, dearer in estimate_blocks(queries, models):
        quality, cost = better.astype(np.float32), dearer.astype(np.float32)
        penalty = rng.choice(np.array([0.02, 0.05, 0.1], np.float32), len(quality))
        write_shard(folder / f"chunk-{rows.start:010d}", _shard(rows.start, quality, cost, penalty))
        best += float(cost[np.arange(len(cost)), quality.argmax(axis=1)].sum(dtype=np.float64))
    return {"budget": family.budget * best, "capacity": _capacity(queries, models, family).tolist()}


def _shard(first: int, quality: NDArray[np.float32], cost: NDArray[np.float32], penalty: NDArray[np.float32]) -> Shard:
    n = len(quality)
    scattered = (np.arange(first, first + n, dtype=np.uint64) * _SCATTER) >> np.uint64(1)
    queries = {
        "query_id": pa.array(scattered.astype(np.int64)).cast(pa.string()),
        "team": pa.nulls(n, pa.string()),
        "submitted_at": pa.nulls(n, pa.timestamp("us")),
    }
    return Shard(
        mean_quality=quality,
        lower_quality=quality,
        cost_usd=cost,
        careful_quality=np.empty((n, 0), dtype=np.float32),
        unfamiliar=np.zeros(n, dtype=np.int8),
        eligible=np.ones(quality.shape, dtype=bool),
        penalty=penalty,
        last_batch=np.ones(n, dtype=np.int32),
        queries=pa.table(queries),
        rejected=rejected_table([]),
    )


def _capacity(queries: int, models: int, family: Family) -> NDArray[np.int64]:
    if family.room is None:
        return np.full(models, UNLIMITED)
    shares = np.random.default_rng(SEED + 1).dirichlet(np.full(models, 3.0))
    return np.ceil(family.room * queries * shares).astype(np.int64)


def solve_mapped(folder: str, limits: str) -> None:
    """Gather a night, solve and verify it, print the figures: what the fresh process runs."""
    given, shards = json.loads(limits), sorted(Path(folder).iterdir())
    inputs = sum(file.stat().st_size for shard in shards for file in shard.iterdir())
    with highest(_resident, _LOOK_SECONDS) as peak:
        times = [time.perf_counter()]
        night = gather(shards, len(given["capacity"]), [], scratch=Path(folder))
        times.append(time.perf_counter())
        problem = Problem(
            night.lower_quality, night.cost_usd, night.penalty, given["budget"], np.array(given["capacity"])
        )
        solution = solve(problem, Parameters(gap=GAP))
        times.append(time.perf_counter())
        feasible = verify(problem, solution).ok
        times.append(time.perf_counter())
    gathering, solving, verifying = np.diff(times).round(3).tolist()
    figures = {
        "shards": len(shards),
        "inputs_mib": round(inputs / 2**20, 1),
        "gather_seconds": gathering,
        "seconds": solving,
        "verify_seconds": verifying,
        "gap": solution.gap,
        "status": solution.status.value,
        "feasible": feasible,
        "passes": solution.passes,
        "core_queries": solution.core_queries,
        "peak_rss_mib": peak_rss_mib(),
        "peak_anonymous_mib": peak["RssAnon"],
        "peak_file_mib": peak["RssFile"],
    }
    print(json.dumps(figures))


def _resident() -> dict[str, float | None]:
    return {kind: status_mib(kind) for kind in ("RssAnon", "RssFile")}
