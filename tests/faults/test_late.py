"""A night that is late under a real scheduler: its deadline passes, the triggerer tells, and the run goes on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from routing_core.demo.airflow import LocalAirflow, local_airflow
from routing_core.settings import Settings, load_settings
from routing_core.steps import prepare

pytestmark = pytest.mark.faults

PATIENCE = 180.0
LATE_AFTER = timedelta(seconds=5)


class Hook:
    """A webhook, and what was posted to it."""

    def __init__(self, url: str, received: list[dict[str, Any]]) -> None:
        self.url = url
        self.received = received


@pytest.fixture
def hook() -> Iterator[Hook]:
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Hook(f"http://127.0.0.1:{server.server_port}/hook", received)
    server.shutdown()
    server.server_close()


@pytest.fixture
def empty_home(home: Path) -> Settings:
    """A results database and nothing else: a night waits for all it needs."""
    settings = load_settings(home=home)
    prepare.init_db(settings)
    return settings


@pytest.fixture
def airflow(empty_home: Settings, hook: Hook) -> Iterator[LocalAirflow]:
    extra = {
        "NIGHTSHIFT_LATE_AFTER_HOURS": str(LATE_AFTER / timedelta(hours=1)),
        "NIGHTSHIFT_ALERT_WEBHOOK": hook.url,
        "NIGHTSHIFT_WAIT_POLL_SECONDS": "1",
    }
    with local_airflow(empty_home.home, extra=extra) as running:
        yield running


def test_a_run_that_is_not_done_in_time_is_told_once_and_goes_on(airflow: LocalAirflow, hook: Hook):
    run_id = airflow.trigger("route_backlog", {"dt": "2026-11-22"})
    wait_for(lambda: [said for said in hook.received if said["kind"] == "late"])
    time.sleep(2 * LATE_AFTER.total_seconds())
    (late,) = [said for said in hook.received if said["kind"] == "late"]
    assert late["text"] == f"route_backlog is not done {LATE_AFTER} after it was queued"
    assert late["dag_run"] == run_id
    assert airflow.state("route_backlog", run_id) == "running"


def wait_for(what: Callable[[], Any]) -> None:
    until = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.2)
