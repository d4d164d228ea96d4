"""The task that values the plan against what others would make of the same night: its receipt."""

from __future__ import annotations

from typing import Any

from routing_core import log
from routing_core.settings import Settings
from routing_core.store import results, runs
from routing_core.store.database import reading, writing


@log.step
def compare_run(run_id: int, settings: Settings) -> dict[str, Any]:
    """Have rivals decide the solved night, and keep what each comes to in place of an earlier receipt.

    What was left of another run is compared where it is planned: only there is it known what was sent.

    Returns
    -------
    dict
        rivals, and the verdict over each by name.

    Raises
    ------
    RunStateError
        If the run has failed, has not been solved, or is published meanwhile.
    StaleAttemptError
        If the night was solved again meanwhile.
    NotFoundError
        If its estimates are no longer kept.
    """
    from routing_core.steps.figures import receipt_rows  # noqa: PLC0415 — slow to import, as all that solves
    from routing_core.steps.retained import retained_night  # noqa: PLC0415

    with reading(settings) as connection:
        run = runs.get_run(connection, run_id)
    log.learn(dt=run.dt)
    runs.refuse_failed(run)
    runs.require_solved(run)
    rows: list[dict[str, Any]] = []
    if run.status == "staged" and run.sent_through_batch is None and run.assigned + run.deferred:
        kept = retained_night(run, settings, scratch=settings.run_directory(run_id))
        rows = receipt_rows(kept.problem(), kept.decided["model"], kept.night, kept.models, kept.settings)
        with writing(settings) as connection:
            runs.claim_receipt(connection, run_id, run.solve_attempt)
            results.replace_night(connection, run_id, {"receipts": rows})
    return {"rivals": len(rows), **{row["policy"]: row["verdict"] for row in rows if row["verdict"]}}
