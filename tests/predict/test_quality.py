"""One contract for all quality predictors, and what each promises beyond it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from routing_core.errors import ProblemError
from routing_core.predict.quality import METHODS, NearestNeighbours, QualityModel, SharedForest, TaskRidge
from routing_core.predict.quality.knn import bagged_weights
from routing_core.predict.uncertainty import bootstrap

EVERY = [
    METHODS["means"](),
    METHODS["knn"](neighbours=15),
    METHODS["knn"](neighbours=15, bagged=False),
    METHODS["low_rank"](rank=2, iterations=60),
    METHODS["ridge"](),
    METHODS["task_ridge"](),
    METHODS["forest"](trees=8),
]


def world(n: int = 300, m: int = 3, seed: int = 0, seen: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels with gaps, and the truth: quality rises with the first feature, less so for later models."""
    rng = np.random.default_rng(seed)
    X = (np.rint(rng.normal(0, 0.4, (n, 6)) * 1024) / 1024).astype(np.float32)
    truth = 1 / (1 + np.exp(-(np.linspace(-0.5, 0.8, m) + X[:, :1] * np.linspace(6, 2, m))))
    y = (rng.random((n, m)) < truth).astype(np.float32)
    y[rng.random((n, m)) > seen] = np.nan
    return X, y, truth


@pytest.mark.parametrize("model", EVERY, ids=lambda model: f"{model.method}-{getattr(model, 'bagged', '')}")
class TestContract:
    def test_it_learns_and_stays_in_range(self, model: QualityModel):
        """Predictions are probabilities of the right shape, on complete and on partial labels alike."""
        for seen in (1.0, 0.4):
            X, y, _ = world(seen=seen)
            mean, std = clone(model).fit(X, y).predict_with_std(X[:50])
            assert mean.shape == std.shape == (50, 3)
            assert mean.dtype == np.float32
            assert ((mean >= 0) & (mean <= 1)).all()
            assert (np.isnan(std) | (std >= 0)).all()

    def test_it_beats_or_equals_the_means_on_new_queries(self, model: QualityModel):
        """A predictor that sees the features is closer to the truth than the means, if it is not the means."""
        X, y, truth = world(1200)
        fitted = clone(model).fit(X[:900], y[:900])
        means = METHODS["means"]().fit(X[:900], y[:900])
        errors = [float(((each.predict(X[900:]) - truth[900:]) ** 2).mean()) for each in (fitted, means)]
        assert errors[0] <= errors[1] * (1.0 if model.method == "means" else 0.8)

    def test_a_model_without_labels_gets_the_mean_of_the_others(self, model: QualityModel):
        X, y, _ = world()
        y[:, 1] = np.nan
        said = clone(model).fit(X, y).predict(X[:20])
        assert np.isfinite(said).all()

    def test_labels_of_weight_zero_do_not_count(self, model: QualityModel):
        """Weight 0 is the same as no label."""
        X, y, _ = world()
        weight = np.ones_like(y)
        weight[::3, 0] = 0
        gaps, wrong = y.copy(), y.copy()
        gaps[::3, 0] = np.nan
        wrong[::3, 0] = 1 - wrong[::3, 0]
        a = clone(model).fit(X, gaps, weight).predict(X[:40])
        b = clone(model).fit(X, wrong, weight).predict(X[:40])
        np.testing.assert_array_equal(a, b)

    def test_a_row_does_not_depend_on_its_company(self, model: QualityModel):
        """The same query in another chunk gets the same estimate."""
        X, y, _ = world(1100)
        fitted = clone(model).fit(X, y)
        whole, std = fitted.predict_with_std(X)
        part, part_std = fitted.predict_with_std(X[1037:1061])
        np.testing.assert_allclose(part, whole[1037:1061], rtol=0, atol=2e-7)
        np.testing.assert_allclose(part_std, std[1037:1061], rtol=0, atol=2e-6)

    def test_the_same_seed_gives_the_same_state_and_the_state_is_all(self, model: QualityModel):
        X, y, _ = world(seen=0.5)
        first, second = (clone(model).fit(X, y).state() for _ in range(2))
        assert first.content_hash() == second.content_hash()
        again = type(model).from_state(first)
        np.testing.assert_array_equal(again.predict(X), clone(model).fit(X, y).predict(X))

    def test_scikit_learn_can_copy_it(self, model: QualityModel):
        """Parameters survive get and set, and fit returns the predictor itself."""
        copy = clone(model)
        assert copy.get_params() == model.get_params()
        X, y, _ = world(60)
        assert copy.fit(X, y[:, 0]) is copy
        assert copy.predict(X).shape == (60,)

    @pytest.mark.parametrize(
        ("spoil", "told"),
        [
            (lambda X, y: (X[:-1], y), "same queries"),
            (lambda X, y: (np.where(X[0, 0] == X, np.nan, X), y), "finite"),
            (lambda X, y: (X, np.full_like(y, np.nan)), "at least one label"),
        ],
    )
    def test_bad_input_is_refused_with_the_rule(self, model: QualityModel, spoil, told: str):
        X, y, _ = world(60)
        with pytest.raises(ProblemError, match=told):
            clone(model).fit(*spoil(X, y))


def test_bagged_weights_of_one_neighbour_by_hand():
    """k = 1: rank r is nearest in a sample if the r − 1 nearer rows were not drawn and it was."""
    n = 6
    weight, _ = bagged_weights(1, n)
    by_hand = [((n - r + 1) / n) ** n - ((n - r) / n) ** n for r in range(1, n + 1)]
    np.testing.assert_allclose(weight, np.array(by_hand[: len(weight)]) / sum(by_hand[: len(weight)]), rtol=1e-9)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 200))
def test_bagged_weights_fall_with_rank_and_sum_to_one(neighbours: int, n_rows: int):
    weight, variance = bagged_weights(neighbours, n_rows)
    assert weight.sum() == pytest.approx(1)
    assert (np.diff(weight) <= 1e-12).all()
    assert (variance >= 0).all()


@pytest.mark.parametrize("resample", [1.0, 0.5])
def test_bagged_knn_equals_the_mean_over_simulated_bootstrap_samples(resample: float):
    """The closed form is what 3,000 refits come to, mean and spread, on samples of the whole log or half of it."""
    X, y, _ = world(200, seed=3)
    at, size = X[:15] + np.float32(2**-6), round(resample * len(X))
    drawn = bootstrap(
        lambda: NearestNeighbours(10, bagged=False), X, y, np.ones_like(y), at, samples=3000, seed=5, size=size
    )
    mean, std = NearestNeighbours(10, resample=resample).fit(X, y).predict_with_std(at)
    np.testing.assert_allclose(mean, drawn.mean(axis=0), atol=4 * 0.16 / np.sqrt(3000))
    ratio = std.mean() / drawn.std(axis=0).mean()
    assert 0.85 < ratio < 1.15


def test_plain_knn_is_the_mean_of_the_nearest():
    X = np.array([[0.0], [1.0], [2.0], [10.0]], np.float32)
    y = np.array([[1.0], [0.0], [1.0], [0.0]], np.float32)
    said = NearestNeighbours(3, bagged=False).fit(X, y).predict(np.array([[0.5]], np.float32))
    assert said[0, 0] == pytest.approx(2 / 3)


def test_laplace_spread_of_the_low_rank_model_matches_its_bootstrap():
    """What the closed form claims is what refits show, within a third."""
    X, y, _ = world(400, seed=7)

    def make() -> QualityModel:
        return METHODS["low_rank"](rank=1, penalty=5.0, iterations=80)

    drawn = bootstrap(make, X, y, np.ones_like(y), X[:40], samples=40, seed=1)
    std = make().fit(X, y).predict_with_std(X[:40])[1]
    assert 0.66 < std.mean() / drawn.std(axis=0).mean() < 1.5


def test_the_forest_claims_no_spread():
    """Per-tree quantiles are not the uncertainty of the estimate, so none is offered."""
    X, y, _ = world(100)
    assert np.isnan(SharedForest(trees=4).fit(X, y).predict_with_std(X)[1]).all()


def test_task_ridge_without_features_is_the_task_mean_leaning_on_the_tasks_difficulty():
    """By hand: three labels of 1 on a hard task, ten labels' worth of what the task is for all."""
    tasks = np.array([[0.7, 0]] * 5 + [[0, 0.7]] * 3, np.float32)
    y = np.array([[0], [0], [0], [0], [1], [1], [1], [1]], np.float32)
    model = TaskRidge().fit(tasks, y)
    mean = 4 / 8
    for task, labels in (([0.7, 0], y[:5]), ([0, 0.7], y[5:])):
        apart = float((labels - mean).sum())
        difficulty = apart / (len(labels) + 10)
        expected = mean + (apart + 10 * difficulty) / (len(labels) + 10)
        assert model.predict(np.array([task], np.float32))[0, 0] == pytest.approx(expected, abs=1e-6)
    assert model.predict(np.zeros((1, 2), np.float32))[0, 0] == pytest.approx(mean), "a task never seen"


def test_task_ridge_learns_how_hard_queries_are_from_models_that_each_saw_other_ones():
    """One label a query: what the first model's queries tell moves the second's estimates too."""
    rng = np.random.default_rng(4)
    X = rng.choice([-1.0, 0.0, 1.0], (600, 1)).astype(np.float32)
    y = np.full((600, 2), np.nan, np.float32)
    answered = rng.random(600) < 0.95
    y[answered, 0] = rng.random(answered.sum()) < 0.5 + 0.4 * X[answered, 0]
    y[~answered, 1] = rng.random((~answered).sum()) < 0.5 + 0.4 * X[~answered, 0]
    easy, hard = TaskRidge().fit(X, y).predict(np.array([[1], [-1]], np.float32))
    assert (easy - hard > 0.3).all()


REFUSED_OTHERWISE = {
    **dict.fromkeys(
        (
            "check_n_features_in_after_fitting",
            "check_all_zero_sample_weights_error",
            "check_sample_weights_shape",
            "check_complex_data",
            "check_estimators_empty_data_messages",
            "check_estimators_nan_inf",
            "check_regressors_train",
            "check_fit1d",
            "check_fit2d_predict1d",
            "check_requires_y_none",
        ),
        "bad input is a ProblemError with our words, not scikit-learn's ValueError with its own",
    ),
    **dict.fromkeys(
        ("check_estimator_sparse_tag", "check_estimator_sparse_array", "check_estimator_sparse_matrix"),
        "features are dense",
    ),
    **dict.fromkeys(
        ("check_supervised_y_2d", "check_supervised_y_no_nan"), "labels are queries × models, NaN where not seen"
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["means", "ridge", "task_ridge"])
def test_it_is_an_estimator_by_scikit_learns_own_checks_but_for_how_it_refuses(method: str):
    """All others of some sixty checks: cloning, pickling, idempotence, invariances, parameters, dtypes, read-only."""
    checks = check_estimator(METHODS[method](), expected_failed_checks=REFUSED_OTHERWISE, on_skip=None)
    assert sum(check["status"] == "passed" for check in checks) >= 35
