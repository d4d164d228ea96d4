"""The nightly DAG promotes, keeps and refuses; whatever it says, a worse challenger never reigns."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from routing_core.predict import RECIPES, Recipe, judge
from routing_core.settings import Settings
from routing_core.steps import retrain as step
from routing_core.store import versions
from routing_core.store.database import reading

TONIGHT = date(2026, 11, 22)
ASK = {"dt": TONIGHT.isoformat()}
BLIND = Recipe("paper", quality=("means",), shrink=False, uncertainty="conformal", level=0.02, cost="means")
"""Plans with quality lowered to nearly nothing: it can only lose."""


def verdict(settings: Settings) -> Any:
    with reading(settings) as connection:
        return connection.execute(text("SELECT * FROM promotions ORDER BY dt DESC")).first()


def champion(settings: Settings) -> int:
    with reading(settings) as connection:
        return int(versions.choose_predictor(connection, TONIGHT, "as_of").predictor_id)


def test_it_promotes_the_champions_own_recipe_learnt_anew(run_dag: Callable[..., Any], tonight_home: Settings):
    run_dag("retrain_predictors", ASK)
    found = verdict(tonight_home)
    assert (found.decision, found.champion_id) == ("promoted", 1)
    assert found.robust_reason
    assert 0 <= found.mix_distance <= 1
    assert 0 <= found.exam_unfamiliar_share <= 1
    assert found.quality_shift_model
    assert champion(tonight_home) == found.predictor_id


def test_it_keeps_the_champion_from_a_worse_challenger(
    run_dag: Callable[..., Any], tonight_home: Settings, monkeypatch: pytest.MonkeyPatch
):
    """The challenger's recipe sits the same exam, is worse or may well be, and does not reign."""
    # This world logs one model of many a query: few answers tell of both plans.
    monkeypatch.setattr(judge, "LEAST_EFFECTIVE", 5.0)
    monkeypatch.setattr(step, "RECIPES", {**RECIPES, "paper": BLIND})
    monkeypatch.setenv("NIGHTSHIFT_RECIPE", "paper")
    run_dag("retrain_predictors", ASK)
    found = verdict(tonight_home)
    assert (found.decision, found.champion_id) == ("kept", 1), found.reason
    assert "worse" in found.reason
    assert found.challenger_quality < found.champion_quality or found.difference_lower < 0
    assert champion(tonight_home) == 1


def test_it_refuses_to_decide_on_an_exam_nobody_sat(run_dag: Callable[..., Any], tonight_home: Settings):
    """Without outcomes of the days to be held out, nothing is decided and the champion goes on."""
    for back in range(tonight_home.judge_days):
        shutil.rmtree(f"{tonight_home.outcomes_root}/dt={TONIGHT - timedelta(days=back)}", ignore_errors=True)
    run_dag("retrain_predictors", ASK)
    found = verdict(tonight_home)
    assert (found.decision, found.champion_id) == ("refused", 1)
    assert "too thin" in found.reason
    assert champion(tonight_home) == 1
