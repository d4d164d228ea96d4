"""The task that holds what was written against ``sql/checks``."""

from __future__ import annotations

from typing import Any

from routing_core import log
from routing_core.errors import ChecksFailedError
from routing_core.settings import Settings
from routing_core.store import checks, results, runs
from routing_core.store.database import writing


@log.step
def check_run(run_id: int, settings: Settings) -> dict[str, Any]:
    """Count what was written, hold the run against ``sql/checks``, and let it pass if none fails.

    Returns
    -------
    dict
        passed, and the names of the checks that warn.

    Raises
    ------
    ChecksFailedError
        Naming each check that fails and the first rows that break it.
    RunStateError
        If the run has failed.
    """
    with writing(settings) as connection:
        run = runs.get_run(connection, run_id)
        log.learn(dt=run.dt)
        runs.refuse_failed(run)
        if run.status == "staged":
            runs.update_run(connection, run_id, rejected=results.count_rejected(connection, run_id))
            results.total_assignments(connection, run_id)
        found = checks.run_checks(connection, run_id)
        broken = [check for check in found if check.offending and check.severity == "fail"]
        if not broken and run.status == "staged":
            runs.mark_checked(connection, run_id)
    if broken:
        lines = [f"{check.name}: {check.what}; seen {' | '.join(check.offending)}" for check in broken]
        raise ChecksFailedError(f"run {run_id} of {run.dt} breaks {len(broken)} checks: " + "; ".join(lines))
    return {"passed": len(found), "warnings": [check.name for check in found if check.offending]}
