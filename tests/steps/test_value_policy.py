"""Exploration and off-policy values over whole nights: from the plan to its logs, and from logs to another plan."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from sqlalchemy import text

from routing_core.errors import NotFoundError, SettingsError
from routing_core.settings import Settings
from routing_core.steps import retained, route
from routing_core.steps.plan import decide
from routing_core.steps.value_policy import Challenger, value_policy
from routing_core.steps.why import explain
from routing_core.store.catalog import read_catalog
from routing_core.store.database import reading, writing
from routing_core.workload.synthetic import log_outcomes
from routing_core.workload.truth import World

TONIGHT, MORROW = date(2026, 11, 22), date(2026, 11, 23)


def fetch(settings: Settings, query: str) -> list:
    with reading(settings) as connection:
        return list(connection.execute(text(query)).all())


def answered(settings: Settings) -> list:
    """Let the assigned models answer, and log it."""
    rows = fetch(settings, "SELECT query_id, model, propensity FROM assignments ORDER BY query_id")
    ids, models, chance = zip(*rows, strict=True)
    truth = World(settings.seed, read_catalog(settings.catalog_file))
    log_outcomes(settings.home, truth, logged_on=MORROW, query_ids=ids, models=models, propensity=chance)
    return rows


@pytest.fixture(params=["sqlite", "postgresql"])
def exploring(request: pytest.FixtureRequest) -> Settings:
    settings: Settings = request.getfixturevalue({"sqlite": "world", "postgresql": "postgres_world"}[request.param])
    return settings.model_copy(update={"exploration_share": 0.3, "budget_usd": 0.2})


def test_a_night_that_explores_passes_its_checks_and_says_with_which_probability(exploring: Settings):
    assert route.route(TONIGHT, exploring, run_key="a")["status"] == "current"
    rows = answered(exploring)
    propensity = np.array([row.propensity for row in rows])
    assert ((propensity > 0) & (propensity <= 1)).all()
    assert 0.02 < (propensity < 0.5).mean() < 0.3
    drawn = fetch(exploring, "SELECT query_id FROM assignments WHERE propensity < 0.5 AND regret < 0 ORDER BY query_id")
    assert "more: it was drawn to explore." in explain(drawn[0].query_id, exploring)["words"]
    first = {row.query_id: row.model for row in rows}
    route.route(TONIGHT, exploring.model_copy(update={"chunks": 1}), run_key="b")
    again = fetch(exploring, "SELECT a.query_id, a.model FROM assignments a JOIN nights n ON n.run_id = a.run_id")
    assert {row.query_id: row.model for row in again} == first
    other = exploring.model_copy(update={"seed": exploring.seed + 1})
    route.route(TONIGHT, other, run_key="c")
    third = fetch(exploring, "SELECT a.query_id, a.model FROM assignments a JOIN nights n ON n.run_id = a.run_id")
    assert {row.query_id: row.model for row in third} != first


def test_a_challenger_is_valued_from_the_logs_and_the_truth_lies_within(exploring: Settings):
    route.route(TONIGHT, exploring, run_key="a")
    answered(exploring)
    found = value_policy(TONIGHT, TONIGHT, exploring, Challenger(budget_usd=0.22))
    assert found["refusal"] is None
    assert found["missing"] == 0
    assert found["effective"] > 50
    assert found["planned_spend_usd"]["challenger"] <= 0.22
    truth = _true_value(exploring, 0.22)
    assert found["dr"]["lower"] <= truth <= found["dr"]["upper"]
    assert found["gain"]["value"] == pytest.approx(found["dr"]["value"] - found["logged"]["value"])


def _true_value(settings: Settings, budget: float) -> float:
    """Expected quality of the challenger's plan by the world's own truth."""
    night = retained.current_night(TONIGHT, settings)
    model = decide(night.problem_with(budget, night.capacity), night.night, night.settings).model
    world = World(settings.seed, read_catalog(settings.catalog_file))
    quality = world.true_quality(night.query_id.tolist())
    return float(np.where(model < 0, 0, quality[np.arange(len(model)), np.maximum(model, 0)]).mean())


def test_without_exploration_another_policy_is_refused_and_the_same_is_what_was_earned(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    answered(world)
    same = value_policy(TONIGHT, TONIGHT, world, Challenger())
    assert same["refusal"] is None
    assert same["agreement"] == 1.0
    assert same["dr"]["value"] == pytest.approx(same["logged"]["value"])
    other = value_policy(TONIGHT, TONIGHT, world, Challenger(budget_usd=10.0))
    assert "never does" in other["refusal"]
    assert other["dr"] is None


def test_another_robust_level_or_predictor_is_estimated_anew(world: Settings):
    route.route(TONIGHT, world, run_key="a", options=route.RouteOptions(robust_level=0.1))
    answered(world)
    same = value_policy(TONIGHT, TONIGHT, world, Challenger(robust_level=0.1))
    assert same["agreement"] == 1.0
    assert value_policy(TONIGHT, TONIGHT, world, Challenger(robust_level=0.45))["agreement"] < 1.0
    assert value_policy(TONIGHT, TONIGHT, world, Challenger(predictor_id=1))["queries"] == same["queries"]


def test_a_predictor_that_has_seen_the_answers_is_not_valued_by_them(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    answered(world)
    with writing(world) as connection:
        connection.execute(text("UPDATE predictor_versions SET trained_through = '2026-11-23' WHERE predictor_id = 2"))
    with pytest.raises(SettingsError, match="learnt from outcomes through 2026-11-23"):
        value_policy(TONIGHT, TONIGHT, world, Challenger(predictor_id=2))
    with pytest.raises(NotFoundError, match="predictor 99"):
        value_policy(TONIGHT, TONIGHT, world, Challenger(predictor_id=99))
    with pytest.raises(NotFoundError, match="no night from"):
        value_policy(MORROW, MORROW, world, Challenger())


def test_exploration_is_refused_where_batches_come_as_they_come(world: Settings):
    asked = world.model_copy(update={"exploration_share": 0.1})
    with pytest.raises(SettingsError, match="exploration_share must be 0 with batching: arrival"):
        route.route(TONIGHT, asked, run_key="a", options=route.RouteOptions(batching="arrival"))
