"""### Retrain the predictors

Fits quality and cost predictors on the outcomes logged up to the end of `dt`, judges them against the reigning ones,
and promotes the winner. If the challenger is not better, the champion stays and the reason is a row in
`predictor_versions`.

    night ──▶ day_before ──▶ retrain

- **By schedule**: every midnight UTC, for the day that has ended.
- **A range of the past**: `airflow backfill create --dag-id retrain_predictors --from-date 2026-11-01
  --to-date 2026-11-07`. Each night is judged against the champion of the night before, so each waits (deferred) until
  the run of the day before has ended, if there is one.
- **One night by hand**: `airflow dags trigger retrain_predictors --conf '{"dt": "2026-11-01"}'`

Emits the asset `nightshift://verdicts`.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, AssetAlias, dag, task
from nightshift_alerts import tell
from nightshift_waits import Awaited, WaitFor
from nightshift_wiring import (
    EVERY_NIGHT,
    FIRST_NIGHT,
    PATIENCE,
    date_of,
    date_param,
    day_before,
    deadline,
    dry_run_param,
    run_key,
)

VERDICTS = Asset("nightshift://verdicts")
WHEN_KEPT = AssetAlias("nightshift-verdict")
"""Through an alias, a dry run can end well without an event."""


@task(multiple_outputs=True)
def night(**context: Any) -> dict[str, str]:
    """The night this run is about, `dt`, and the day before it."""
    dt = date_of(context)
    return {"dt": dt.isoformat(), "before": day_before(dt)}


@task(outlets=[WHEN_KEPT], max_active_tis_per_dag=1)
def retrain(dt: str, **context: Any) -> dict[str, Any]:
    """Fit, judge, promote."""
    from datetime import date

    from routing_core.settings import load_settings
    from routing_core.steps import watch
    from routing_core.steps.retrain import retrain as step

    dry_run = context["params"]["dry_run"]
    verdict = step(date.fromisoformat(dt), load_settings(), run_key=run_key(context), dry_run=dry_run)
    if not dry_run:
        context["outlet_events"][WHEN_KEPT].add(VERDICTS, extra=verdict)
        tell(watch.verdict_alerts(date.fromisoformat(dt), load_settings()), dt=dt)
    return verdict


@dag(
    schedule=EVERY_NIGHT,
    start_date=FIRST_NIGHT,
    catchup=False,
    max_active_runs=1,
    default_args=PATIENCE,
    deadline=deadline("retrain_predictors"),
    doc_md=__doc__,
    tags=["nightshift"],
    params={"dt": date_param(), "dry_run": dry_run_param()},
)
def retrain_predictors() -> None:
    about = night()
    before = WaitFor(task_id="day_before", awaited=Awaited.DAY_BEFORE, on=about["before"], behind="retrain_predictors")
    before >> retrain(about["dt"])


retrain_predictors()
