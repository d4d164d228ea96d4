"""Which night a run is about, for each way of starting one inside Airflow; the scheduler's own are end to end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from routing_core.settings import Settings

DAGS = ["retrain_predictors", "allocate_instances", "route_backlog"]
EARLIER = date(2026, 11, 19)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, tonight_home: Settings) -> list[date]:
    """Dates that the steps are called with, in place of their work."""
    from routing_core.steps import retrain as step

    called: list[date] = []
    monkeypatch.setattr(step, "retrain", lambda dt, *_, **__: called.append(dt) or {"dt": dt.isoformat()})
    return called


@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
def test_a_run_of_the_scheduler_is_about_the_day_its_interval_starts(
    run_type: str, run_dag: Callable[..., Any], seen: list[date]
):
    run = run_dag("retrain_predictors", run_type=run_type, day=EARLIER)
    assert str(run.state) == "success"
    assert seen == [EARLIER]


@pytest.mark.parametrize("run_type", ["scheduled", "backfill", "manual", "asset_triggered"])
def test_the_dt_parameter_wins_over_any_interval(run_type: str, run_dag: Callable[..., Any], seen: list[date]):
    run_dag("retrain_predictors", {"dt": "2026-11-18"}, run_type=run_type, day=EARLIER)
    assert seen == [date(2026, 11, 18)]


@pytest.mark.parametrize("day", [None, EARLIER], ids=["no interval", "interval inferred by dags test"])
def test_a_run_by_hand_without_dt_fails_at_once_and_does_no_work(
    day: date | None, run_dag: Callable[..., Any], seen: list[date], capfd: pytest.CaptureFixture[str]
):
    run = run_dag("retrain_predictors", day=day)
    assert str(run.state) == "failed"
    tasks = {task.task_id: str(task.state) for task in run.get_task_instances()}
    assert tasks == {"night": "failed", "day_before": "upstream_failed", "retrain": "upstream_failed"}
    assert [task.try_number for task in run.get_task_instances() if task.task_id == "night"] == [1]
    assert "airflow dags trigger retrain_predictors --conf" in "".join(capfd.readouterr())
    assert seen == []


@pytest.mark.parametrize("dag_id", DAGS)
def test_a_conf_key_that_no_parameter_answers_to_fails_at_once_by_name(
    dag_id: str, run_dag: Callable[..., Any], tonight_home: Settings, capfd: pytest.CaptureFixture[str]
):
    run = run_dag(dag_id, {"dt": "2026-11-22", "budget": 1})
    assert str(run.state) == "failed"
    assert {str(task.state) for task in run.get_task_instances()} == {"failed", "upstream_failed"}
    assert "unknown 'budget'" in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("budget_usd", -1),
        ("robust_level", 1),
        ("batching", "random"),
        ("predictor_policy", "newest"),
        ("allocation_policy", None),
        ("carry_over", "maybe"),
        ("replan", "yes"),
        ("dry_run", 1),
        ("dt", "yesterday"),
    ],
)
def test_a_parameter_out_of_its_range_is_refused(name: str, value: Any, load_dag: Callable[[str], Any]):
    from airflow.sdk.exceptions import ParamValidationError

    param = load_dag("route_backlog").params.get_param(name)
    with pytest.raises(ParamValidationError):
        param.resolve(value)
