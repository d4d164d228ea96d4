"""Lower estimates, margins, calibration and off-policy values, on numbers one can follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import MODELS, make_outcomes

from routing_core.predict.calibration import learn_calibration
from routing_core.predict.evidence import choose_robustness
from routing_core.predict.labels import Labels, tabulate
from routing_core.predict.margin import CostMargin, calibrate_margin
from routing_core.predict.offpolicy import plan_value
from routing_core.predict.planning import Limits
from routing_core.predict.uncertainty import conformal_shift, robustness
from routing_core.route.problem import UNLIMITED


def labels_of(logged: str = "all", n: int = 400, **changes: float) -> Labels:
    asked = {"half_life_days": np.inf, "max_importance": 10.0} | changes
    return tabulate(make_outcomes(n, seed=31, logged=logged), MODELS, **asked)


def matrices(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mean = rng.uniform(0, 1, (n, 3)).astype(np.float32)
    return mean, rng.uniform(0, 0.2, (n, 3)).astype(np.float32), (rng.random((n, 3)) < mean).astype(np.float32)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.sampled_from(["none", "quantile", "conformal", "kappa"]), st.floats(0.01, 0.5), st.integers(0, 99))
def test_lower_estimates_stay_between_zero_and_the_mean(method: str, level: float, seed: int):
    mean, std, quality = matrices(seed=seed)
    lower = robustness(method, level, mean, quality).lower(mean, std)
    assert ((lower >= 0) & (lower <= mean)).all()


def test_more_uncertainty_never_raises_a_lower_estimate():
    mean, std, quality = matrices()
    for method, level in (("quantile", 0.1), ("kappa", 1.0)):
        chosen = robustness(method, level, mean, quality)
        assert (chosen.lower(mean, 2 * std) <= chosen.lower(mean, std)).all()


def test_the_q10_is_1_28_deviations_below():
    lower = robustness("quantile", 0.1, np.zeros((1, 1)), np.zeros((1, 1))).lower(
        np.full((1, 1), 0.8, np.float32), np.full((1, 1), 0.1, np.float32)
    )
    assert lower[0, 0] == pytest.approx(0.8 - 0.12816, abs=1e-4)


def test_conformal_shifts_cover_new_answers():
    """New answers are below prediction − shift with at most the promised probability, give or take."""
    rng = np.random.default_rng(2)
    mean = rng.uniform(0.2, 0.8, (4000, 3)).astype(np.float32)
    quality = np.clip(mean + rng.normal(0, 0.1, mean.shape), 0, 1).astype(np.float32)
    shift = conformal_shift(mean[:2000], quality[:2000], 0.1)
    missed = (quality[2000:] < mean[2000:] - shift).mean(axis=0)
    assert (missed < 0.13).all()
    assert (missed > 0.07).all()


def test_a_model_with_too_few_labels_is_shifted_all_the_way():
    mean, _, quality = matrices(20)
    quality[5:, 1] = np.nan
    assert conformal_shift(mean, quality, 0.1)[1] == 1


def test_calibration_shrinks_an_overconfident_predictor_to_the_truth():
    """Deviations twice as large as the truth's are halved, and the mean is put right."""
    rng = np.random.default_rng(3)
    truth = rng.uniform(0.3, 0.7, (4000, 3))
    quality = (rng.random(truth.shape) < truth).astype(np.float32)
    said = (0.1 + 0.4 + 2 * (truth - 0.5)).astype(np.float32)
    calibration = learn_calibration(said, quality, np.ones_like(quality), np.full(3, 4000.0))
    np.testing.assert_allclose(calibration.slope, 0.5, atol=0.1)
    mean, _ = calibration.apply(said, np.zeros_like(said))
    assert np.abs(mean - truth).mean() < 0.02


def test_predictions_that_tell_nothing_are_shrunk_away():
    mean, _, _ = matrices(2000)
    quality = (np.random.default_rng(8).random(mean.shape) < 0.6).astype(np.float32)
    calibration = learn_calibration(mean, quality, np.ones_like(mean), np.full(3, 2000.0))
    assert (calibration.slope < 0.1).all()


def test_few_labels_lean_on_the_prior_and_many_do_not():
    mean, _, quality = matrices()
    quality[:, 0] = 0
    weight = np.ones_like(quality)
    for labels, share in ((0.0, 1.0), (10.0, 0.5), (30.0, 0.25), (60.0, 0.0), (1e4, 0.0)):
        calibration = learn_calibration(mean, quality, weight, np.array([labels, 1e4, 1e4]))
        assert calibration.prior_share[0] == pytest.approx(share)
        assert (calibration.prior_share[1:] == 0).all()


def test_without_shrinkage_nothing_changes():
    mean, std, quality = matrices()
    calibration = learn_calibration(mean, quality, np.ones_like(mean), np.full(3, 1e4), shrink=False)
    np.testing.assert_array_equal(calibration.apply(mean, std)[0], mean)


def test_recency_and_propensity_weigh_and_the_effective_size_says_so():
    """Halving with each day shrinks the effective sample; clipped propensities bound a weight."""
    assert labels_of().effective == pytest.approx(np.full(3, 400))
    assert (labels_of(half_life_days=1.0).effective < 200).all()
    log = make_outcomes(400, seed=31)
    log = replace(log, propensity=np.where(np.arange(len(log)) < 600, 1e-6, 1.0))
    weight = tabulate(log, MODELS, half_life_days=np.inf, max_importance=5.0).weight
    assert weight.max() / weight[weight > 0].min() == pytest.approx(5)


def test_an_answer_logged_twice_counts_by_its_latest():
    log = make_outcomes(2, seed=31).take(np.array([0, 0]))
    log = replace(log, quality=np.array([1.0, 0.0], np.float32), logged_at=log.logged_at + np.array([0, 1], "m8[s]"))
    assert tabulate(log, MODELS, half_life_days=np.inf, max_importance=1).quality[0, 0] == 0


def test_with_full_feedback_a_plan_is_worth_what_was_answered():
    labels = labels_of()
    choice = np.arange(len(labels)) % 4 - 1
    value = plan_value(choice, labels, np.arange(len(labels)), np.full(labels.quality.shape, 0.9, np.float32))
    known = [labels.quality[i, j] if j >= 0 else 0 for i, j in enumerate(choice)]
    assert value.value == pytest.approx(np.mean(known))
    assert value.effective == len(labels)


def test_off_policy_value_is_near_the_truth_whatever_the_guess():
    """Doubly robust: a wrong guess is put right by the answers that are known."""
    full = labels_of(n=6000)
    rng = np.random.default_rng(0)
    drawn = rng.choice(3, len(full), p=[0.5, 0.3, 0.2])
    kept = np.arange(3) == drawn[:, None]
    share = np.array([0.5, 0.3, 0.2])
    logged = replace(
        full,
        quality=np.where(kept, full.quality, np.nan),
        weight=kept.astype(np.float32),
        propensity=np.where(kept, share, np.nan).astype(np.float32),
    )
    rows = np.arange(len(full))
    choice = (full.task == "code").astype(int) * 2
    truth = plan_value(choice, full, rows, full.quality).value
    for guess in (0.0, 0.5, 1.0):
        value = plan_value(choice, logged, rows, np.full(full.quality.shape, guess, np.float32))
        assert value.value == pytest.approx(truth, abs=0.04)
        assert value.effective < 0.5 * len(full)


def test_the_margin_covers_new_batches_as_often_as_promised():
    """Batches planned with the 95 % factor overspend about one time in twenty."""
    rng = np.random.default_rng(4)
    planned = rng.uniform(1, 2, 20_000)
    realised = planned * rng.lognormal(0.05, 0.5, len(planned))
    margin = calibrate_margin([(planned[:10_000], realised[:10_000])], seed=1)
    ratios = realised[10_000:].reshape(-1, 100).sum(axis=1) / planned[10_000:].reshape(-1, 100).sum(axis=1)
    assert 0 <= (ratios > margin.factor(100)).mean() <= 0.12
    assert margin.factor(100, 0.01) > margin.factor(100) > margin.k > 1


def test_below_the_smallest_calibrated_size_the_margin_grows_as_the_error_of_a_sum():
    """A quarter of the queries, twice the surplus; what is no surplus stays."""
    margin = CostMargin(np.array([50, 100]), np.array([[1.2, 1.1], [0.9, 0.9]]), 100, "by hand")
    assert margin.factor(50) == pytest.approx(1.2)
    assert margin.factor(12) == pytest.approx(1 + 0.2 * np.sqrt(50 / 12))
    assert margin.factor(1) == margin.factor(0) == pytest.approx(1 + 0.2 * np.sqrt(50))
    assert margin.factor(2, 0.01) == pytest.approx(0.9)


def test_a_margin_without_known_costs_says_so():
    margin = calibrate_margin([(np.ones(5), np.ones(5))], seed=1)
    assert margin.k == 1
    assert margin.pairs == 0


def test_the_robust_level_is_chosen_when_it_pays_and_not_otherwise():
    """A model whose estimate is wild and wrong: lowering it by its spread pays. Trustworthy means: no gain."""
    labels = labels_of(n=900)
    rows = np.arange(len(labels))
    cost = np.ones((len(labels), 3))
    truth = np.tile(labels.quality.mean(axis=0), (len(labels), 1))
    noise = np.random.default_rng(0).normal(0, 0.6, len(labels))
    wild = truth.copy()
    wild[:, 0] = np.clip(0.5 + noise, 0, 1)
    std = np.tile([0.6, 0.01, 0.01], (len(labels), 1)).astype(np.float32)
    fold = rows % 3
    pays = choose_robustness("auto", 0.1, wild.astype(np.float32), std, cost, labels, rows, fold)
    assert pays.method != "none"
    assert "gains" in pays.reason
    calm = choose_robustness("auto", 0.1, truth.astype(np.float32), 0 * std + 0.01, cost, labels, rows, fold)
    assert calm.method == "none"
    assert "no gain" in calm.reason
    assert len(calm.trials) == len(pays.trials) > 1
    # The wild model can take nobody tonight: how its estimate is lowered decides nothing.
    closed = Limits(900.0, np.array([0, UNLIMITED, UNLIMITED]), 900)
    shut = choose_robustness("auto", 0.1, wild.astype(np.float32), std, cost, labels, rows, fold, closed)
    assert shut.method == "none"
    assert "no gain" in shut.reason
    assert "1 USD a query and the night's capacities" in shut.reason


def test_a_shift_is_not_tried_on_the_nights_it_was_learned_from():
    """Model 0 fails on one night and keeps its promise on the other: known beforehand that pays, in truth it loses."""
    n, labels = 400, labels_of(n=400)
    rows, fold = np.arange(n), np.arange(n) % 2
    quality = np.where(fold[:, None] == 0, [[0.0, 0.5, 0.0]], [[0.9, 0.5, 0.0]]).astype(np.float32)
    mean = np.tile(np.array([[0.9, 0.5, 0.0]], np.float32), (n, 1))
    asked = mean, np.full_like(mean, 0.01), np.ones((n, 3)), replace(labels, quality=quality), rows, fold
    found = choose_robustness("auto", 0.1, *asked, Limits(10.0 * n, np.full(3, UNLIMITED), n))
    conformal = next(trial for trial in found.trials if trial.method == "conformal")
    assert conformal.gain == pytest.approx(-0.2)
    assert found.method == "none"


def test_limits_are_scaled_to_the_night_held_out():
    limits = Limits(10.0, np.array([50, UNLIMITED, 0]), 100)
    assert limits.per_query == pytest.approx(0.1)
    assert limits.capacity_of(25).tolist() == [13, UNLIMITED, 0]
