"""The deferred wait: how long it looks, and what it decides when the limit has passed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from routing_core.errors import MissingAllocationError, MissingPartitionError, MissingPredictorError
from routing_core.settings import Settings

DAY = date(2026, 11, 22)


@pytest.fixture
def waits(airflow_db: None) -> Any:
    import nightshift_waits

    return nightshift_waits


def fire(trigger: Any) -> dict[str, Any]:
    """The one event of a trigger."""

    async def first() -> dict[str, Any]:
        events = [event async for event in trigger.run()]
        assert len(events) == 1
        return events[0].payload

    return asyncio.run(asyncio.wait_for(first(), timeout=30))


def trigger_of(waits: Any, *, awaited: str = "verdict", seconds: float, behind: str = "") -> Any:
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    return waits.DataTrigger(awaited, DAY.isoformat(), deadline.isoformat(), max(seconds, 0.0), 0.01, behind)


def test_the_trigger_ends_as_soon_as_the_data_is_there(waits: Any, monkeypatch: pytest.MonkeyPatch):
    answers = iter([False, False, True])
    monkeypatch.setattr(waits, "is_there", lambda awaited, on: next(answers))
    assert fire(trigger_of(waits, seconds=3600)) == {"there": True}
    assert list(answers) == []


def test_the_trigger_gives_up_at_its_deadline_having_looked_at_least_once(waits: Any, monkeypatch: pytest.MonkeyPatch):
    looks: list[tuple[str, date]] = []
    monkeypatch.setattr(waits, "is_there", lambda awaited, on: bool(looks.append((awaited, on))))
    assert fire(trigger_of(waits, seconds=-1)) == {"there": False}
    assert looks == [("verdict", DAY)]


def test_a_restarted_triggerer_keeps_the_deadline(waits: Any):
    trigger = trigger_of(waits, awaited="backlog", seconds=60)
    path, kwargs = trigger.serialize()
    assert path == "nightshift_waits.DataTrigger"
    assert waits.DataTrigger(**kwargs).serialize() == trigger.serialize()


class RunsOfTheDayBefore:
    """Answers as Airflow does when asked for the runs of a date in a state: one run, going through ``states``."""

    def __init__(self, *states: str) -> None:
        self._states = list(states)
        self.asked: list[tuple[str, list[datetime]]] = []

    def __call__(self, *, dag_id: str, logical_dates: list[datetime], states: list[str]) -> int:
        self.asked.append((dag_id, logical_dates))
        now = self._states[0]
        if len(self._states) > 1 and (states == ["queued"] or now == "running"):
            self._states.pop(0)
        return int(now in states)


@pytest.mark.parametrize(
    ("state", "there", "found"),
    [
        ("running", True, "running"),
        ("queued", True, "missing"),
        ("success", True, "there"),
        ("failed", True, "there"),
        ("failed", False, "missing"),
    ],
)
def test_the_run_of_the_day_before_must_have_ended_however_it_ended(
    waits: Any, monkeypatch: pytest.MonkeyPatch, state: str, there: bool, found: str
):
    monkeypatch.setattr(waits, "is_there", lambda awaited, on: there)
    runs = RunsOfTheDayBefore(state)
    assert waits.look(waits.Awaited.NIGHT, DAY, "route_backlog", runs) == found
    assert set(map(str, runs.asked)) == {str(("route_backlog", [datetime(2026, 11, 22, tzinfo=UTC)]))}


def test_who_stands_behind_nobody_does_not_ask_for_runs(waits: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(waits, "is_there", lambda awaited, on: True)
    assert waits.look(waits.Awaited.VERDICT, DAY, "", None) == "there"


@pytest.mark.parametrize(
    ("states", "seconds", "event"),
    [
        # A run before that runs for longer than the limit is waited for all the same; one that never starts is not.
        (["running"] * 40 + ["success"], 0.2, True),
        (["queued"], 0.2, False),
        (["queued", "queued", "running", "running", "failed"], 30, True),
    ],
)
def test_the_deadline_moves_on_only_while_the_run_before_is_running(
    waits: Any, monkeypatch: pytest.MonkeyPatch, states: list[str], seconds: float, event: bool
):
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", staticmethod(RunsOfTheDayBefore(*states)))
    trigger = trigger_of(waits, awaited="day before", seconds=seconds, behind="retrain_predictors")
    assert fire(trigger) == {"there": event}


def test_a_restarted_triggerer_still_moves_the_deadline_with_the_run_before(
    waits: Any, monkeypatch: pytest.MonkeyPatch
):
    """The deadline as first set has passed, and only the triggerer that is gone knew that it had moved."""
    answers = iter(["running", "running", "there"])
    monkeypatch.setattr(waits.DataTrigger, "_look", lambda self: next(answers))
    passed = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    assert fire(waits.DataTrigger("night", DAY.isoformat(), passed, 3600.0, 0.01, "route_backlog")) == {"there": True}


def test_a_run_before_that_never_ends_is_not_waited_for_without_end(waits: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(waits, "LONGEST", timedelta(seconds=0.3))
    monkeypatch.setattr(waits.DataTrigger, "_look", lambda self: "running")
    assert fire(trigger_of(waits, awaited="night", seconds=0.1, behind="route_backlog")) == {"there": False}


def test_every_task_but_a_wait_has_a_time_limit(load_dag: Callable[[str], Any], waits: Any):
    tasks = load_dag("route_backlog").tasks
    waiting = {task.task_id for task in tasks if task.execution_timeout is None}
    assert waiting == {task.task_id for task in tasks if isinstance(task, waits.WaitFor)}
    assert len(waiting) == 4


@pytest.mark.parametrize(
    ("asked", "again", "run_type", "found"),
    [
        (None, True, "manual", "as_before"),
        (None, False, "manual", "none"),
        ("none", True, "manual", "none"),
        (None, True, "scheduled", "chained"),
    ],
)
def test_a_replan_by_hand_takes_up_what_the_plan_before_did(
    load_dag: Callable[[str], Any], tonight_home: Settings, asked: str | None, again: bool, run_type: str, found: str
):
    carry_over = load_dag("route_backlog").get_task("open_run").python_callable.__globals__["carry_over"]
    context = {"params": {"carry_over": asked, "replan": again}, "dag_run": SimpleNamespace(run_type=run_type)}
    assert carry_over(context) == found


def settle(waits: Any, awaited: Any, run_type: str) -> bool:
    wait = waits.WaitFor(task_id="wait", awaited=awaited, on=DAY.isoformat())
    return bool(wait.settle({"dag_run": SimpleNamespace(run_type=run_type)}, {"there": False}))


@pytest.mark.parametrize("name", ["VERDICT", "ALLOCATION", "NIGHT", "DAY_BEFORE"])
def test_a_scheduled_night_goes_on_without_what_it_can_replace(waits: Any, name: str):
    assert settle(waits, waits.Awaited[name], "scheduled") is False


def test_no_night_goes_on_without_its_backlog(waits: Any):
    with pytest.raises(MissingPartitionError, match="dt=2026-11-22"):
        settle(waits, waits.Awaited.BACKLOG, "scheduled")


@pytest.mark.parametrize("run_type", ["backfill", "manual"])
@pytest.mark.parametrize(
    ("name", "error", "remedy"),
    [
        ("VERDICT", MissingPredictorError, 'trigger retrain_predictors --conf \'{"dt": "2026-11-22"}\''),
        ("ALLOCATION", MissingAllocationError, 'trigger allocate_instances --conf \'{"dt": "2026-11-21"}\''),
        ("NIGHT", MissingPartitionError, 'trigger route_backlog --conf \'{"dt": "2026-11-22"}\''),
        ("BACKLOG", MissingPartitionError, "complete the backlog partition dt=2026-11-22"),
        ("DAY_BEFORE", MissingPartitionError, "not backwards"),
    ],
)
def test_a_backfill_fails_with_what_to_type(waits: Any, name: str, error: type[Exception], remedy: str, run_type: str):
    with pytest.raises(error) as raised:
        settle(waits, waits.Awaited[name], run_type)
    assert remedy in str(raised.value)


def test_what_is_awaited_of_no_date_is_not_waited_for(waits: Any, tonight_home: Settings):
    assert waits.WaitFor(task_id="wait", awaited=waits.Awaited.NIGHT, on=None).execute({}) is True


def test_each_wait_looks_for_its_own_data(waits: Any, tonight_home: Settings):
    there = {
        (awaited.value, day): waits.is_there(awaited, day)
        for awaited in waits.Awaited
        for day in (DAY, date(2030, 1, 1))
    }
    assert {key for key, value in there.items() if value} >= {("allocation", DAY), ("backlog", DAY)}
    assert not there["verdict", DAY]
    assert not there["backlog", date(2030, 1, 1)]
    assert not there["allocation", date(2030, 1, 1)]


def test_a_backfill_of_a_night_without_a_verdict_fails_and_opens_no_run(
    run_dag: Callable[..., Any], tonight_home: Settings, capfd: pytest.CaptureFixture[str]
):
    run = run_dag("route_backlog", run_type="backfill", day=DAY)
    assert str(run.state) == "failed"
    tasks = {task.task_id: str(task.state) for task in run.get_task_instances()}
    assert (tasks["verdict"], tasks["allocation"], tasks["open_run"]) == ("failed", "success", "upstream_failed")
    assert "remedy: airflow dags trigger retrain_predictors" in "".join(capfd.readouterr())


def test_a_policy_of_latest_waits_for_nothing(run_dag: Callable[..., Any], tonight_home: Settings):
    run = run_dag("allocate_instances", {"dt": DAY.isoformat(), "predictor_policy": "latest", "dry_run": True})
    assert str(run.state) == "success"
