"""Members that must earn their place: they join where held-out answers show that they help, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_world import MODELS, PRICES, make_outcomes, make_queries

from routing_core.errors import SettingsError
from routing_core.predict import DEFAULT, Predictor, Recipe, fit
from routing_core.records.outcomes import Outcomes

QUICK = replace(DEFAULT, name="quick", trees=12, folds=3)


def crossed(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings in four corners, and chances that only the product of both coordinates gives away."""
    rng = np.random.default_rng(seed)
    corner = rng.choice([-1.0, 1.0], (n, 2))
    good = corner.prod(axis=1) > 0
    chance = np.stack([np.where(good, 0.9, 0.1), np.where(good, 0.1, 0.9), np.full(n, 0.5)], axis=1)
    return (corner + rng.normal(0, 0.1, (n, 2))).astype(np.float32), chance


def crossed_outcomes(n: int, seed: int) -> tuple[Outcomes, np.ndarray]:
    """Outcomes of three models on such queries, and the embedding of each."""
    outcomes = make_outcomes(n, seed)
    embedding, chance = crossed(n, seed)
    query, model = np.arange(len(outcomes)) // len(MODELS), np.arange(len(outcomes)) % len(MODELS)
    right = np.random.default_rng(seed).random(len(outcomes)) < chance[query, model]
    return replace(outcomes, quality=right.astype(np.float32)), embedding[query]


@pytest.fixture(scope="module")
def crossing() -> Predictor:
    outcomes, embedding = crossed_outcomes(600, seed=1)
    return fit(outcomes, MODELS, QUICK, seed=0, embedding=embedding)


def test_a_forest_joins_where_no_line_tells_good_from_bad(crossing: Predictor):
    assert crossing.members[:3] == ["task_ridge", "low_rank", "forest"]
    forest = crossing.candidacies[0]
    assert (forest.member, forest.joins) == ("forest", True)
    assert forest.gain > 3 * forest.standard_error > 0


def test_who_joined_is_heard(crossing: Predictor):
    """Estimates come nearer to the true chances than the same recipe without candidates brings them."""
    outcomes, embedding = crossed_outcomes(600, seed=1)
    alone = fit(outcomes, MODELS, replace(QUICK, candidates=()), seed=0, embedding=embedding)
    vectors, chance = crossed(300, seed=2)
    queries, _, _ = make_queries(300, seed=2, embedding=vectors)
    ours, theirs = (((one.estimate(queries, PRICES).mean_quality - chance) ** 2).mean() for one in (crossing, alone))
    assert ours < 0.75 * theirs


def test_nobody_joins_where_there_is_nothing_left_to_say():
    """Quality is the model's alone: no candidate lowers the error, and none is asked at night."""
    outcomes = make_outcomes(400, seed=4)
    right = np.random.default_rng(4).random(len(outcomes)) < np.tile([0.3, 0.6, 0.9], 400)
    found = fit(replace(outcomes, quality=right.astype(np.float32)), MODELS, QUICK, seed=0)
    assert found.members == list(QUICK.quality)
    assert [(one.member, one.joins) for one in found.candidacies] == [("forest", False), ("knn", False)]


def test_the_evidence_stays_with_the_predictor(crossing: Predictor):
    again = Predictor.from_state(crossing.state)
    assert again.candidacies == crossing.candidacies
    assert again.members == crossing.members


@pytest.mark.parametrize("candidates", [("oracle",), ("low_rank",), ("knn", "knn")])
def test_candidates_are_known_methods_that_are_not_in_anyway(candidates: tuple[str, ...]):
    with pytest.raises(SettingsError, match="candidates must be"):
        Recipe("wrong", candidates=candidates)


def test_a_recipe_of_before_candidates_is_what_it_was():
    """A champion that reigns since then is refitted as the ensemble it was promoted as."""
    old = {"name": "default", "quality": ["task_ridge", "knn", "low_rank", "forest"]}
    assert Recipe.from_dict(old).candidates == ()
    assert Recipe.from_dict(DEFAULT.to_dict()) == DEFAULT
