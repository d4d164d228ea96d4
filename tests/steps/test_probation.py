"""A model with too few outcomes gets a bounded number of probes, and the run says how many outcomes it lacks."""

from __future__ import annotations

from datetime import date
from math import ceil

from sqlalchemy import text

from routing_core.settings import Settings
from routing_core.steps import figures, read, retained, route
from routing_core.store import predictors, versions
from routing_core.store.database import reading

TONIGHT = date(2026, 11, 22)


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


def test_without_a_quota_nobody_is_on_probation(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    report = read.night_report(TONIGHT, world)
    assert all(row["outcomes_until_eligible"] is None for row in report["utilisation"])
