"""### Route the backlog

Assigns every query of the backlog collected during `dt` to a model, or defers or rejects it with the reason, under the
cost budget and the capacity of the allocation with `for_date = dt`, and publishes the plan to the results database. It
is executed on `dt + 1`.

    night ──▶ verdict, allocation, backlog, night_before ──▶ open_run ──▶ list_chunks
          ──▶ estimate (mapped) ──▶ solve ──▶ write (mapped), compare ──▶ check ──▶ publish ──▶ close_run

- **Waits** (deferred) for the verdict for `dt`, the allocation for `dt`, the backlog of `dt` and, when nights are
  chained, the current run of `dt - 1`. When the limit passes, a scheduled run goes on with the reigning champion and
  the last allocation, and the run says so; a backfill or a run by hand fails with the remedy. Without a backlog
  nothing goes on. A policy of `latest` takes what there is and waits for nothing.
- **A reader sees the old night or the new one**: only `publish` makes a run current, and only behind `check`. Whatever
  fails before, `close_run` marks the run failed, and the night that was current stays so.
- **A range of the past**: `airflow backfill create --dag-id route_backlog --from-date 2026-11-01 --to-date 2026-11-07`.
  Its nights stand by themselves and run side by side; with `--dag-run-conf '{"carry_over": "chained"}'` each takes up
  what the night before deferred, and waits until the run of that night has ended.
- **One stage again**: where `estimate`, `solve` or `write` failed, clear only what failed, and the run goes on. Clear
  `solve` or `estimate` with what follows, and a new run plans the night from the estimates there are, if input and
  predictor are still the same; so too where `compare`, `check` or `publish` failed. Else clear all.
- **One night by hand**: `airflow dags trigger route_backlog --conf '{"dt": "2026-11-01"}'`

Emits the asset `nightshift://nights`.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, AssetAlias, Param, TriggerRule, dag, task
from nightshift_alerts import tell
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
    measure,
    policy_param,
    run_key,
)

NIGHTS = Asset("nightshift://nights")
WHEN_CURRENT = AssetAlias("nightshift-night")
"""Through an alias, a run that does not become current (dry, or the shadow of a sealed one) ends without an event.

Airflow makes an alias's asset when its first event comes, and fails the second of two tasks that make it at once. So
nights are published one at a time.
"""

PARAMS = {
    "dt": date_param(),
    "budget_usd": Param(
        None,
        type=["null", "number"],
        minimum=0,
        title="Budget of the night, USD",
        description="Empty: as configured (budget_usd).",
    ),
    "robust_level": Param(
        None,
        type=["null", "number"],
        exclusiveMinimum=0,
        exclusiveMaximum=1,
        title="Robust level",
        description="The quantile of quality to plan with, 0.1 being the paper's. Empty: as configured or learnt.",
    ),
    "batching": Param(
        None,
        type=["null", "string"],
        enum=[None, "planned", "arrival"],
        title="Batching",
        description="planned: the night deals its own batches. arrival: batches as they come (the paper). "
        "Empty: as configured.",
    ),
    "carry_over": Param(
        None,
        type=["null", "string"],
        enum=[None, "chained", "none"],
        title="Carry-over",
        description="chained: take up what the night before deferred, and wait for it. none: a night by itself. "
        "Empty: as configured when scheduled, as the plan before when replanned, none otherwise.",
    ),
    "predictor_policy": policy_param("predictor"),
    "allocation_policy": policy_param("allocation"),
    "replan": Param(
        False, type="boolean", title="Replan", description="Replace the plan even if it was sealed and handed out."
    ),
    "dry_run": dry_run_param(),
}

_MEASURED = ("assigned", "deferred", "rejected", "budget_usd", "planned_spend_usd", "expected_quality", "gap")
"""Figures of a published night that are reported as gauges."""


@task(multiple_outputs=True)
def night(**context: Any) -> dict[str, str | None]:
    """The night this run is about, `dt`, and the dates it awaits something for; None where it awaits nothing."""
    dt, params = date_of(context), context["params"]
    return {
        "dt": dt.isoformat(),
        "verdict": awaited_date(dt, params["predictor_policy"]),
        "allocation": awaited_date(dt, params["allocation_policy"]),
        "before": day_before(dt) if carry_over(context) == "chained" else None,
    }


def carry_over(context: Any) -> str:
    """What the run says, else what is configured for scheduled nights; a backfill's nights stand by themselves.

    A plan that replaces another, sealed or not, takes up what that one did.
    """
    from routing_core.settings import load_settings

    asked: str | None = context["params"]["carry_over"]
    if asked or context["dag_run"].run_type == "scheduled":
        return asked or load_settings().carry_over
    return "as_before" if context["params"]["replan"] else "none"


@task
def open_run(dt: str, have: dict[str, bool], **context: Any) -> int:
    """Open the run, or find it again: a retry gets the same number."""
    from datetime import date

    from routing_core.settings import load_settings
    from routing_core.steps import route

    chosen = {name: value for name, value in context["params"].items() if name != "dt"}
    options = route.RouteOptions(
        **{**chosen, "carry_over": carry_over(context)}, degraded=tuple(name for name in have if not have[name])
    )
    return route.open_run(
        date.fromisoformat(dt),
        load_settings(),
        run_key=run_key(context),
        options=options,
        attempt=context["ti"].try_number,
    )


@task
def list_chunks(run: int) -> list[int]:
    """Number the chunks that the backlog is estimated and written in."""
    from routing_core.settings import load_settings
    from routing_core.steps import route

    return route.list_chunks(run, load_settings())


@task
def estimate(chunk: int, run: int, **context: Any) -> dict[str, Any]:
    """Estimate quality and cost of a chunk's queries on every model: the heavy part."""
    from routing_core.settings import load_settings
    from routing_core.steps import route

    return route.estimate_chunk(run, chunk, load_settings(), attempt=context["ti"].try_number)


# solve, compare and check run when no task before them failed: of an empty backlog there is no chunk to map over,
# Airflow skips the mapped tasks, and the night still ends in a run. Airflow lets no such task follow a setup task
# directly, so these three look the run up.


@task(trigger_rule=TriggerRule.NONE_FAILED)
def solve(**context: Any) -> dict[str, Any]:
    """Decide the whole night at once."""
    from routing_core.settings import load_settings
    from routing_core.steps import route

    ti = context["ti"]
    return route.solve_night(ti.xcom_pull(task_ids="open_run"), load_settings(), attempt=ti.try_number)


@task
def write(chunk: int, run: int, **context: Any) -> dict[str, Any]:
    """Write a chunk's decisions, fenced by the attempt."""
    from routing_core.settings import load_settings
    from routing_core.steps import route

    return route.write_chunk(run, chunk, load_settings(), attempt=context["ti"].try_number)


@task(trigger_rule=TriggerRule.NONE_FAILED)
def compare(**context: Any) -> dict[str, Any]:
    """Value the plan against what others would make of the same night: its receipt."""
    from routing_core.settings import load_settings
    from routing_core.steps import route

    return route.compare_run(context["ti"].xcom_pull(task_ids="open_run"), load_settings())


@task(trigger_rule=TriggerRule.NONE_FAILED)
def check(**context: Any) -> dict[str, Any]:
    """Hold the staged run against `sql/checks`."""
    from routing_core.settings import load_settings
    from routing_core.steps import route

    return route.check_run(context["ti"].xcom_pull(task_ids="open_run"), load_settings())


@task(outlets=[WHEN_CURRENT], max_active_tis_per_dag=1)
def publish(run: int, **context: Any) -> dict[str, Any]:
    """Make the run current and its predecessor superseded, in one transaction."""
    from datetime import date

    from routing_core.settings import load_settings
    from routing_core.steps import read, route, watch

    published = route.publish_run(run, load_settings())
    if published["status"] == "current":
        context["outlet_events"][WHEN_CURRENT].add(NIGHTS, extra=published)
        dt = date.fromisoformat(published["dt"])
        figures = read.status(dt, load_settings())
        measure("night", **{name: figures[name] for name in _MEASURED})
        tell(watch.night_alerts(dt, load_settings()), run_id=run)
    return published


@task
def close_run(run: int, **context: Any) -> str:
    """Mark the run failed unless it was published, naming the tasks that failed."""
    from routing_core.settings import load_settings
    from routing_core.steps import route

    here = context["dag_run"]
    states = context["ti"].get_task_states(dag_id=here.dag_id, run_ids=[here.run_id])[here.run_id]
    if states["publish"] == "success":
        return "published"
    failed = sorted(name for name, state in states.items() if state == "failed")
    reason = f"{', '.join(failed) or 'publish'} did not succeed in {run_key(context)}"
    route.fail_run(run, load_settings(), reason=reason)
    return reason


@dag(
    schedule=EVERY_NIGHT,
    start_date=FIRST_NIGHT,
    catchup=False,
    max_active_runs=3,
    default_args=PATIENCE,
    deadline=deadline("route_backlog"),
    doc_md=__doc__,
    tags=["nightshift"],
    params=PARAMS,
)
def route_backlog() -> None:
    about = night()
    have = {
        "verdict": WaitFor(task_id="verdict", awaited=Awaited.VERDICT, on=about["verdict"]).output,
        "allocation": WaitFor(task_id="allocation", awaited=Awaited.ALLOCATION, on=about["allocation"]).output,
        "backlog": WaitFor(task_id="backlog", awaited=Awaited.BACKLOG, on=about["dt"]).output,
        "night_before": WaitFor(
            task_id="night_before", awaited=Awaited.NIGHT, on=about["before"], behind="route_backlog"
        ).output,
    }
    run = open_run(about["dt"], have)
    chunks = list_chunks(run)
    estimated = estimate.partial(run=run).expand(chunk=chunks)
    solved = solve()
    written = write.partial(run=run).expand(chunk=chunks)
    compared, checked, published = compare(), check(), publish(run)
    estimated >> solved >> [written, compared] >> checked >> published

    # A teardown runs whatever happened to the tasks it follows, leaves the DAG run's state to them, and is cleared
    # together with open_run when tasks are cleared with what follows: a run is opened, and is closed again.
    closed = close_run(run).as_teardown(setups=run)
    [chunks, estimated, solved, written, compared, checked, published] >> closed


route_backlog()
