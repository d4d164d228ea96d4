"""A night solved from matrices on disk: written by blocks, mapped into a process of its own, solved and verified.

Resident memory is told apart: *anonymous* pages are the solver's own and cannot be given back; *file-backed* ones are
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
from numpy.typing import NDArray

from routing_core.bench.memory import highest, peak_rss_mib, status_mib
from routing_core.bench.solver import FAMILIES, SEED, Family, estimate_blocks
from routing_core.errors import SettingsError
from routing_core.route.parameters import Parameters
from routing_core.route.problem import UNLIMITED, Problem
from routing_core.route.solve import solve
from routing_core.route.verify import verify

GAP = 1e-5
_LOOK_SECONDS = 0.05
_FIELDS = ("quality", "cost", "penalty")


def bench_mapped(queries: int, models: int, family: str = "binding") -> dict[str, Any]:
    """Write a night by blocks, and solve it in a fresh process that maps it.

    Parameters
    ----------
    queries, models : int
    family : str
        One of ``bench.solver.FAMILIES``.

    Returns
    -------
    dict
        queries, models, family, inputs_mib (on disk), seconds, verify_seconds, gap, status, feasible, passes,
        core_queries; peak_rss_mib (all that was ever resident at once, which the bound is on),
        peak_anonymous_mib and peak_file_mib (of each kind, as far as looking twenty times a second sees it).

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
    """Write quality, cost and penalty as ``.npy`` files, no more than a block of them in memory.

    Returns
    -------
    dict
        budget and capacity, of the same kind as ``bench.solver.instance`` makes.
    """
    shapes = {"quality": (queries, models), "cost": (queries, models), "penalty": (queries,)}
    files = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, shape)
        for name, shape in shapes.items()
    }
    best, rng = 0.0, np.random.default_rng(SEED + 2)
    for rows, quality, cost in estimate_blocks(queries, models):
        penalty = rng.choice(np.array([0.02, 0.05, 0.1]), len(quality))
        for name, values in zip(_FIELDS, (quality, cost, penalty), strict=True):
            files[name][rows] = values
        best += float(cost[np.arange(len(cost)), quality.argmax(axis=1)].sum())
    return {"budget": family.budget * best, "capacity": _capacity(queries, models, family).tolist()}


def _capacity(queries: int, models: int, family: Family) -> NDArray[np.int64]:
    if family.room is None:
        return np.full(models, UNLIMITED)
    shares = np.random.default_rng(SEED + 1).dirichlet(np.full(models, 3.0))
    return np.ceil(family.room * queries * shares).astype(np.int64)


def solve_mapped(folder: str, limits: str) -> None:
    """Map a night, solve and verify it, print the figures: what the fresh process runs."""
    given = json.loads(limits)
    arrays = {name: np.load(Path(folder) / f"{name}.npy", mmap_mode="r") for name in _FIELDS}
    with highest(_resident, _LOOK_SECONDS) as peak:
        started = time.perf_counter()
        problem = Problem(**arrays, budget=given["budget"], capacity=np.array(given["capacity"]))
        solution = solve(problem, Parameters(gap=GAP))
        solved = time.perf_counter()
        feasible = verify(problem, solution).ok
        verified = time.perf_counter()
    figures = {
        "inputs_mib": round(sum(array.nbytes for array in arrays.values()) / 2**20, 1),
        "seconds": round(solved - started, 3),
        "verify_seconds": round(verified - solved, 3),
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
