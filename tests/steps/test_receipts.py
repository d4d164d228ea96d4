"""The receipt of a published run: ours again from SQL alone, the others again from the estimates it kept."""

from __future__ import annotations

import math
from datetime import date

import pytest
from sqlalchemy import text

from routing_core.records.catalog import Catalog
from routing_core.settings import Settings
from routing_core.steps import figures, read, retained, route
from routing_core.store.catalog import read_catalog, write_catalog
from routing_core.store.database import reading

TONIGHT = date(2026, 11, 22)
RIVALS = {"best_single", "per_query", "greedy", "point_estimate"}


def _rows(settings: Settings) -> dict[str, dict]:
    with reading(settings) as connection:
        rows = connection.execute(text("SELECT * FROM comparisons")).mappings().all()
    return {row["policy"]: dict(row) for row in rows}


@pytest.fixture(params=["sqlite", "postgresql"])
def any_world(request: pytest.FixtureRequest) -> Settings:
    chosen: Settings = request.getfixturevalue({"sqlite": "world", "postgresql": "postgres_world"}[request.param])
    return chosen


def test_ours_recomputes_from_sql_and_the_others_from_the_retained_shards(any_world: Settings):
    route.route(TONIGHT, any_world, run_key="a", options=route.RouteOptions(robust_level=0.1))
    stored = _rows(any_world)
    assert set(stored) == RIVALS | {"nightshift"}
    with reading(any_world) as connection:
        served, quality, spend, routable = connection.execute(
            text(
                "SELECT count(*), sum(a.mean_quality), sum(a.cost_usd), max(n.assigned + n.deferred) "
                "FROM nights n JOIN assignments a ON a.run_id = n.run_id"
            )
        ).one()
    ours, m = stored["nightshift"], quality / routable
    half = 1.959963984540054 * math.sqrt(m * (1 - m) / routable)
    assert ours["served"] == served
    assert ours["planned_spend_usd"] == pytest.approx(spend, rel=1e-13)
    assert [ours[f"expected_quality{end}"] for end in ("", "_lower", "_upper")] == pytest.approx(
        [m, m - half, m + half], rel=1e-13
    )
    night = retained.current_night(TONIGHT, any_world)
    again = figures.receipt_rows(night.problem(), night.decided["model"], night.night, night.models, night.settings)
    for row in again:
        assert {name: stored[row["policy"]][name] for name in row} == row
        assert row["planned_spend_usd"] <= spend * (1 + 1e-9)


def test_a_world_where_joint_routing_cannot_help_says_no_gain(world: Settings):
    """With one model to choose there is nothing to plan but who waits."""
    catalog = read_catalog(world.catalog_file)
    only = next(model for model in catalog if not model.gpu_type)
    write_catalog(Catalog((only,)), world.home / "config" / "catalog.yaml")
    route.route(TONIGHT, world.model_copy(update={"budget_usd": 100.0}), run_key="a")
    stored = _rows(world)
    assert {stored[policy]["verdict"] for policy in RIVALS} == {"no gain"}
    assert all(stored[policy]["words"].startswith("no gain: ") for policy in RIVALS)
    status = read.status(TONIGHT, world)
    assert {status[f"verdict_over_{policy}"] for policy in RIVALS} == {"no gain"}


def test_the_summary_shows_gain_and_verdict_over_each_rival(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    status = read.status(TONIGHT, world)
    for policy in RIVALS:
        assert math.isfinite(status[f"gain_pct_over_{policy}"])
        assert status[f"verdict_over_{policy}"] in ("gain", "no gain", "loss")
