"""The task that decides the whole night at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from routing_core import log
from routing_core.settings import Settings
from routing_core.steps.means import as_opened
from routing_core.steps.route.again import list_if_left_out, take_over_estimates
from routing_core.store import allocations, catalogs, chunks, results, runs, versions
from routing_core.store.database import writing
from routing_core.store.gather import scatter, solution_directory


@log.step
def solve_night(run_id: int, settings: Settings, *, attempt: int = 1) -> dict[str, Any]:
    """Decide the whole night at once, verify it, and keep the decisions as one part per chunk.

    Returns
    -------
    dict
        objective, bound, gap, solver_status.

    Raises
    ------
    SolverError
        If the solution does not survive verification.
    StaleAttemptError
        If a newer attempt has the run.
    RunStateError
        If the run has not listed its input, or a chunk of it is not estimated.
    """
    from routing_core.steps.route.deciding import Ground, decide  # noqa: PLC0415 — slow to import, as all that solves
    from routing_core.store import predictors  # noqa: PLC0415

    clock = Clock()
    list_if_left_out(run_id, settings)
    take_over_estimates(run_id, settings)
    with writing(settings) as connection:
        runs.claim_solve(connection, run_id, attempt)
        run = runs.get_run(connection, run_id)
        log.learn(dt=run.dt)
        runs.require_listed(run)
        shards = chunks.estimated(connection, run_id)
        content_hash = versions.get_version(connection, run.predictor_id).content_hash
        fleet = allocations.get_allocation(connection, run.allocation_id)
    asked = as_opened(run, settings)
    predictor = predictors.load_cached(asked.predictors_root, content_hash)
    made = decide(Ground(run, asked, catalogs.of_run(run, asked), fleet, predictor, shards), clock)
    with clock.stage("scatter"):
        scatter(solution_directory(asked.run_directory(run_id), attempt), made.places, made.decided)
    with writing(settings) as connection:
        runs.claim_solve(connection, run_id, attempt)
        runs.update_run(connection, run_id, **made.figures, timings=clock.seconds)
        results.replace_night(connection, run_id, {"receipts": [], **made.tables})
    return {name: made.figures[name] for name in ("objective", "bound", "gap", "solver_status")}


class Clock:
    """Seconds of named stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 4)
