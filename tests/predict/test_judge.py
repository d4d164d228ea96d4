"""The judge promotes, keeps and refuses, each forced; a worse challenger never reigns."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from small_world import MODELS, make_outcomes

from routing_core.predict import DEFAULT, Recipe
from routing_core.predict.drift import calibration_error, mix_distance
from routing_core.predict.judge import Decision, judge, paired_interval
from routing_core.records.outcomes import Outcomes

DT = date(2026, 11, 20)
GOOD = replace(DEFAULT, name="good", quality=("low_rank",), folds=2)
MEANS = Recipe("means", quality=("means",), uncertainty="none", cost="means", folds=2)


@pytest.fixture(scope="module")
def log() -> Outcomes:
    return make_outcomes(1000, seed=21)


def sit(outcomes: Outcomes, champion: Recipe | None, challenger: Recipe, horizon: int = 3, **more):
    return judge(outcomes, MODELS, champion, challenger, dt=DT, horizon_days=horizon, seed=5, **more)


def test_a_better_challenger_is_promoted_on_proof(log: Outcomes):
    verdict = sit(log, MEANS, GOOD)
    assert verdict.decision is Decision.PROMOTED
    assert verdict.difference is not None
    assert verdict.difference > 0
    assert verdict.interval is not None
    assert verdict.interval[0] <= verdict.difference <= verdict.interval[1]
    assert verdict.exam_queries == 300


def test_a_worse_challenger_never_reigns(log: Outcomes):
    verdict = sit(log, GOOD, MEANS)
    assert verdict.decision is Decision.KEPT
    assert "worse" in verdict.reason


def test_a_thin_exam_is_refused_with_the_numbers(log: Outcomes):
    few = log.take(np.isin(log.query_id, np.unique(log.query_id.astype(str))[:90]))
    verdict = sit(few, MEANS, GOOD)
    assert verdict.decision is Decision.REFUSED
    assert "too thin" in verdict.reason


def test_few_known_answers_are_refused_though_queries_abound(log: Outcomes):
    """Plans that choose what the exam's log hardly ever shows prove nothing."""
    in_exam = log.logged_at > np.datetime64("2026-11-17T12")
    shown = log.take(~in_exam | (log.model == "small") | (np.arange(len(log)) % 40 == 0))
    verdict = sit(shown, MEANS, GOOD, budgets=[1.0])
    assert verdict.exam_queries > 100
    assert verdict.decision is Decision.REFUSED
    assert "effective answers" in verdict.reason


def test_the_first_champion_is_promoted_with_the_reason(log: Outcomes):
    verdict = sit(log, None, GOOD)
    assert verdict.decision is Decision.PROMOTED
    assert "first champion" in verdict.reason
    assert verdict.challenger_quality is not None


def test_nobody_is_crowned_on_nothing(log: Outcomes):
    assert sit(log.take(np.arange(0)), None, GOOD).decision is Decision.REFUSED


def test_the_same_recipe_goes_on_refitted(log: Outcomes):
    verdict = sit(log, GOOD, GOOD)
    assert verdict.decision is Decision.PROMOTED
    assert verdict.difference == 0


def test_a_verdict_is_reproduced_and_blind_to_the_future(log: Outcomes):
    """Outcomes after dt change nothing."""
    later = replace(make_outcomes(100, seed=23), logged_at=np.full(300, np.datetime64("2026-12-01", "us")))
    both = Outcomes(
        **{
            name: np.concatenate([getattr(log, name), getattr(later, name)])
            if isinstance(getattr(log, name), np.ndarray)
            else None
            if getattr(log, name) is None
            else [*getattr(log, name), *getattr(later, name)]
            for name in log.__slots__
        }
    )
    assert sit(both, MEANS, GOOD).to_dict() == sit(log, MEANS, GOOD).to_dict()


def test_drift_is_reported(log: Outcomes):
    verdict = sit(log, MEANS, GOOD)
    assert verdict.drift is not None
    assert set(verdict.drift.quality_shift) == set(MODELS)
    assert 0 <= verdict.drift.mix_distance <= 1


def test_mix_distance_by_hand():
    a, b = np.array(["x", "x", "y", "y"], object), np.array(["y", "y", "z", "z"], object)
    assert mix_distance(a, b) == pytest.approx(0.5)
    assert mix_distance(a, a) == 0


def test_calibration_error_by_hand():
    """Two bins, each off by 0.1 and 0.3, equally full."""
    predicted = np.array([0.25, 0.25, 0.75, 0.75])
    quality = np.array([0.2, 0.1, 0.9, np.nan])
    assert calibration_error(predicted, quality) == pytest.approx((0.2 + 0.15) / 3)


def test_the_interval_holds_the_mean_and_narrows_with_more():
    gains = np.random.default_rng(0).normal(0.1, 1, 4000)
    wide, narrow = paired_interval(gains[:200], 1), paired_interval(gains, 1)
    assert narrow[0] < gains.mean() < narrow[1]
    assert narrow[1] - narrow[0] < wide[1] - wide[0]
