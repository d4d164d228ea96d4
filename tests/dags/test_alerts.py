"""Alerts: what gives cause for one, how it is told, and that telling fails nothing."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update

from routing_core.settings import Settings
from routing_core.steps import route, watch
from routing_core.store import database
from routing_core.store.tables.learning import predictor_versions
from routing_core.store.tables.runs import routing_runs

TONIGHT = date(2026, 11, 22)


@pytest.fixture
def alerts(load_dag: Any) -> Any:
    """The plugin's module, as the DAGs import it."""
    load_dag("route_backlog")
    import nightshift_alerts

    return nightshift_alerts


@pytest.fixture
def posted(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What is posted to the webhook that is set."""
    received: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NIGHTSHIFT_ALERT_WEBHOOK", f"http://127.0.0.1:{server.server_port}/hook")
    yield received
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("dag_id", ["route_backlog", "allocate_instances", "retrain_predictors", "settle_outcomes"])
def test_every_task_tells_of_its_failure(dag_id: str, load_dag: Any, alerts: Any) -> None:
    """No DAG has a deadline unless one is set: Airflow could not run it by `dags test` any more."""
    dag = load_dag(dag_id)
    assert not dag.deadline
    for task in dag.tasks:
        callbacks = task.on_failure_callback
        told = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
        assert [(one.__module__, one.__name__) for one in told] == [("nightshift_alerts", "failed")]


def test_a_deadline_is_as_long_as_it_is_set(alerts: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `late_after_hours` a DAG gets a deadline from when it is queued, told by the plugin's coroutine."""
    monkeypatch.setenv("NIGHTSHIFT_LATE_AFTER_HOURS", "3")
    import nightshift_wiring

    made = nightshift_wiring.deadline("route_backlog")
    assert made.interval == timedelta(hours=3)
    assert made.callback.path == "nightshift_alerts.late"
    monkeypatch.setenv("NIGHTSHIFT_LATE_AFTER_HOURS", "-3")
    assert nightshift_wiring.deadline("route_backlog") is None


def test_a_failed_task_is_told_without_its_secrets(alerts: Any, posted: list[dict[str, Any]]) -> None:
    """Which task, of which run, and why; a DSN in the error is masked."""
    ti = SimpleNamespace(dag_id="route_backlog", task_id="solve", run_id="scheduled__1")
    alerts.failed({"ti": ti, "exception": OSError("postgresql://u:hunter2@h/x is gone")})
    assert posted[0]["kind"] == "failed"
    assert "route_backlog.solve" in posted[0]["text"]
    assert posted[0]["dag_run"] == "scheduled__1"
    assert "hunter2" not in json.dumps(posted)


def test_a_late_run_is_told(alerts: Any, posted: list[dict[str, Any]]) -> None:
    """By the coroutine that the triggerer runs."""
    asyncio.run(alerts.late({"dag_run": {"dag_run_id": "scheduled__1"}}, dag_id="route_backlog", after="3:00:00"))
    assert (posted[0]["kind"], posted[0]["dag_run"]) == ("late", "scheduled__1")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/nobody", "file:///etc/passwd", "nonsense"])
def test_an_alert_that_nobody_takes_fails_nothing(url: str, alerts: Any, home: Path, monkeypatch: Any) -> None:
    """A webhook that is away, or no URL of one, costs the alert alone."""
    monkeypatch.setenv("NIGHTSHIFT_ALERT_WEBHOOK", url)
    alerts.tell_one("late", "x")


def test_what_a_night_gives_cause_for(tonight_home: Settings) -> None:
    """Deferring more than the share that is set, and a challenger that was not promoted; neither without cause."""
    route.route(TONIGHT, tonight_home, run_key="k")
    with database.writing(tonight_home) as connection:
        connection.execute(update(routing_runs).values(assigned=70, deferred=30))
        connection.execute(update(predictor_versions).values(decision="promoted"))
    strict, lax = (tonight_home.model_copy(update={"alert_deferred_share": share}) for share in (0.2, 0.3))
    assert [one.kind for one in watch.night_alerts(TONIGHT, strict)] == ["deferred"]
    assert "30 of 100" in watch.night_alerts(TONIGHT, strict)[0].words
    assert watch.night_alerts(TONIGHT, lax) == []
    assert watch.night_alerts(date(2020, 1, 1), strict) == []
    assert watch.verdict_alerts(date(2026, 11, 21), strict) == []
    with database.writing(tonight_home) as connection:
        connection.execute(update(predictor_versions).values(decision="kept", reason="no better"))
    assert [one.kind for one in watch.verdict_alerts(date(2026, 11, 21), strict)] == ["refused"]
