"""The tasks that end a run: published, or failed."""

from __future__ import annotations

from typing import Any

from routing_core import log
from routing_core.settings import Settings
from routing_core.store import allocations, publishing, results, runs
from routing_core.store.database import writing


@log.step
def publish_run(run_id: int, settings: Settings) -> dict[str, Any]:
    """Make the run current and its predecessor superseded, in one transaction; a dry run stays as it is.

    Returns
    -------
    dict
        run_id, dt, status reached, objective, gap, predictor_id.
    """
    with writing(settings) as connection:
        run = runs.get_run(connection, run_id)
        log.learn(dt=run.dt)
        status = run.status if run.dry_run else publishing.publish(connection, run_id)
        if status == "current":
            allocations.score_forecast(connection, run.dt, results.tasks_of(connection, run_id))
    kept = {"objective": run.objective, "gap": run.gap, "predictor_id": run.predictor_id}
    return {"run_id": run_id, "dt": run.dt.isoformat(), "status": status, **kept}


@log.step
def fail_run(run_id: int, settings: Settings, *, reason: str) -> None:
    """Mark a run failed unless it is published."""
    with writing(settings) as connection:
        runs.fail(connection, run_id, reason)
