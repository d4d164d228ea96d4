"""### Settle the outcomes

Joins what was logged up to the end of `dt` to the plans that were executed, and keeps what the nights came to: planned
against actual spend, predicted against realised quality, calibration by model and task, and what is late or missing.
Settled are the nights of the `settle_days` before `dt` of which there are outcomes, and `dt` itself once it has some.

    night ──▶ settle

- **Settling again** takes the outcomes as they are by then and replaces what was kept: late ones and corrections count,
  and nothing counts twice. Nights may be settled in any order.
- **A range of the past**: `airflow backfill create --dag-id settle_outcomes --from-date 2026-11-01
  --to-date 2026-11-07`
- **One night by hand**: `airflow dags trigger settle_outcomes --conf '{"dt": "2026-11-01"}'`

Emits the asset `nightshift://settlements`.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, AssetAlias, dag, task
from nightshift_alerts import tell
from nightshift_wiring import EVERY_NIGHT, FIRST_NIGHT, PATIENCE, date_of, date_param, dry_run_param

SETTLEMENTS = Asset("nightshift://settlements")
WHEN_KEPT = AssetAlias("nightshift-settlement")
"""Through an alias, a dry run can end well without an event."""


@task
def night(**context: Any) -> str:
    """The night this run is about."""
    return date_of(context).isoformat()


@task(outlets=[WHEN_KEPT], max_active_tis_per_dag=1)
def settle(dt: str, **context: Any) -> list[dict[str, Any]]:
    """Settle the nights that end with this one."""
    from datetime import date

    from routing_core.settings import load_settings
    from routing_core.steps import watch
    from routing_core.steps.settle import settle_nights

    dry_run = context["params"]["dry_run"]
    nights = settle_nights(date.fromisoformat(dt), load_settings(), dry_run=dry_run)
    short = [{"dt": str(one["dt"]), **{name: one[name] for name in ("run_id", "settled", "missing")}} for one in nights]
    if short and not dry_run:
        context["outlet_events"][WHEN_KEPT].add(SETTLEMENTS, extra={"nights": short})
    if not dry_run:
        for one in nights:
            tell(watch.settlement_alerts(date.fromisoformat(str(one["dt"])), load_settings()), run_id=one["run_id"])
    return short


@dag(
    schedule=EVERY_NIGHT,
    start_date=FIRST_NIGHT,
    catchup=False,
    max_active_runs=1,
    default_args=PATIENCE,
    doc_md=__doc__,
    tags=["nightshift"],
    params={"dt": date_param(), "dry_run": dry_run_param()},
)
def settle_outcomes() -> None:
    settle(night())


settle_outcomes()
