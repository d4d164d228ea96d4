"""The wait for a night's data: a task that holds no worker while it waits.

The DAGs are ordered by data, not by each other's runs. `WaitFor` looks once; if what it waits for is not there
yet, a trigger goes on looking from the triggerer until it is, or until the limit has passed since the task's own start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from routing_core.errors import MissingAllocationError, MissingPartitionError, MissingPredictorError, NightshiftError

if TYPE_CHECKING:
    from airflow.sdk import Context


class Awaited(StrEnum):
    """What a task may wait for."""

    VERDICT = "verdict"
    """The verdict of retraining for a date: a champion was promoted, or kept."""
    ALLOCATION = "allocation"
    """An allocation that serves a date."""
    BACKLOG = "backlog"
    """A complete backlog partition. There is no going on without it."""
    NIGHT = "night"
    """A current run of a date, whose deferred queries a chained night takes up."""
    DAY_BEFORE = "day before"
    """Nothing but the end of the DAG's own run of a date, if there is one: what it leaves is built upon."""


_DISPENSABLE = frozenset({Awaited.VERDICT, Awaited.ALLOCATION, Awaited.NIGHT, Awaited.DAY_BEFORE})
"""What a scheduled night can go on without: older predictors and allocations serve as well, if not as good."""

_MISSING: dict[Awaited, type[NightshiftError]] = {
    Awaited.VERDICT: MissingPredictorError,
    Awaited.ALLOCATION: MissingAllocationError,
    Awaited.BACKLOG: MissingPartitionError,
    Awaited.NIGHT: MissingPartitionError,
    Awaited.DAY_BEFORE: MissingPartitionError,
}

RunsOf = Callable[..., int]
"""Counts DAG runs: ``get_dr_count`` of a task instance."""


def is_there(awaited: Awaited, on: date) -> bool:
    """Whether what is awaited for a date is there."""
    from routing_core.settings import load_settings
    from routing_core.steps import ready

    if awaited is Awaited.DAY_BEFORE:
        return True
    look = {
        Awaited.VERDICT: ready.verdict_ready,
        Awaited.ALLOCATION: ready.allocation_ready,
        Awaited.BACKLOG: ready.backlog_ready,
        Awaited.NIGHT: ready.night_ready,
    }[awaited]
    return look(on, load_settings())


def runs_before(runs_of: RunsOf, dag_id: str, on: date, state: str) -> bool:
    """Whether a DAG has a run for a date in a state; in a backfill, the run of the day before may be still to come."""
    midnight = datetime(on.year, on.month, on.day, tzinfo=UTC)
    return runs_of(dag_id=dag_id, logical_dates=[midnight], states=[state]) > 0


def remedy(awaited: Awaited, on: date) -> str:
    """What to type to make what is awaited be there."""
    night_before = on - timedelta(days=1)
    return {
        Awaited.VERDICT: f'airflow dags trigger retrain_predictors --conf \'{{"dt": "{on}"}}\', '
        "or set predictor_policy to latest",
        Awaited.ALLOCATION: f'airflow dags trigger allocate_instances --conf \'{{"dt": "{night_before}"}}\', '
        "or set allocation_policy to latest",
        Awaited.BACKLOG: f"complete the backlog partition dt={on}, then clear this task",
        Awaited.NIGHT: f'airflow dags trigger route_backlog --conf \'{{"dt": "{on}"}}\', or set carry_over to none',
        Awaited.DAY_BEFORE: "backfill from the first day to the last, not backwards",
    }[awaited]


LONGEST = timedelta(hours=12)
"""Longest wait, from its start, for the end of a run that goes on and on: it may hang."""


class DataTrigger(BaseTrigger):
    """Looks every `poll_seconds` until what is awaited is there, or until `deadline`.

    Parameters
    ----------
    awaited : str
        A member of `Awaited`.
    on : str
        The date it is awaited for, YYYY-MM-DD.
    deadline : str
        ISO 8601 with offset. Absolute, so that a restarted triggerer does not start the wait anew.
    patience : float
        The limit that the deadline was set by, s; the wait has begun that long before it.
    poll_seconds : float
        Pause between two looks, s.
    behind : str
        A DAG whose run for that date must have ended first, if it has one; empty for none. While that run is
        running the deadline moves on with it, up to `LONGEST` from the start of the wait; while it only waits for its
        turn, it does not.
    """

    def __init__(
        self, awaited: str, on: str, deadline: str, patience: float, poll_seconds: float, behind: str = ""
    ) -> None:
        super().__init__()
        self.awaited = Awaited(awaited)
        self.on = on
        self.deadline = deadline
        self.patience = patience
        self.poll_seconds = poll_seconds
        self.behind = behind

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What Airflow stores to build this trigger again in the triggerer."""
        kwargs = {
            "awaited": self.awaited.value,
            "on": self.on,
            "deadline": self.deadline,
            "patience": self.patience,
            "poll_seconds": self.poll_seconds,
            "behind": self.behind,
        }
        return "nightshift_waits.DataTrigger", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: whether it is there."""
        deadline, patience = datetime.fromisoformat(self.deadline), timedelta(seconds=self.patience)
        last = max(deadline, deadline - patience + LONGEST)
        # In a thread: a look at the database or an object store must not hold up the triggerer's other waits.
        while (state := await asyncio.to_thread(self._look)) != "there":
            if state == "running":
                deadline = min(max(deadline, datetime.now(UTC) + patience), last)
            left = (deadline - datetime.now(UTC)).total_seconds()
            if left <= 0:
                break
            await asyncio.sleep(min(self.poll_seconds, left))
        yield TriggerEvent({"there": state == "there"})

    def _look(self) -> str:
        """there, running (the run it is behind has not ended) or missing."""
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        return look(self.awaited, date.fromisoformat(self.on), self.behind, RuntimeTaskInstance.get_dr_count)


def look(awaited: Awaited, on: date, behind: str, runs_of: RunsOf) -> str:
    """Look once: there, running (the run it is behind has not ended) or missing."""
    if behind and runs_before(runs_of, behind, on, "running"):
        return "running"
    if behind and runs_before(runs_of, behind, on, "queued"):
        return "missing"
    return "there" if is_there(awaited, on) else "missing"


class WaitFor(BaseSensorOperator):
    """Waits, deferred, until a night's data is there; says in its XCom whether it was.

    When `wait_limit_minutes` have passed since the task's own start, a scheduled run goes on without what is
    dispensable and the task returns False; a backfill or a run by hand fails with the remedy.

    Parameters
    ----------
    awaited : Awaited
        What is waited for.
    on : str or None
        The date it is awaited for, YYYY-MM-DD; None when there is nothing to wait for.
    behind : str
        A DAG whose run for that date must have ended first, if it has one: so the nights of a backfill that build
        on one another keep their order, however many run at once.
    """

    template_fields = ("on",)

    def __init__(self, *, awaited: Awaited, on: Any, behind: str = "", **kwargs: Any) -> None:
        # A wait has a limit of its own; what bounds the work of other tasks must not cut it short.
        super().__init__(**{**kwargs, "execution_timeout": None})
        self.awaited = awaited
        self.on = on
        self.behind = behind

    def execute(self, context: Context) -> bool:
        """Look once, then defer."""
        from routing_core.settings import load_settings

        if self.on is None:
            return True
        if look(self.awaited, date.fromisoformat(self.on), self.behind, context["ti"].get_dr_count) == "there":
            return True
        settings = load_settings()
        patience = timedelta(minutes=settings.wait_limit_minutes)
        deadline = datetime.now(UTC) + patience
        self.log.info("no %s for %s yet; waiting until %s", self.awaited, self.on, deadline.isoformat("T", "seconds"))
        when, limit = deadline.isoformat(), patience.total_seconds()
        trigger = DataTrigger(self.awaited.value, self.on, when, limit, settings.wait_poll_seconds, self.behind)
        self.defer(trigger=trigger, method_name="settle")
        return False  # never reached: defer raises

    def settle(self, context: Context, event: dict[str, Any]) -> bool:
        """Decide what to do when the trigger has ended.

        Raises
        ------
        MissingPredictorError, MissingAllocationError, MissingPartitionError
            The limit has passed and the run must not go on without.
        """
        if event["there"]:
            return True
        if context["dag_run"].run_type == "scheduled" and self.awaited in _DISPENSABLE:
            self.log.warning("no %s for %s within the limit; going on without it", self.awaited, self.on)
            return False
        raise _MISSING[self.awaited](
            f"task {self.task_id!r}: no {self.awaited} for {self.on} within wait_limit_minutes of the task's start",
            remedy=remedy(self.awaited, date.fromisoformat(self.on)),
        )
