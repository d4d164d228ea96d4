"""A fitted predictor: the same to the bit, honest where it knows nothing, independent of how it is asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_world import MODELS, PRICES, make_outcomes, make_queries

from routing_core.errors import ContractError, ProblemError, SettingsError
from routing_core.predict import DEFAULT, PAPER, Predictor, Recipe, fit
from routing_core.predict.cost import implied_prices
from routing_core.predict.strangers import StrangerShare, stranger_share
from routing_core.records.outcomes import Outcomes
from routing_core.records.queries import Queries

QUICK = replace(DEFAULT, name="quick", trees=12, folds=3)


@pytest.fixture(scope="module")
def predictor(outcomes: Outcomes) -> Predictor:
    return fit(outcomes, MODELS, QUICK, seed=3)


def test_the_same_data_and_seed_give_the_same_hash_in_any_order_of_the_log(outcomes: Outcomes, predictor: Predictor):
    shuffled = outcomes.take(np.random.default_rng(0).permutation(len(outcomes)))
    assert fit(shuffled, MODELS, QUICK, seed=3).content_hash() == predictor.content_hash()
    assert fit(outcomes, MODELS, QUICK, seed=4).content_hash() != predictor.content_hash()


def test_estimates_do_not_depend_on_chunks(predictor: Predictor):
    queries, _, _ = make_queries(700, seed=9)
    whole = predictor.estimate(queries, PRICES)
    one_by_one = _slice(queries, 411, 419)
    part = predictor.estimate(one_by_one, PRICES)
    for field in ("mean_quality", "lower_quality", "cost_usd"):
        np.testing.assert_array_equal(getattr(part, field), getattr(whole, field)[411:419])


def test_estimates_have_shape_range_and_order(predictor: Predictor):
    queries, _, _ = make_queries(50, seed=9)
    said = predictor.estimate(queries, PRICES)
    assert said.models == MODELS
    assert said.mean_quality.shape == (50, 3)
    assert (said.lower_quality <= said.mean_quality).all()
    assert (said.lower_quality >= 0).all()
    assert (said.mean_quality <= 1).all()
    assert (said.cost_usd > 0).all()


@pytest.mark.parametrize("quality", [("task_ridge", "low_rank"), ("ridge", "knn", "forest", "means")])
def test_the_mean_is_the_same_with_and_without_its_spread(outcomes: Outcomes, quality: tuple[str, ...]):
    """Where the mean is planned with, its spread is not worked out: no bit of an estimate depends on that."""
    fitted = fit(outcomes, MODELS, replace(QUICK, quality=quality, candidates=()), seed=3)
    X = np.random.default_rng(0).integers(-512, 512, (300, fitted.features.width)).astype(np.float32) / 1024
    mean, std = fitted.quality(X)
    alone, nothing = fitted.quality(X, spread=False)
    np.testing.assert_array_equal(alone, mean)
    assert np.isnan(nothing).all()
    assert not np.isnan(std).any()


def test_it_knows_tasks_and_difficulty_apart(predictor: Predictor):
    """Estimates are much closer to the true chances than the models' means are."""
    queries, chance, _ = make_queries(500, seed=10)
    said = predictor.estimate(queries, PRICES).mean_quality
    assert ((said - chance) ** 2).mean() < 0.25 * ((chance.mean(axis=0) - chance) ** 2).mean()


def test_costs_follow_length_and_prices(predictor: Predictor):
    """Predicted cost is near the expected cost of the answers, and doubles with the prices."""
    queries, _, tokens = make_queries(500, seed=11)
    said = predictor.estimate(queries, PRICES).cost_usd
    truth = queries.input_tokens[:, None] * PRICES[:, 0] + tokens * PRICES[:, 1]
    assert said.sum(axis=0) == pytest.approx(truth.sum(axis=0), rel=0.1)
    assert predictor.estimate(queries, 2 * PRICES).cost_usd == pytest.approx(2 * said, rel=1e-5)


def test_a_model_without_outcomes_gets_a_cautious_prior(outcomes: Outcomes):
    """A newcomer is expected to be like the others, and planned with as if worse."""
    predictor = fit(outcomes, (*MODELS, "newcomer"), QUICK, seed=3)
    queries, _, _ = make_queries(40, seed=12)
    said = predictor.estimate(queries, np.vstack([PRICES, PRICES[:1]]))
    others = said.mean_quality[:, :3].mean(axis=1)
    np.testing.assert_allclose(said.mean_quality[:, 3], others, atol=1e-3)
    assert (said.lower_quality[:, 3] < said.mean_quality[:, 3] - 0.05).all()
    assert predictor.effective[3] == 0


def test_no_outcomes_at_all_is_a_prior_and_no_crash(outcomes: Outcomes):
    predictor = fit(outcomes.take(np.arange(0)), MODELS, QUICK, seed=3)
    queries, _, _ = make_queries(5, seed=12)
    said = predictor.estimate(queries, PRICES)
    assert (said.mean_quality == 0.5).all()
    assert (said.lower_quality < 0.5).all()
    assert predictor.n_outcomes == 0


@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_handful_of_outcomes_is_enough_to_fit(n: int):
    predictor = fit(make_outcomes(n, seed=4), MODELS, QUICK, seed=3)
    queries, _, _ = make_queries(5, seed=12)
    assert np.isfinite(predictor.estimate(queries, PRICES).mean_quality).all()


def test_outcomes_of_unknown_models_are_counted_and_ignored(outcomes: Outcomes):
    predictor = fit(outcomes, MODELS[:2], QUICK, seed=3)
    assert (predictor.n_outcomes, predictor.ignored) == (1200, 600)


def test_it_learns_from_logs_that_show_one_model_per_query(partial_outcomes: Outcomes):
    """Partial logs still tell more than the models' means."""
    predictor = fit(partial_outcomes, MODELS, QUICK, seed=3)
    queries, chance, _ = make_queries(500, seed=10)
    said = predictor.estimate(queries, PRICES).mean_quality
    assert ((said - chance) ** 2).mean() < 0.5 * ((chance.mean(axis=0) - chance) ** 2).mean()


def test_an_embedding_column_replaces_the_text(outcomes: Outcomes):
    """With embeddings in the log the text is not encoded, and queries without them are refused by name."""
    vectors = np.random.default_rng(0).normal(size=(len(outcomes), 16)).astype(np.float32)
    predictor = fit(outcomes, MODELS, QUICK, seed=3, embedding=vectors)
    assert predictor.features.encoder is None
    queries, _, _ = make_queries(5, seed=12, embedding=vectors[:5])
    assert len(predictor.estimate(queries, PRICES)) == 5
    bare, _, _ = make_queries(5, seed=12)
    with pytest.raises(ContractError, match="16 dimensions; the queries have none"):
        predictor.estimate(bare, PRICES)


def test_prices_of_other_models_are_refused(predictor: Predictor):
    queries, _, _ = make_queries(5, seed=12)
    with pytest.raises(ProblemError, match=r"shape \(3, 2\)"):
        predictor.estimate(queries, PRICES[:2])


def strangers(predictor: Predictor, queries: Queries) -> StrangerShare:
    found = predictor.estimate(queries, PRICES).unfamiliar
    assert found is not None
    return stranger_share(found)


def test_strangers_are_seen_by_task_and_by_distance(predictor: Predictor):
    familiar, _, _ = make_queries(300, seed=13)
    assert strangers(predictor, familiar).share < 0.1
    elsewhere = replace(familiar, task=np.full(300, "law", object))
    assert strangers(predictor, elsewhere).by_task == 1
    gibberish = replace(familiar, prompt=["§ 12 Abs. 3 Satz 2 BGB Urteil vom Amtsgericht"] * 300)
    assert strangers(predictor, gibberish).by_distance > 0.9


def test_a_night_without_queries_has_no_strangers():
    assert stranger_share(np.zeros(0, np.int8)) == StrangerShare(0.0, 0.0, 0.0)


def test_careful_estimates_are_never_above_the_lower_ones_and_only_made_when_asked_for(predictor: Predictor):
    queries, _, _ = make_queries(100, seed=14)
    assert predictor.estimate(queries, PRICES).careful_quality is None
    for level in (None, 0.2, 0.01):
        said = predictor.estimate(queries, PRICES, level=level, careful=True)
        assert said.careful_quality is not None
        assert (said.careful_quality <= said.mean_quality).all()
        assert said.careful_quality.mean() <= said.lower_quality.mean()


def test_prices_are_recovered_from_the_log(outcomes: Outcomes):
    np.testing.assert_allclose(implied_prices(outcomes, MODELS), PRICES, rtol=1e-6)


def test_recipes_survive_plain_data_and_refuse_nonsense():
    for recipe in (DEFAULT, PAPER, QUICK):
        assert Recipe.from_dict(recipe.to_dict()) == recipe
    with pytest.raises(SettingsError, match="encoder must be one of"):
        Recipe("odd", encoder="bert")
    with pytest.raises(SettingsError, match="nobody knows: colour"):
        Recipe.from_dict(DEFAULT.to_dict() | {"colour": "red"})


def test_the_papers_recipe_plans_with_its_q10(outcomes: Outcomes):
    predictor = fit(outcomes, MODELS, PAPER, seed=3)
    assert (predictor.robust.method, predictor.robust.level) == ("quantile", 0.1)
    queries, _, _ = make_queries(50, seed=15)
    said = predictor.estimate(queries, PRICES)
    assert (said.lower_quality < said.mean_quality).any()


def _slice(queries, start: int, stop: int):
    fields = {}
    for name in queries.__slots__:
        value = getattr(queries, name)
        fields[name] = value if value is None else value[start:stop]
    return type(queries)(**fields)
