"""What-if and explain: the night recomputed from what it left, publishing nothing."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from routing_core.cli import app
from routing_core.errors import NotFoundError, RunStateError, SettingsError
from routing_core.settings import Settings
from routing_core.steps import read, replan, retained, route
from routing_core.steps.value_policy import Challenger, value_policy
from routing_core.steps.what_if import what_if
from routing_core.steps.why import explain
from routing_core.store import checks
from routing_core.store.database import reading

TONIGHT = date(2026, 11, 22)
TABLES = ("routing_runs", "assignments", "receipts", "shadow_prices", "allocations")


def counts(settings: Settings) -> list[int]:
    with reading(settings) as connection:
        return [connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in TABLES]


def fetch(settings: Settings, query: str) -> list[Any]:
    with reading(settings) as connection:
        return list(connection.execute(text(query)).mappings().all())


@pytest.fixture
def routed(world: Settings) -> Settings:
    route.route(TONIGHT, world, run_key="a")
    return world


def test_the_night_as_it_was_is_a_point_and_more_money_never_hurts(routed: Settings):
    before = counts(routed)
    found = what_if(TONIGHT, routed, budgets=[0.0, 0.02, 0.05, 0.1, 1.0])
    assert counts(routed) == before
    status = read.status(TONIGHT, routed)
    own = found["points"][2]
    assert own["objective"] == pytest.approx(status["objective"], rel=1e-9)
    assert (own["served"], own["deferred"]) == (status["assigned"], status["deferred"])
    objectives = [point["objective"] for point in found["points"]]
    assert objectives == sorted(objectives)
    assert found["points"][0]["planned_spend_usd"] == 0
    assert all(point["gap"] < 0.01 for point in found["points"])
    assert json.loads(json.dumps(found)) == found


def test_the_next_dollar_and_instance_are_worth_what_planning_with_them_gives(routed: Settings):
    found = what_if(TONIGHT, routed, budgets=[0.05, 0.0505])
    a, b = (point["objective"] for point in found["points"])
    assert (b - a) / 0.0005 == pytest.approx(found["next"]["dollar"], rel=0.15)
    assert set(found["next"]["instance"]) == set(found["instances"])
    assert all(value >= 0 for value in found["next"]["instance"].values())


def test_gpu_hours_are_paid_before_the_api_in_the_night_its_rest_and_its_questions(world: Settings):
    (gpus,) = fetch(world, "SELECT sum(gpus) AS n FROM instance_allocations")
    hours = world.service_window_minutes / 60
    asked = world.model_copy(update={"gpu_hour_usd": 0.02 / (gpus["n"] * hours)})
    route.route(TONIGHT, world, run_key="free")
    free = read.status(TONIGHT, world)
    route.route(TONIGHT, asked, run_key="priced")
    night = read.status(TONIGHT, asked)
    assert free["gpu_usd"] == 0
    assert night["gpu_usd"] == pytest.approx(0.02)
    assert night["planning_budget_usd"] == pytest.approx(0.05 / night["cost_margin"] - 0.02)
    assert 0 < night["planned_spend_usd"] <= night["planning_budget_usd"] < free["planned_spend_usd"]
    assert retained.current_night(TONIGHT, asked).problem().budget == pytest.approx(night["planning_budget_usd"])
    own, none = (
        what_if(TONIGHT, asked, budgets=[0.05])["points"][0],
        what_if(TONIGHT, asked, budgets=[0.02])["points"][0],
    )
    assert own["objective"] == pytest.approx(night["objective"], rel=1e-9)
    assert none["planned_spend_usd"] == 0
    few = what_if(TONIGHT, asked, budgets=[0.05], gpus=[0])["points"][0]
    assert few["planned_spend_usd"] > night["planning_budget_usd"]
    replan.replan(TONIGHT, asked, replan.Change(), run_key="rest")
    again = read.status(TONIGHT, asked)
    assert again["planned_spend_usd"] <= again["planning_budget_usd"] == night["planning_budget_usd"]


def test_a_budget_that_gpu_hours_use_up_leaves_the_api_nothing_and_warns(world: Settings):
    asked = world.model_copy(update={"gpu_hour_usd": 1.0})
    route.route(TONIGHT, asked, run_key="a")
    assert read.status(TONIGHT, asked)["planned_spend_usd"] == 0
    with reading(asked) as connection:
        warned = [found.name for found in checks.run_checks(connection, 1) if found.offending]
    assert "gpu_hours_are_within_budget" in warned
    assert "spend_is_within_budget" not in warned


def test_more_gpus_are_never_worse_and_the_frontier_is_not_beaten(routed: Settings):
    found = what_if(TONIGHT, routed, budgets=[0.02, 0.05], gpus=[0, 4, 8])
    by_gpus = {(p["gpus"], p["budget_usd"]): p for p in found["points"]}
    assert len(by_gpus) == 6
    assert sum(by_gpus[0, 0.05]["instances"].values()) == 0
    for usd in (0.02, 0.05):
        assert by_gpus[0, usd]["objective"] <= by_gpus[8, usd]["objective"] + 0.5
    for point in found["points"]:
        beaten = [
            q
            for q in found["points"]
            if q["budget_usd"] <= point["budget_usd"]
            and q["gpus"] <= point["gpus"]
            and q["objective"] > point["objective"] * (1 + 1e-6)
        ]
        assert not (beaten and point["efficient"])
    assert any(point["efficient"] for point in found["points"])


def test_an_assigned_query_is_explained_by_its_candidates_and_prices(routed: Settings):
    rows = fetch(routed, "SELECT * FROM assignments ORDER BY query_id")
    for row in rows[:: len(rows) // 6]:
        found = explain(row.query_id, routed)
        assert (found["decision"], found["model"]) == ("assigned", row.model)
        chosen = next(one for one in found["candidates"] if one["chosen"])
        assert chosen["model"] == row.model
        assert chosen["planned_quality"] == pytest.approx(row.planned_quality)
        assert chosen["worth"] == pytest.approx(chosen["planned_quality"] - chosen["price"], abs=1e-6)
        others = [one["worth"] for one in found["candidates"] if not one["chosen"] and one["worth"] is not None]
        assert row.regret == pytest.approx(chosen["worth"] - max(others), abs=1e-5)
        eligible = sum(one["eligible"] for one in found["candidates"]) - 1
        assert eligible == int(row.candidates).bit_count()
        assert row.model in found["words"]
        assert json.loads(json.dumps(found))["query_id"] == row.query_id
    closest = min(rows, key=lambda row: row.regret)
    assert ("nearly tied" in explain(closest.query_id, routed)["words"]) == (closest.regret < 0)


def test_deferred_and_rejected_queries_are_explained_too(world: Settings):
    route.route(TONIGHT, world, run_key="a", options=route.RouteOptions(budget_usd=0.005))
    waiting = fetch(world, "SELECT * FROM deferred_queries ORDER BY query_id")[0]
    found = explain(waiting.query_id, world, TONIGHT)
    assert (found["decision"], found["cause"], found["model"]) == ("deferred", waiting.cause, None)
    assert next(one for one in found["candidates"] if one["chosen"])["model"] == "waiting"
    assert found["prices"]["budget"] > 0
    refused = fetch(
        world,
        "SELECT * FROM rejected_queries WHERE query_id IS NOT NULL AND query_id NOT IN "
        "(SELECT query_id FROM assignments UNION ALL SELECT query_id FROM deferred_queries) ORDER BY query_id",
    )[0]
    told = explain(refused.query_id, world)
    assert (told["decision"], told["reason"], told["candidates"]) == ("rejected", refused.reason, [])
    assert refused.detail in told["words"]


def test_of_a_night_whose_rest_was_planned_anew_no_other_plan_and_no_prices_are_made_up(routed: Settings):
    replan.replan(TONIGHT, routed, replan.Change(after_batch=1), run_key="rest")
    with pytest.raises(RunStateError, match="run 2 of 2026-11-22 is the plan of what was left of run 1 after batch 1"):
        what_if(TONIGHT, routed)
    with pytest.raises(RunStateError, match="the plan of what was left of run 1"):
        value_policy(TONIGHT, TONIGHT, routed, Challenger(budget_usd=1.0))
    row = fetch(routed, "SELECT a.* FROM assignments a WHERE a.run_id = 2 ORDER BY query_id")[0]
    told = explain(row.query_id, routed)
    assert (told["run_id"], told["model"], told["candidates"], told["prices"]) == (2, row.model, [], {})
    assert "no prices hold for all of it" in told["words"]


def test_a_twice_listed_query_is_explained_by_the_row_that_counts(routed: Settings):
    twin = fetch(routed, "SELECT query_id FROM rejected_queries WHERE reason = 'duplicate'")[0]
    assert explain(twin.query_id, routed)["decision"] in ("assigned", "deferred")


def test_what_is_not_there_or_not_kept_is_named(routed: Settings):
    with pytest.raises(NotFoundError, match="query 'nobody' is not in the current run of any night"):
        explain("nobody", routed)
    with pytest.raises(NotFoundError, match="2026-01-01"):
        what_if(date(2026, 1, 1), routed)
    with pytest.raises(SettingsError, match="h200"):
        what_if(TONIGHT, routed, gpus=[1], gpu_type="h200")
    with pytest.raises(SettingsError, match="at most 2000 points"):
        what_if(TONIGHT, routed, budgets=[1.0] * 2001)
    shard = next((routed.run_directory(1) / "estimates").iterdir())
    shard.rename(shard.with_name("gone"))
    with pytest.raises(NotFoundError, match="no longer kept"):
        what_if(TONIGHT, routed)


def test_the_command_line_takes_ranges_with_both_ends(routed: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(routed.home))
    run = CliRunner().invoke
    asked = ["what-if", "--dt", "2026-11-22", "--budget", "0.02:0.06:0.02", "--gpus", "0:8:8"]
    found = json.loads(run(app, [*asked, "--json"], catch_exceptions=False).stdout)
    assert [(p["gpus"], round(p["budget_usd"], 6)) for p in found["points"]] == [
        (gpus, usd) for gpus in (0, 8) for usd in (0.02, 0.04, 0.06)
    ]
    assert "frontier" in run(app, asked, catch_exceptions=False).stdout
    query = fetch(routed, "SELECT min(query_id) AS id FROM assignments")[0].id
    assert "chosen" in run(app, ["explain", query], catch_exceptions=False).stdout
    for bad in ("9:1:1", "a", "0:1:0", "1:2", "0:1e9:0.001"):
        with pytest.raises(SettingsError, match="--budget"):
            run(app, ["what-if", "--dt", "2026-11-22", "--budget", bad], catch_exceptions=False)


def test_a_retained_night_is_the_one_that_was_solved(routed: Settings):
    kept = retained.current_night(TONIGHT, routed)
    rows = fetch(routed, "SELECT query_id, model FROM assignments")
    models = dict(zip(kept.query_id.tolist(), kept.decided["model"].tolist(), strict=True))
    assert all(kept.models[models[row.query_id]] == row.model for row in rows)
    assert np.sum(kept.decided["model"] >= 0) == len(rows)
