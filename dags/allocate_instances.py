"""### Allocate the instances

Forecasts the mix of the *next* day's backlog, `dt + 1`, and decides how many instances of each self-hosted model serve
it under the GPU budget. An allocation is known by the day it serves, `for_date = dt + 1`.

    night ──▶ verdict, day_before ──▶ allocate

- **Waits** (deferred) for the verdict of `retrain_predictors` for `dt`. When the limit passes, a scheduled run goes on
  with the reigning champion; a backfill or a run by hand fails with the remedy.
- **A range of the past**: `airflow backfill create --dag-id allocate_instances --from-date 2026-11-01
  --to-date 2026-11-07`. Changes are counted from the day before: each waits until the run of that day has ended.
- **One night by hand**: `airflow dags trigger allocate_instances --conf '{"dt": "2026-11-01"}'`

Emits the asset `nightshift://allocations`.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, AssetAlias, dag, task
from nightshift_waits import Awaited, WaitFor
from nightshift_wiring import (
    EVERY_NIGHT,
    FIRST_NIGHT,
    PATIENCE,
    awaited_date,
    date_of,
    date_param,
    day_before,
    deadline,
    dry_run_param,
    policy_param,
    run_key,
)

ALLOCATIONS = Asset("nightshift://allocations")
WHEN_KEPT = AssetAlias("nightshift-allocation")
"""Through an alias, a dry run can end well without an event."""


@task(multiple_outputs=True)
def night(**context: Any) -> dict[str, str | None]:
    """The night this run is about, `dt`, the day before, and the date whose verdict it awaits; None where none."""
    dt = date_of(context)
    verdict = awaited_date(dt, context["params"]["predictor_policy"])
    return {"dt": dt.isoformat(), "before": day_before(dt), "verdict": verdict}


@task(outlets=[WHEN_KEPT], max_active_tis_per_dag=1)
def allocate(dt: str, **context: Any) -> dict[str, Any]:
    """Forecast the next day's mix and size the fleet for it."""
    from datetime import date

    from routing_core.settings import load_settings
    from routing_core.steps.allocate import allocate as step

    params = context["params"]
    allocation = step(
        date.fromisoformat(dt),
        load_settings(),
        run_key=run_key(context),
        predictor_policy=params["predictor_policy"],
        dry_run=params["dry_run"],
    )
    if not params["dry_run"]:
        context["outlet_events"][WHEN_KEPT].add(ALLOCATIONS, extra=allocation)
    return allocation


@dag(
    schedule=EVERY_NIGHT,
    start_date=FIRST_NIGHT,
    catchup=False,
    max_active_runs=1,
    default_args=PATIENCE,
    deadline=deadline("allocate_instances"),
    doc_md=__doc__,
    tags=["nightshift"],
    params={"dt": date_param(), "predictor_policy": policy_param("predictor"), "dry_run": dry_run_param()},
)
def allocate_instances() -> None:
    about = night()
    waits = [
        WaitFor(task_id="verdict", awaited=Awaited.VERDICT, on=about["verdict"]),
        WaitFor(task_id="day_before", awaited=Awaited.DAY_BEFORE, on=about["before"], behind="allocate_instances"),
    ]
    waits >> allocate(about["dt"])


allocate_instances()
