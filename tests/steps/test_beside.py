"""A night of the past planned again as a shadow: as it was, or with today's policy; what is current stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from routing_core.errors import ChangedInputError, NotFoundError
from routing_core.records.catalog import Catalog, Price
from routing_core.settings import Settings
from routing_core.steps import compare, hand_out, read, route
from routing_core.store.catalog import read_catalog, write_catalog
from routing_core.store.database import reading, writing

TONIGHT = date(2026, 11, 22)
AS_IT_WAS = route.RouteOptions(beside="as_it_was")
TODAYS = route.RouteOptions(beside="todays_policy")


def fetch(settings: Settings, query: str, **values) -> list:
    with reading(settings) as connection:
        return list(connection.execute(text(query), values).all())


def decided(settings: Settings, run_id: int) -> list:
    columns = "query_id, model, batch_no, cost_usd, planned_quality"
    return fetch(settings, f"SELECT {columns} FROM assignments WHERE run_id = :r ORDER BY query_id", r=run_id)


def current(settings: Settings) -> tuple:
    """All that is current, and what was handed out."""
    return (
        fetch(settings, "SELECT * FROM nights"),
        fetch(settings, "SELECT a.* FROM assignments a JOIN nights n ON n.run_id = a.run_id ORDER BY query_id"),
        fetch(settings, "SELECT d.* FROM deferred_queries d JOIN nights n ON n.run_id = d.run_id ORDER BY query_id"),
        fetch(settings, "SELECT * FROM spend ORDER BY model, team"),
        fetch(settings, "SELECT * FROM exports"),
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def sealed(request: pytest.FixtureRequest) -> Settings:
    """A night, planned and handed out."""
    settings: Settings = request.getfixturevalue({"sqlite": "world", "postgresql": "postgres_world"}[request.param])
    route.route(TONIGHT, settings, run_key="a")
    hand_out.export(TONIGHT, settings)
    return settings


def change_the_world(settings: Settings) -> Settings:
    """Other settings, and a catalog with another model order, another price of that day, and one model fewer."""
    catalog = read_catalog(settings.catalog_file)
    dearer = [
        replace(model, prices=(Price(date(2020, 1, 1), *(2 * usd for usd in (p.input_usd, p.output_usd))),))
        for model in catalog.models[1:]
        for p in model.prices[-1:]
    ]
    write_catalog(Catalog(tuple(reversed(dearer))), settings.home / "config" / "catalog.yaml")
    return settings.model_copy(update={"budget_usd": 0.02, "batch_minutes": 60.0, "chunks": 2})


def test_re_running_a_sealed_date_changes_nothing_that_is_current(sealed: Settings):
    before = current(sealed)
    assert route.route(TONIGHT, sealed, run_key="b")["status"] == "shadow"
    assert route.route(TONIGHT, sealed, run_key="a")["status"] == "shadow"
    assert route.route(TONIGHT, sealed, run_key="c", options=route.RouteOptions(budget_usd=0.01))["status"] == "shadow"
    assert route.route(TONIGHT, change_the_world(sealed), run_key="d", options=TODAYS)["status"] == "shadow"
    assert current(sealed) == before


def test_a_replan_replaces_a_sealed_night_and_leaves_the_trace(sealed: Settings):
    options = route.RouteOptions(replan=True, budget_usd=0.01)
    assert route.route(TONIGHT, sealed, run_key="b", options=options)["status"] == "current"
    trace = fetch(
        sealed, "SELECT run_id, status, replan, supersedes_run_id, sealed_at IS NOT NULL FROM routing_runs ORDER BY 1"
    )
    assert [tuple(row) for row in trace] == [(1, "superseded", False, None, True), (2, "current", True, 1, False)]
    assert fetch(sealed, "SELECT run_id FROM exports") == [(1,)]


@pytest.mark.faults
def test_as_it_was_gives_the_same_decisions_whatever_changed_since(sealed: Settings):
    first = decided(sealed, 1)
    changed = change_the_world(sealed)
    with writing(changed) as connection:
        connection.execute(text("UPDATE allocations SET superseded_at = created_at"))
        connection.execute(text("UPDATE predictor_versions SET superseded_at = created_at"))
    again = route.route(TONIGHT, changed, run_key="b", options=AS_IT_WAS)
    assert again["status"] == "shadow"
    assert decided(changed, again["run_id"]) == first
    found = compare.diff(1, again["run_id"], changed)
    assert found["queries"]["same_model"] == len(first)
    assert found["difference"]["planned_spend_usd"] == found["difference"]["objective"] == 0
    assert read.status(TONIGHT, changed)["run_id"] == 1


@pytest.mark.faults
def test_todays_policy_takes_todays_settings_and_catalog_on_the_same_input(sealed: Settings):
    (Path(sealed.backlog_root) / f"dt={TONIGHT}" / "late.parquet").write_bytes(b"came after the night was planned")
    changed = change_the_world(sealed)
    done = route.route(TONIGHT, changed, run_key="b", options=TODAYS)
    assert done["status"] == "shadow"
    found = compare.diff(1, done["run_id"], changed)
    assert found["b"]["budget_usd"] == 0.02
    assert found["a"]["catalog_hash"] != found["b"]["catalog_hash"]
    assert not {found["queries"][change] for change in ("only_in_a", "only_in_b")} - {0}
    assert fetch(changed, "SELECT backlog_rows FROM routing_runs WHERE run_id = 2") == [(400,)]


@pytest.mark.faults
def test_prices_are_those_of_the_day_of_execution(world: Settings):
    catalog = read_catalog(world.catalog_file)
    steps = [
        replace(model, prices=(Price(date(2026, 1, 1), 1.0, 2.0), Price(date(2026, 11, 24), 50.0, 90.0)))
        for model in catalog
    ]
    write_catalog(Catalog(tuple(steps)), world.home / "config" / "catalog.yaml")
    for run_id, options in enumerate((route.RouteOptions(), TODAYS), 1):
        route.route(TONIGHT, world, run_key=str(run_id), options=options)
        prices = fetch(world, "SELECT DISTINCT input_usd, output_usd FROM run_models WHERE run_id = :r", r=run_id)
        assert [tuple(row) for row in prices] == [pytest.approx((1.0, 2.0))]


@pytest.mark.faults
def test_a_shadow_can_be_made_beside_a_night_that_is_not_sealed_and_needs_one(world: Settings):
    with pytest.raises(NotFoundError, match="routing route --dt 2026-11-22"):
        route.route(TONIGHT, world, run_key="a", options=AS_IT_WAS)
    route.route(TONIGHT, world, run_key="a")
    assert route.route(TONIGHT, world, run_key="b", options=AS_IT_WAS)["status"] == "shadow"
    assert read.status(TONIGHT, world)["run_id"] == 1


@pytest.mark.faults
def test_a_past_night_whose_input_or_catalog_is_gone_is_refused_by_name(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    file = sorted((Path(world.backlog_root) / f"dt={TONIGHT}").glob("*.parquet"))[0]
    kept = file.read_bytes()
    pq.write_table(pq.read_table(file).slice(1), file)
    with pytest.raises(ChangedInputError, match=file.name):
        route.route(TONIGHT, world, run_key="b", options=AS_IT_WAS)
    file.write_bytes(kept)
    change_the_world(world)
    copy = next(world.catalogs_root.glob("*.yaml"))
    copy.write_text(copy.read_text().replace("context_window: ", "context_window: 9"))
    with pytest.raises(ChangedInputError, match="the catalog changed"):
        route.route(TONIGHT, world, run_key="c", options=AS_IT_WAS)
