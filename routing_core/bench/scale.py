"""A night too large for this machine, simulated: tasks on workers, with what one core was measured to do.

Estimating and writing are mapped over chunks; workers take tasks as the scheduler hands them out, tasks differ in
length, some workers are lost and their tasks begun again. Solving is one process; valuing the receipt's rivals is
another, beside the writes. The database takes rows no faster than it can, however many write.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED = 20261124


@dataclass(frozen=True, slots=True)
class Rates:
    """What was measured on one core, and what is assumed of a cluster.

    Attributes
    ----------
    start_seconds : float
        Of a task's process: interpreter, imports, predictor.
    estimate_us, write_us, gather_us, solve_us, compare_us : float
        Microseconds of a core per query; of solving, all its core does from prices to verification and explanation.
    gathered_bytes : float
        Per query and model on the disk of the process that solves: two qualities, a cost, an eligibility.
    resident_bytes : float
        Per query, of that process's own memory: identifiers, order, decisions.
    database_rows : float
        Rows per second that one PostgreSQL takes in all, two indexes kept.
    check_us : float
        Microseconds per row of all checks together.
    handed_out : float
        Tasks per second that one scheduler starts.
    spread : float
        Standard deviation of the logarithm of a task's duration.
    lost : float
        Share of tasks whose worker is lost half-way.
    noticed_seconds : float
        Until a lost worker's task begins again.
    """

    start_seconds: float = 2.0
    estimate_us: float = 35.0
    write_us: float = 8.0
    gather_us: float = 1.0
    solve_us: float = 2.0
    compare_us: float = 11.0
    gathered_bytes: float = 13.0
    resident_bytes: float = 180.0
    database_rows: float = 75_000.0
    check_us: float = 4.0
    handed_out: float = 5.0
    spread: float = 0.2
    lost: float = 0.005
    noticed_seconds: float = 40.0


def simulate_night(queries: int, models: int, workers: int, chunk: int, rates: Rates = Rates()) -> dict[str, Any]:
    """Seconds of each stage of a night, and what it takes.

    Parameters
    ----------
    queries, models : int
    workers : int
        Cores that estimate and write.
    chunk : int
        Queries of a task.
    rates : Rates

    Returns
    -------
    dict
        queries, workers, tasks, estimate, solve, write, compare, check and seconds (of all), wall (the longest stage),
        core_hours, disk_gib and resident_gib of the process that solves.
    """
    rng = np.random.default_rng(SEED)
    sizes = np.full(-(-queries // chunk), chunk)
    sizes[-1] = queries - chunk * (len(sizes) - 1)
    # More writers than the database can serve only wait for each other.
    writers = min(workers, math.ceil(rates.database_rows * rates.write_us * 1e-6))
    writing = _mapped(rates.start_seconds / 2 + sizes * rates.write_us * 1e-6, writers, rates, rng)
    stages = {
        "estimate": _mapped(rates.start_seconds + sizes * rates.estimate_us * 1e-6, workers, rates, rng),
        "solve": rates.start_seconds + queries * (rates.gather_us + rates.solve_us) * 1e-6,
        "write": max(writing, queries / rates.database_rows),
        "compare": rates.start_seconds + queries * (rates.gather_us + rates.compare_us) * 1e-6,
        "check": queries * rates.check_us * 1e-6,
    }
    beside = min(stages["write"], stages["compare"])
    mapped = queries * (rates.estimate_us + rates.write_us) * 1e-6 + 1.5 * rates.start_seconds * len(sizes)
    core_seconds = mapped + stages["solve"] + stages["compare"] + stages["check"]
    return {
        "queries": queries,
        "workers": workers,
        "tasks": 2 * len(sizes),
        **{name: round(seconds, 1) for name, seconds in stages.items()},
        "seconds": round(sum(stages.values()) - beside, 1),
        "wall": max(stages, key=lambda name: stages[name]),
        "core_hours": round(core_seconds / 3600, 2),
        "disk_gib": round(queries * models * rates.gathered_bytes / 2**30, 1),
        "resident_gib": round(queries * rates.resident_bytes / 2**30, 1),
    }


def _mapped(seconds: NDArray[np.float64], workers: int, rates: Rates, rng: np.random.Generator) -> float:
    """When the last of some tasks has ended, each taken by the first worker that is free once it is handed out."""
    seconds = seconds * rng.lognormal(0, rates.spread, len(seconds))
    seconds = seconds + (rng.random(len(seconds)) < rates.lost) * (seconds / 2 + rates.noticed_seconds)
    free = [0.0] * workers
    for k, duration in enumerate(seconds.tolist()):
        heapq.heapreplace(free, max(free[0], k / rates.handed_out) + duration)
    return max(free)
