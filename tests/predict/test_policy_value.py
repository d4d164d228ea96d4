"""Values of a policy by another one's logs: unbiased at the stated coverage, and refused where overlap is thin."""

from __future__ import annotations

import numpy as np
import pytest

from routing_core.predict.offpolicy import LEAST_EFFECTIVE, PolicyValue, policy_value

N, M, SHARE = 1500, 4, 0.3


def _world(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True qualities, a guess that is wrong by model and noisy, and what the challenger chooses."""
    rng = np.random.default_rng(seed)
    truth = np.clip(rng.uniform(0.2, 0.9, (N, 1)) + rng.normal(0, 0.15, (N, M)), 0.02, 0.98)
    guess = np.clip(truth + np.array([0.1, -0.1, 0.05, -0.15]) + rng.normal(0, 0.1, (N, M)), 0, 1)
    return truth, guess, guess.argmax(axis=1)


def _logged(truth: np.ndarray, greedy: np.ndarray, rng: np.random.Generator, explored: tuple[int, ...] = (0, 1, 2, 3)):
    """A share of the queries goes to one of ``explored`` evenly, the rest as planned; right or wrong by the truth."""
    chance = np.zeros((N, M))
    chance[:, explored] = SHARE / len(explored)
    chance[np.arange(N), greedy] += 1 - SHARE
    taken = (rng.random(N)[:, None] >= chance.cumsum(axis=1)).sum(axis=1)
    spot = np.arange(N)
    return taken, chance[spot, taken], (rng.random(N) < truth[spot, taken]).astype(float)


def _value(seed: int, explored: tuple[int, ...] = (0, 1, 2, 3), world: int = 0) -> tuple[PolicyValue, float]:
    truth, guess, challenger = _world(world)
    planned = truth[:, :2].argmax(axis=1)
    taken, propensity, reward = _logged(truth, planned, np.random.default_rng(seed), explored)
    spot = np.arange(N)
    found = policy_value(challenger == taken, propensity, reward, guess[spot, taken], guess[spot, challenger])
    return found, float(truth[spot, challenger].mean())


def test_doubly_robust_values_cover_the_truth_and_are_not_biased():
    """300 logs of one world: at least 90 % of the 95 % intervals cover; the mean misses by less than its own error."""
    draws = [_value(seed) for seed in range(300)]
    truth = draws[0][1]
    for name in ("dr", "ips", "snips"):
        values = [getattr(found, name) for found, _ in draws]
        covered = sum(value.lower <= truth <= value.upper for value in values)
        assert covered >= 270, (name, covered)
        means = np.array([value.value for value in values])
        assert abs(means.mean() - truth) < 4 * means.std() / np.sqrt(len(means)) + (name == "snips") * 2e-3, name
    errors = {name: np.std([getattr(found, name).value for found, _ in draws]) for name in ("dr", "ips")}
    assert errors["dr"] < errors["ips"]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_difference_to_the_log_covers_too(world: int):
    truth, _, challenger = _world(world)
    planned, spot = truth[:, :2].argmax(axis=1), np.arange(N)
    mean_log = (SHARE * truth.mean(axis=1) + (1 - SHARE) * truth[spot, planned]).mean()
    wanted = float(truth[spot, challenger].mean() - mean_log)
    gains = [_value(seed, world=world)[0].gain for seed in range(100)]
    assert sum(gain is not None and gain.lower <= wanted <= gain.upper for gain in gains) >= 90


def test_a_policy_that_chooses_what_the_log_never_does_is_refused():
    """The log explores two models only, and plans two: a challenger that loves the third is beyond it."""
    refused = [_value(seed, explored=(0, 1))[0] for seed in range(50)]
    assert all(found.refusal is not None and found.dr is None for found in refused)
    assert all("never does" in str(found.refusal) for found in refused)
    assert all(0.3 < found.support < 0.95 for found in refused)


def test_a_log_without_exploration_values_itself_and_refuses_another():
    truth, guess, challenger = _world(0)
    reward = truth[np.arange(N), challenger]
    at = np.arange(N)
    same = policy_value(np.ones(N, bool), np.ones(N), reward, guess[at, challenger], guess[at, challenger])
    assert same.dr is not None
    assert same.dr.value == pytest.approx(reward.mean()) == pytest.approx(same.logged.value)
    assert same.effective == N
    other = policy_value(at % 2 == 0, np.ones(N), reward, guess[at, challenger], guess[at, 0])
    assert other.refusal is not None


def test_too_few_answers_are_refused_and_none_at_all_too():
    few = policy_value(np.ones(20, bool), np.ones(20), np.ones(20), np.ones(20), np.ones(20))
    assert few.effective < LEAST_EFFECTIVE
    assert "20.0 effective" in str(few.refusal)
    nothing = np.zeros(0)
    assert policy_value(nothing, nothing, nothing, nothing, nothing).refusal


def test_propensities_that_are_not_those_of_the_log_are_noticed():
    at = np.arange(N)
    wrong = policy_value(np.ones(N, bool), np.full(N, 0.5), (at % 2).astype(float), np.full(N, 0.5), np.full(N, 0.5))
    assert "propensities" in str(wrong.refusal)
