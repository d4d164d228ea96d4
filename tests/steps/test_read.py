"""What is shown of nights is what the database says: in the terminal, on the page and in a mail, on both databases."""

from __future__ import annotations

import re
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from routing_core import console
from routing_core.cli import app
from routing_core.errors import DateError, NotFoundError, SchemaError
from routing_core.settings import Settings, load_settings
from routing_core.steps import prepare, read, route
from routing_core.store.database import reading

TONIGHT = date(2026, 11, 22)


@pytest.fixture(params=["sqlite", "postgresql"])
def routed(request: pytest.FixtureRequest) -> Settings:
    """A night that a DAG run has planned."""
    settings: Settings = request.getfixturevalue({"sqlite": "world", "postgresql": "postgres_world"}[request.param])
    route.route(TONIGHT, settings, run_key="route_backlog/manual__1")
    return settings


def one(settings: Settings, query: str) -> Any:
    with reading(settings) as connection:
        return connection.execute(text(query)).mappings().one()


def test_ranges_batches_and_the_way_from_a_dag_run_are_what_sql_says(routed: Settings, monkeypatch: pytest.MonkeyPatch):
    found = read.nights(date(2026, 11, 1), TONIGHT, routed)
    wanted = one(routed, "SELECT * FROM nights")
    assert [night["dt"] for night in found["nights"]] == [TONIGHT.isoformat()]
    for name in ("assigned", "deferred", "rejected", "planned_spend_usd", "expected_quality"):
        assert found["nights"][0][name] == wanted[name]
        assert found["totals"][name] == pytest.approx(wanted[name])
    assert found["nights"][0]["actual_spend_usd"] is None
    assert found["totals"]["actual_spend_usd"] is None
    assert sum(row["queries"] for row in found["causes"]) == wanted["deferred"]

    whole = read.through_batches(TONIGHT, routed)
    assert whole["size"] == 1
    assert sum(sum(model["assigned"]) for model in whole["models"]) == wanted["assigned"]
    limited = [model for model in whole["models"] if model["capacity"] is not None]
    assert limited
    assert all(max(model["assigned"]) <= model["capacity"] for model in limited)
    monkeypatch.setattr(read, "MOST_STEPS", 1)
    together = read.through_batches(TONIGHT, routed)
    assert together["size"] == whole["batches"]
    assert [sum(model["assigned"]) for model in whole["models"]] == [m["assigned"][0] for m in together["models"]]

    assert read.night_of_key("route_backlog/manual__1", routed)["dt"] == TONIGHT.isoformat()
    assert read.extent(routed) == {"first": TONIGHT.isoformat(), "last": TONIGHT.isoformat(), "nights": 1}
    with pytest.raises(NotFoundError, match="has left no night"):
        read.night_of_key("route_backlog/manual__2", routed)
    for first in (date(2026, 11, 23), date(1900, 1, 1)):
        with pytest.raises(DateError, match="range must have 1 to"):
            read.nights(first, TONIGHT, routed)


def test_terminal_and_mail_show_the_figures_and_reading_cannot_write(routed: Settings):
    report = read.night_report(TONIGHT, routed)
    shown = Console(file=StringIO(), width=140, record=True)
    console.show_night(report, routed, to=shown)
    printed = shown.export_text(clear=False)
    mailed = console.night_as_html(report, routed)
    for said in (f"{report['night']['assigned']:,}", f"{report['night']['planned_spend_usd']:,.4f}", "settlement"):
        assert said in printed
        assert said in mailed
    assert report["overspend"].startswith(
        "planned so that the night runs over its budget with a probability of at most"
    )
    assert [row["instances"] for row in report["fleet_rows"]]
    assert not re.search(r"(src|href)=", mailed)

    with pytest.raises(DBAPIError, match=r"read.?only"), reading(routed) as connection:
        connection.execute(text("DELETE FROM receipts"))
    assert one(routed, "SELECT count(*) AS rows FROM receipts")["rows"] > 0


def test_status_writes_html_and_a_picture(world: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    route.route(TONIGHT, world, run_key="a")
    html, png = tmp_path / "night.html", tmp_path / "night.png"
    done = CliRunner().invoke(app, ["status", "--dt", str(TONIGHT), "--html", str(html), "--png", str(png)])
    assert done.exit_code == 0, done.output
    assert "Night of 2026-11-22" in html.read_text(encoding="utf-8")
    assert png.read_bytes().startswith(b"\x89PNG")


def test_asking_where_there_is_no_database_makes_none(home: Path):
    settings = load_settings(home=home / "nowhere")
    with pytest.raises(SchemaError, match="routing init-db"):
        prepare.check_ready(settings)
    assert not (home / "nowhere").exists()
