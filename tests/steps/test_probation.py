"""A model with too few outcomes gets a bounded number of probes, and the run says how many outcomes it lacks."""

from __future__ import annotations

from datetime import date
from math import ceil

import numpy as np
import pytest
from sqlalchemy import text

from routing_core.settings import Settings
from routing_core.steps import demand, figures, read, retained, route
from routing_core.steps.allocate import allocate
from routing_core.steps.value_policy import Challenger, _estimated_anew, value_policy
from routing_core.steps.why import explain
from routing_core.store import predictors, versions
from routing_core.store.catalog import read_catalog
from routing_core.store.database import reading
from routing_core.workload.synthetic import log_outcomes
from routing_core.workload.truth import World

BEFORE, TONIGHT = date(2026, 11, 21), date(2026, 11, 22)


def test_a_newcomer_is_probed_within_its_quota_until_it_has_its_outcomes(world: Settings):
    with reading(world) as connection:
        content_hash = versions.choose_predictor(connection, TONIGHT, "as_of").content_hash
    predictor = predictors.load(world.predictors_root, content_hash)
    lacking = predictor.effective.argsort()[:3]
    enough = ceil(predictor.effective[lacking[2]]) + 1
    asked = world.model_copy(update={"probe_quota": 4, "probation_outcomes": enough, "budget_usd": 0.2})
    assert route.route(TONIGHT, asked, run_key="a")["status"] == "current"
    rows = {row["model"]: row for row in read.night_report(TONIGHT, asked)["utilisation"]}
    for name, effective in zip(predictor.models, predictor.effective, strict=True):
        missing = ceil(enough - effective)
        assert rows[name]["outcomes_until_eligible"] == (missing if missing > 0 else None)
    new = [row for row in rows.values() if row["outcomes_until_eligible"]]
    assert len(new) >= 3
    only = "SELECT count(*) FROM assignments a JOIN run_models m ON m.run_id = a.run_id AND m.model = a.model "
    with reading(asked) as connection:
        probed = connection.execute(text(only + "WHERE m.outcomes_until_eligible IS NOT NULL")).scalar_one()
    assert 0 < probed <= 4 * len(new) + 20
    night = retained.current_night(TONIGHT, asked)
    again = figures.receipt_rows(night.problem(), night.decided["model"], night.night, night.models, night.settings)
    stored = {row["policy"]: row for row in read.night_report(TONIGHT, asked)["comparisons"]}
    assert all(stored[row["policy"]]["expected_quality"] == row["expected_quality"] for row in again)
    with reading(asked) as connection:
        log = connection.execute(text("SELECT query_id, model, propensity FROM assignments")).all()
        used = connection.execute(text("SELECT predictor_id FROM nights")).scalar_one()
        probe = connection.execute(
            text(
                "SELECT a.query_id, a.regret, m.model, m.outcomes_until_eligible AS until FROM assignments a "
                "JOIN run_models m ON m.run_id = a.run_id AND m.model = a.model "
                "WHERE m.outcomes_until_eligible IS NOT NULL ORDER BY a.regret, a.query_id"
            )
        ).first()
    assert probe is not None
    assert probe.regret < 0
    words = explain(probe.query_id, asked)["words"]
    assert f"it probes {probe.model}, {probe.until} outcomes until that is eligible." in words
    names, chosen, chance = zip(*log, strict=True)
    truth = World(asked.seed, read_catalog(asked.catalog_file))
    log_outcomes(asked.home, truth, logged_on=date(2026, 11, 23), query_ids=names, models=chosen, propensity=chance)
    as_it_was = value_policy(TONIGHT, TONIGHT, asked, Challenger())
    anew = value_policy(TONIGHT, TONIGHT, asked, Challenger(predictor_id=used))
    assert anew["agreement"] == as_it_was["agreement"]
    assert anew["planned_spend_usd"] == pytest.approx(as_it_was["planned_spend_usd"])


def test_gpus_serve_the_models_a_night_may_use_and_one_instance_each_those_it_probes(world: Settings):
    known = demand.known_by(BEFORE, world, "as_of")
    lacks = dict(zip(known.predictor.models, known.predictor.effective.tolist(), strict=True))
    idle = next(name for name, count in instances_now(world).items() if not count)
    asked = world.model_copy(update={"probe_quota": 4, "probation_outcomes": ceil(lacks[idle]) + 1})
    new = np.array([lacks[name] < asked.probation_outcomes for name in known.catalog.names])
    assert not new.all()
    eligible = demand.pose(known, demand.expect(known, asked, TONIGHT), asked, TONIGHT).eligible
    assert eligible is not None
    assert not eligible[np.ix_(eligible[:, ~new].any(axis=1), new)].any()
    plan = allocate(BEFORE, asked, run_key="probation")
    assert all(plan["instances"].get(name, 1) >= 1 for name in np.array(known.catalog.names)[new])
    assert any("on probation" in note and idle in note for note in plan["notes"])


def test_a_newcomer_gets_no_instance_where_gpus_pins_or_the_limit_on_changes_leave_no_room(world: Settings):
    asked = world.model_copy(update={"probe_quota": 4, "probation_outcomes": 10**9})
    now = instances_now(world)
    name = next(iter(now))
    for rule in ({"gpu_budget": {"h100": 1}}, {"max_instance_changes": 0}, {"max_instances": {name: 0}}):
        found = allocate(TONIGHT, asked.model_copy(update=rule), run_key="x", dry_run=True)["instances"]
        if "gpu_budget" in rule:
            assert sum(found.values()) == 1
        elif "max_instances" in rule:
            assert (found[name], min(count for other, count in found.items() if other != name)) == (0, 1)
        else:
            assert found == now


def instances_now(settings: Settings) -> dict[str, int]:
    with reading(settings) as connection:
        rows = connection.execute(text("SELECT model, instances FROM instance_allocations ORDER BY model")).all()
    return {row.model: row.instances for row in rows}


def test_without_a_quota_nobody_is_on_probation(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    report = read.night_report(TONIGHT, world)
    assert all(row["outcomes_until_eligible"] is None for row in report["utilisation"])


def test_a_night_planned_carefully_is_valued_anew_on_the_careful_level_too(world: Settings):
    asked = world.model_copy(update={"unfamiliar_limit": 0.0})
    route.route(TONIGHT, asked, run_key="a")
    night = retained.current_night(TONIGHT, asked)
    assert night.run.conservative
    again, _ = _estimated_anew(night, asked, Challenger(predictor_id=night.run.predictor_id))
    assert np.array_equal(again.lower_quality, night.night.lower_quality)
