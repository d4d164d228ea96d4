"""How to solve: limits, seed, and the gap to prove."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

_CORES = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a solve may use. Nothing here but ``wall_seconds`` makes an answer depend on the machine.

    Attributes
    ----------
    gap : float
        Gap to prove before stopping, a share of the value served.
    seed : int
        Seed of the sample that starts the prices.
    sample : int
        Queries in that sample; nights of at most so many rows are taken whole from the start.
    pool : int
        Most near-tied queries that repair works on at once.
    max_passes : int
        Most evaluations of the dual.
    core_queries : int
        Most queries in an exact core.
    core_effort : float
        Deterministic time of all exact cores of one solve together, about a second each; for branch and bound over
        an LP, 400 nodes of 240 kinds of queries, and fewer of more.
    robust_solves : int
        Most ordinary solves that budgeted uncertainty may take.
    threads : int
        Threads that share a pass; 0 takes the machine's.
    wall_seconds : float
        Safety net, seconds; infinite by default, since it breaks reproducibility.
    """

    gap: float = 1e-6
    seed: int = 20260101
    sample: int = 16384
    pool: int = 4096
    max_passes: int = 400
    core_queries: int = 960
    core_effort: float = 5.0
    robust_solves: int = 40
    threads: int = 0
    wall_seconds: float = math.inf

    @property
    def workers(self) -> int:
        """Threads that share a pass."""
        return self.threads or _CORES
