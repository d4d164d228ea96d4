"""Whole nights through the DAGs, in this process: the same plan as by hand, published at once or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from routing_core.settings import Settings, load_settings
from routing_core.steps import read, route
from routing_core.steps.retrain import retrain
from routing_core.store.database import engine, reading

TONIGHT = date(2026, 11, 22)
ASK = {"dt": TONIGHT.isoformat()}
TOTALS = ("assigned", "deferred", "rejected", "planned_spend_usd", "objective", "bound", "expected_quality")


@pytest.fixture(scope="session")
def verdict_of_tonight(learnt_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The learnt home after tonight's retraining, judged once for all tests."""
    home = tmp_path_factory.mktemp("judged") / "home"
    shutil.copytree(learnt_home, home)
    settings = load_settings(home=home, dsn="", catalog=None, outcomes="", backlog="")
    retrain(TONIGHT, settings, run_key="judged")
    engine(settings).dispose()
    return home


@pytest.fixture
def judged(verdict_of_tonight: Path, tonight_home: Settings) -> Settings:
    """Tonight's retraining has been done: nothing is left to wait for."""
    shutil.copytree(verdict_of_tonight, tonight_home.home, dirs_exist_ok=True)
    return tonight_home


def totals(settings: Settings) -> dict[str, Any]:
    status = read.status(TONIGHT, settings)
    return {name: status[name] for name in TOTALS}


def runs(settings: Settings) -> list[Any]:
    with reading(settings) as connection:
        return list(connection.execute(text("SELECT run_id, status, degraded, failure FROM routing_runs ORDER BY 1")))


def announced(name: str) -> list[dict[str, Any]]:
    """Metadata of the events of an asset."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        events = select(AssetEvent.extra).join(AssetModel, AssetModel.id == AssetEvent.asset_id)
        return list(session.scalars(events.where(AssetModel.name == name).order_by(AssetEvent.id)))


def test_the_three_dags_plan_the_night_that_the_command_line_plans(run_dag: Callable[..., Any], tonight_home: Settings):
    for dag_id in ("retrain_predictors", "allocate_instances", "route_backlog"):
        run = run_dag(dag_id, ASK)
        assert {str(task.state) for task in run.get_task_instances()} == {"success"}, dag_id
    by_dag = totals(tonight_home)
    assert by_dag["assigned"] + by_dag["deferred"] + by_dag["rejected"] == 300
    route.route(TONIGHT, tonight_home, run_key="by hand")
    assert totals(tonight_home) == by_dag
    assert [row.status for row in runs(tonight_home)] == ["superseded", "current"]


def test_a_night_announces_its_objective_gap_and_predictor(run_dag: Callable[..., Any], judged: Settings):
    before = len(announced("nightshift://nights"))
    run_dag("route_backlog", ASK)
    (event,) = announced("nightshift://nights")[before:]
    status = read.status(TONIGHT, judged)
    assert (event["objective"], event["gap"], event["status"]) == (status["objective"], status["gap"], "current")
    assert {"predictor_id", "run_id", "dt"} <= set(event)
    json.dumps(event)


def test_a_dry_run_publishes_and_announces_nothing(run_dag: Callable[..., Any], judged: Settings):
    before = len(announced("nightshift://nights"))
    run = run_dag("route_backlog", ASK | {"dry_run": True})
    assert str(run.state) == "success"
    assert [row.status for row in runs(judged)] == ["checked"]
    assert len(announced("nightshift://nights")) == before


def test_parameters_of_a_run_reach_the_plan(run_dag: Callable[..., Any], judged: Settings):
    run_dag("route_backlog", ASK | {"budget_usd": 0.01, "batching": "arrival"})
    with reading(judged) as connection:
        (row,) = connection.execute(text("SELECT budget_usd, batching, planned_spend_usd FROM routing_runs")).all()
    assert (row.budget_usd, row.batching) == (0.01, "arrival")
    assert row.planned_spend_usd <= 0.01


def test_a_task_that_fails_for_good_leaves_the_earlier_night_current_and_the_run_failed(
    run_dag: Callable[..., Any], judged: Settings, monkeypatch: pytest.MonkeyPatch
):
    run_dag("route_backlog", ASK)

    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(route, "write_chunk", full)
    run = run_dag("route_backlog", ASK)
    tasks = {task.task_id: str(task.state) for task in run.get_task_instances()}
    assert str(run.state) == "failed"
    assert (tasks["publish"], tasks["close_run"]) == ("upstream_failed", "success")
    first, second = runs(judged)
    assert (first.status, second.status) == ("current", "failed")
    assert "write" in second.failure


def test_a_task_that_succeeds_on_its_retry_does_not_fail_the_run(
    run_dag: Callable[..., Any], judged: Settings, monkeypatch: pytest.MonkeyPatch
):
    attempts: list[tuple[int, int]] = []
    write = route.write_chunk

    def flaky(run: int, chunk: int, settings: Settings, *, attempt: int) -> dict[str, Any]:
        attempts.append((chunk, attempt))
        if chunk == 1 and attempt == 1:
            raise ConnectionError("the database went away")
        return write(run, chunk, settings, attempt=attempt)

    monkeypatch.setattr(route, "write_chunk", flaky)
    run = run_dag("route_backlog", ASK)
    assert str(run.state) == "success"
    assert sorted(attempts) == [(0, 1), (1, 1), (1, 2)]
    assert [row.status for row in runs(judged)] == ["current"]


def test_a_scheduled_night_without_a_verdict_goes_on_and_says_so(run_dag: Callable[..., Any], tonight_home: Settings):
    run = run_dag("route_backlog", run_type="scheduled", day=TONIGHT)
    assert str(run.state) == "success"
    (row,) = runs(tonight_home)
    assert (row.status, row.degraded) == ("current", "verdict")


def test_a_night_without_a_query_still_ends_in_a_current_run(run_dag: Callable[..., Any], judged: Settings):
    for file in (judged.home / "backlog" / f"dt={TONIGHT}").glob("*.parquet"):
        file.unlink()
    run = run_dag("route_backlog", ASK)
    assert str(run.state) == "success"
    status = read.status(TONIGHT, judged)
    assert (status["assigned"], status["deferred"], status["rejected"]) == (0, 0, 0)


def test_a_night_is_settled_once_its_outcomes_are_logged_and_not_before(judged: Settings, run_dag: Callable[..., Any]):
    from routing_core.store.catalog import read_catalog
    from routing_core.workload.synthetic import log_outcomes
    from routing_core.workload.truth import World

    route.route(TONIGHT, judged, run_key="by hand")
    assert str(run_dag("settle_outcomes", ASK).state) == "success"
    with reading(judged) as connection:
        assert connection.execute(text("SELECT * FROM settled")).all() == []
        plan = connection.execute(text("SELECT query_id, model FROM assignments ORDER BY query_id")).all()
    world = World(judged.seed, read_catalog(judged.catalog_file))
    ids, models = zip(*plan, strict=True)
    log_outcomes(judged.home, world, logged_on=date(2026, 11, 23), query_ids=ids, models=models)
    assert str(run_dag("settle_outcomes", {"dt": "2026-11-23"}).state) == "success"
    with reading(judged) as connection:
        settled = connection.execute(text("SELECT dt, settled, missing FROM settled")).one()
    assert (str(settled.dt), settled.settled, settled.missing) == ("2026-11-22", len(plan), 0)
    assert announced("nightshift://settlements")[-1]["nights"][0]["settled"] == len(plan)
