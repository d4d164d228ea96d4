"""What the DAGs share: when they run, how they retry, their common parameters, and how a run learns its date.

Nothing here does any of a night's work; each DAG file stays readable without it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import CronDataIntervalTimetable, ExceptionRetryPolicy, Param, RetryAction, RetryRule
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from nightshift_alerts import failed, late, late_after

from routing_core.errors import NightshiftError, SettingsError

if TYPE_CHECKING:
    from airflow.sdk import Context

EVERY_NIGHT = CronDataIntervalTimetable("0 0 * * *", timezone="UTC")
"""The data interval of a run is the day ``dt``, and the run starts when that day has ended."""

FIRST_NIGHT = datetime(2024, 1, 1, tzinfo=UTC)

PATIENCE: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "on_failure_callback": failed,
    # A task that hangs would keep its run running, and every night behind it waiting. Waits have a limit of their own.
    "execution_timeout": timedelta(hours=6),
    # A named refusal says what to change, and trying again changes nothing; nor does it install a library. What has no
    # name of ours (a lost connection, a killed process, a full disk) may pass, and is tried again.
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(
                exception=[NightshiftError, ImportError], action=RetryAction.FAIL, reason="trying again would not help"
            )
        ]
    ),
}
"""Default arguments of every task."""


def deadline(dag_id: str) -> DeadlineAlert | None:
    """Tells when a run of the DAG is not done in time, where a time is set; the run goes on."""
    after = late_after()
    if after is None:
        return None
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=after,
        callback=AsyncCallback(late, kwargs={"dag_id": dag_id, "after": str(after)}),
    )


def measure(name: str, **figures: float | None) -> None:
    """Report figures of a night as gauges ``nightshift.<name>.<figure>`` by Airflow's StatsD or OpenTelemetry."""
    from airflow.sdk.observability import stats

    for figure, value in figures.items():
        if value is not None:
            stats.gauge(f"nightshift.{name}.{figure}", float(value))


POLICIES = ["as_of", "latest"]


def date_param() -> Param:
    """The night to plan, for runs by hand."""
    return Param(
        None,
        type=["null", "string"],
        format="date",
        title="Night (dt)",
        description="The day whose night is meant, YYYY-MM-DD. Scheduled and backfill runs know it by themselves.",
    )


def policy_param(what: str) -> Param:
    """Which predictor or allocation to plan with."""
    return Param(
        "as_of",
        type="string",
        enum=POLICIES,
        title=f"{what.capitalize()} policy",
        description=f"as_of: the {what} that was in force for that night. latest: today's.",
    )


def dry_run_param() -> Param:
    """Whether to leave everything as it is."""
    return Param(False, type="boolean", title="Dry run", description="Do the work, publish nothing.")


def date_of(context: Context) -> date:
    """The night that a run is about.

    Raises
    ------
    SettingsError
        The run's conf holds a key that is no parameter of its DAG: Airflow would accept it and leave it unheard.
    DateError
        A run by hand does not say which night it means.
    """
    from routing_core.steps.night import resolve_dt

    run, params = context["dag_run"], context["params"]
    refuse_unknown_keys(run.conf or {}, run.dag_id, known=context["dag"].params)
    return resolve_dt(params["dt"], run.run_type.value, run.data_interval_start, dag_id=run.dag_id)


def refuse_unknown_keys(conf: Any, dag_id: str, known: Any) -> None:
    """Fail on a conf key that no parameter of the DAG answers to."""
    unknown = sorted(set(conf) - set(known))
    if unknown:
        raise SettingsError(
            f"conf of dag {dag_id!r}: unknown {', '.join(map(repr, unknown))}; its parameters are "
            f"{', '.join(sorted(known))}"
        )


def run_key(context: Context) -> str:
    """The name by which the results database knows this DAG run, the same in every retry."""
    return f"{context['dag_run'].dag_id}/{context['dag_run'].run_id}"


def day_before(dt: date) -> str:
    """The day whose run leaves what this one builds upon."""
    return (dt - timedelta(days=1)).isoformat()


def awaited_date(dt: date, policy: str) -> str | None:
    """The date a run waits for a predictor or allocation of: its own, or none when the latest will do."""
    return dt.isoformat() if policy == "as_of" else None
