"""One split of the prediction benchmark: fit on a part, plan and score batches of the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from routing_core.predict.cost import cost_usd, learn_tokens
from routing_core.predict.crossfit import CrossFit, cross_fit
from routing_core.predict.drift import calibration_error
from routing_core.predict.ensemble import fit_ensemble
from routing_core.predict.features import learn_features
from routing_core.predict.fitting import finish, fit_labels, hold_out, learn_margin, mixed_seed
from routing_core.predict.labels import Labels
from routing_core.predict.margin import CostMargin
from routing_core.predict.offpolicy import plan_value
from routing_core.predict.planning import plan
from routing_core.predict.predictor import Predictor
from routing_core.predict.recipe import DEFAULT, PAPER, Recipe
from routing_core.predict.uncertainty import CONFORMAL, QUANTILE, robustness

BUDGETS = (1.5e-4, 3e-4, 6e-4, 1.2e-3, 2.5e-3)
"""USD per query; results are means over them."""
BATCH = 100
"""Queries planned together."""
KNN_5 = Recipe("knn5", quality=("knn",), neighbours=5, bagged=False, shrink=False)
KNN_40 = Recipe("knn40", quality=("knn",), neighbours=40, bagged=False, shrink=False)
HALF = 0.5
"""Share of the log in the bootstrap samples by which kNN is bagged, where it is not the paper's q10."""
MEANS = Recipe("means", quality=("means",), shrink=False)
POINTS = (
    MEANS,
    KNN_5,
    KNN_40,
    Recipe("knn100", quality=("knn",), bagged=False, shrink=False),
    Recipe("ridge", quality=("ridge",), shrink=False),
    Recipe("task_ridge", quality=("task_ridge",), shrink=False),
    Recipe("low_rank", quality=("low_rank",), shrink=False),
    Recipe("forest", quality=("forest",), shrink=False),
    replace(DEFAULT, name="ensemble", candidates=(), shrink=False),
    replace(DEFAULT, name="all four", quality=DEFAULT.quality + DEFAULT.candidates, candidates=(), shrink=False),
)
"""Every predictor of the long table."""
LOGGING_SKEW = 2.0
"""Log odds between the log's favourite and its least favourite model, where logging is skewed."""

Matrix = NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Queries learnt from and queries scored.

    Attributes
    ----------
    train, test : Labels
    prices : ndarray of float64, shape (n_models, 2), USD per token
    seed : int
    """

    train: Labels
    test: Labels
    prices: NDArray[np.float64]
    seed: int

    @property
    def realised(self) -> NDArray[np.float64]:
        """What each test answer cost, USD, NaN where unknown."""
        return cost_usd(self.test.input_tokens, self.test.output_tokens, self.prices)

    def batches(self, *, by_task: bool = False) -> list[NDArray[np.int64]]:
        """Whole batches of test queries, in a random order or sorted by task."""
        order = np.random.default_rng(self.seed).permutation(len(self.test))
        if by_task:
            order = order[np.argsort(self.test.task[order].astype(str), kind="stable")]
        return [order[start : start + BATCH] for start in range(0, len(order) - BATCH + 1, BATCH)]


@dataclass(frozen=True, slots=True)
class Score:
    """Means over batches and budgets.

    Attributes
    ----------
    quality : float
        Realised quality of what was chosen.
    over_budget : float
        Share of batches whose realised cost is above the budget; NaN if some of it is not in the log.
    optimism : float
        Predicted less realised quality of what was chosen.
    """

    quality: float
    over_budget: float
    optimism: float


def score(
    split: Split,
    planned: Matrix,
    cost: Matrix,
    margin: float,
    mean: Matrix | None = None,
    *,
    by_task: bool = False,
) -> Score:
    """Plan every batch under every budget, and score by what was realised.

    Parameters
    ----------
    split : Split
    planned : ndarray of float, shape (n_test, n_models)
        Quality planned with.
    cost : ndarray of float, shape (n_test, n_models), USD
    margin : float
        The budget is divided by it.
    mean : ndarray of float, shape (n_test, n_models), optional
        Expected quality, by default what was planned with.
    by_task : bool
        Whether batches are sorted by task.
    """
    expected = planned if mean is None else mean
    realised = split.realised
    figures = []
    for budget in BUDGETS:
        for rows in split.batches(by_task=by_task):
            total = budget * len(rows)
            choice = plan(planned[rows], cost[rows], total / margin)
            served = choice >= 0
            at = (rows[served], choice[served])
            quality = plan_value(choice, split.test, rows, expected.astype(np.float32)).value
            predicted = expected[at].sum() / len(rows)
            spent = realised[at].sum()
            over = float(spent > total) if np.isfinite(spent) else np.nan
            figures.append((quality, over, predicted - quality))
    return Score(*(float(value) for value in np.mean(figures, axis=0)))


def headline(split: Split) -> dict[str, float]:
    """The figures of the bars on one split: the default against what it must beat."""
    with threadpool_limits(limits=1):
        seed = mixed_seed(DEFAULT, split.seed)
        held = hold_out(split.train, DEFAULT, seed)
        predictor = finish(held, split.train, split.prices, DEFAULT, seed)
        whole = whole_prompts(split)
    _, mean, lower, cost = estimates(split, predictor)
    k95, k99 = (predictor.cost_margin.factor(BATCH, p) for p in (0.05, 0.01))
    default = score(split, lower, cost, k95, mean)
    figures = {
        "default_quality": default.quality,
        "selected_optimism": default.optimism,
        "ece": calibration_error(mean, split.test.quality),
        "over_budget_share_95": default.over_budget,
        "over_budget_share_99": score(split, lower, cost, k99).over_budget,
        "candidates_joined": float(sum(candidacy.joins for candidacy in predictor.candidacies)),
    }
    figures |= _sorted_by_task(split, held.said, lower, cost)
    figures["model_means_quality"] = score(split, _point(MEANS, split, whole), cost, k95).quality
    figures |= _knn5(split, whole, cost, k95)
    train_X, X = whole
    paper = fit_ensemble(replace(KNN_40, bagged=True), train_X, *_labels(split.train), split.seed)
    q10 = robustness(QUANTILE, 0.1, mean, mean).lower(*paper.estimate(X))
    flat = np.broadcast_to(_mean_costs(split), cost.shape)
    # The paper plans with model means and no margin: what that overspends is its own advantage here.
    bare = score(split, q10, flat, 1.0)
    return figures | {
        "knn40_q10_quality": bare.quality,
        "knn40_q10_over_budget_share": bare.over_budget,
        "knn40_q10_with_margin_quality": score(split, q10, cost, k95).quality,
    }


def whole_prompts(split: Split) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features of whole prompts, training and test: what the paper's own predictors see."""
    features, X = learn_features(split.train, PAPER.encoder, PAPER.dimensions, split.seed, questions=PAPER.questions)
    return X, features.of_labels(split.test)


def estimates(
    split: Split, predictor: Predictor
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Features, mean quality, lower quality and cost of the test queries."""
    X = predictor.features.of_labels(split.test)
    mean, std = predictor.quality(X)
    tokens = predictor.lengths.tokens(predictor.features.for_cost(X))
    return X, mean, predictor.robust.chosen.lower(mean, std), cost_usd(split.test.input_tokens, tokens, split.prices)


def _labels(labels: Labels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return labels.quality, labels.weight


def _point(
    recipe: Recipe, split: Split, features: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> NDArray[np.float32]:
    train_X, X = features
    return fit_ensemble(recipe, train_X, *_labels(split.train), split.seed).estimate(X)[0]


def _mean_costs(split: Split) -> NDArray[np.float64]:
    """Mean cost of each model on the training queries, USD; for a model without answers there, that of the others."""
    spent = cost_usd(split.train.input_tokens, split.train.output_tokens, split.prices)
    known = ~np.isnan(spent)
    means = np.where(known, spent, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    answered = known.any(axis=0)
    return np.asarray(np.where(answered, means, means[answered].mean()), np.float64)


def _sorted_by_task(split: Split, said: CrossFit, lower: Matrix, cost: Matrix) -> dict[str, float]:
    """The margin calibrated on held-out queries in the order of production, here by task, then put to the test."""
    held = split.train.take(said.rows)
    mean, _ = said.calibrated(split.train, shrink=True)
    planned = cost_usd(held.input_tokens, said.tokens, split.prices)
    realised = cost_usd(held.input_tokens, held.output_tokens, split.prices)
    order = np.argsort(held.task.astype(str), kind="stable")
    margin: CostMargin = learn_margin(mean, planned, realised, said.fold, order, split.seed)
    return {
        f"over_budget_share_{name}_by_task": score(
            split, lower, cost, margin.factor(BATCH, probability), by_task=True
        ).over_budget
        for name, probability in (("95", 0.05), ("99", 0.01))
    }


def _knn5(
    split: Split, features: tuple[NDArray[np.float32], NDArray[np.float32]], cost: Matrix, margin: float
) -> dict[str, float]:
    """kNN-5 as a point, at its bootstrap's q10 and mean, at the mean over half-size samples, and that one shrunk."""
    train_X, X = features
    whole, half = (replace(KNN_5, bagged=True, resample=share) for share in (1.0, HALF))
    whole_mean, whole_std = fit_ensemble(whole, train_X, *_labels(split.train), split.seed).estimate(X)
    mean, std = fit_ensemble(half, train_X, *_labels(split.train), split.seed).estimate(X)
    calibration = _cross(half, split, train_X).calibration(split.train, shrink=True)
    planned = {
        "knn5_point_quality": _point(KNN_5, split, features),
        "knn5_q10_quality": robustness(QUANTILE, 0.1, whole_mean, whole_mean).lower(whole_mean, whole_std),
        "knn5_bagged_quality": whole_mean,
        "knn5_bagged_by_halves_quality": mean,
        "knn5_shrunk_quality": calibration.apply(mean, std)[0],
    }
    return {name: score(split, quality, cost, margin).quality for name, quality in planned.items()}


def _cross(recipe: Recipe, split: Split, train_X: NDArray[np.float32]) -> CrossFit:
    with threadpool_limits(limits=1):
        return cross_fit(recipe, train_X, train_X[:, :1], split.train, split.seed)


def partial(split: Split) -> dict[str, float]:
    """The default and the model means, both learnt from one logged model per query."""
    figures = {}
    for name, skew in (("uniform", 0.0), ("skewed", LOGGING_SKEW)):
        logged = replace(split, train=log_one(split.train, skew, split.seed))
        predictor = fit_labels(logged.train, split.prices, DEFAULT, seed=split.seed)
        X, mean, lower, cost = estimates(logged, predictor)
        k = predictor.cost_margin.factor(BATCH)
        means = _point(MEANS, logged, (np.zeros((len(logged.train), X.shape[1]), np.float32), X))
        figures[f"partial_{name}_quality"] = score(logged, lower, cost, k, mean).quality
        figures[f"partial_{name}_means_quality"] = score(logged, means, cost, k).quality
    return figures


def log_one(labels: Labels, skew: float, seed: int) -> Labels:
    """Keep one answer per query, drawn with known propensities that favour the first models by ``skew`` log odds."""
    n_queries, n_models = labels.quality.shape
    odds = np.exp(np.linspace(skew, 0, n_models))
    share = odds / odds.sum()
    drawn = np.random.default_rng(seed).choice(n_models, n_queries, p=share)
    kept = np.zeros((n_queries, n_models), bool)
    kept[np.arange(n_queries), drawn] = True
    importance = np.where(kept, np.minimum(1 / share, DEFAULT.max_importance), 0)
    logged = replace(
        labels,
        quality=np.where(kept, labels.quality, np.nan).astype(np.float32),
        output_tokens=np.where(kept, labels.output_tokens, np.nan).astype(np.float32),
        propensity=np.where(kept, share, np.nan).astype(np.float32),
        weight=importance.astype(np.float32),
    )
    return logged.take(np.arange(n_queries))


def every_method(split: Split, refits: int = 0) -> Iterator[tuple[str, str, float]]:
    """Realised quality of every predictor under every robust method: (predictor, method, quality).

    ``refits`` bootstrap refits of XGBoost, none by default.
    """
    with threadpool_limits(limits=1):
        held = hold_out(split.train, DEFAULT, split.seed)
        lengths = learn_tokens(held.cost_features, split.train.output_tokens, split.train.weight)
    X = held.features.of_labels(split.test)
    cost = cost_usd(split.test.input_tokens, lengths.tokens(held.features.for_cost(X)), split.prices)
    margin = _margin_of(split, held.said)
    for recipe in POINTS:
        for method, quality in _robust_versions(recipe, split, held.X, X).items():
            yield recipe.name, method, score(split, quality, cost, margin).quality
    if find_spec("xgboost") is None:
        return
    for method, quality in boosted_versions(split, held.X, X, refits):
        yield "xgboost", method, score(split, quality, cost, margin).quality


def _margin_of(split: Split, said: CrossFit) -> float:
    held = split.train.take(said.rows)
    mean, _ = said.calibrated(split.train, shrink=True)
    planned = cost_usd(held.input_tokens, said.tokens, split.prices)
    realised = cost_usd(held.input_tokens, held.output_tokens, split.prices)
    margin = learn_margin(mean, planned, realised, said.fold, np.arange(len(mean)), split.seed)
    return margin.factor(BATCH)


def _robust_versions(
    recipe: Recipe, split: Split, train_X: NDArray[np.float32], X: NDArray[np.float32]
) -> Mapping[str, Matrix]:
    """What a predictor would be planned with under each robust method."""
    bagged = replace(recipe, bagged=True)
    point = fit_ensemble(recipe, train_X, *_labels(split.train), split.seed).estimate(X)[0]
    mean, std = fit_ensemble(bagged, train_X, *_labels(split.train), split.seed).estimate(X)
    held = _cross(bagged, split, train_X)
    quality = split.train.quality[held.rows]
    shrunk, shrunk_std = held.calibration(split.train, shrink=True).apply(mean, std)
    versions: dict[str, Matrix] = {"point": point, "shrunk": shrunk}
    if "knn" in recipe.quality:
        half = fit_ensemble(replace(bagged, resample=HALF), train_X, *_labels(split.train), split.seed)
        versions |= {"bagged": mean, "bagged by halves": half.estimate(X)[0]}
    if not np.isnan(std).all():
        for level in (0.25, 0.1):
            versions[f"q{level:.2f}"] = robustness(QUANTILE, level, held.mean, quality).lower(mean, std)
        versions["kappa 0.5"] = robustness("kappa", 0.5, held.mean, quality).lower(mean, std)
        versions["shrunk q0.10"] = robustness(QUANTILE, 0.1, held.mean, quality).lower(shrunk, shrunk_std)
    for miss in (0.5, 0.25):
        versions[f"conformal {miss:.2f}"] = robustness(CONFORMAL, miss, held.mean, quality).lower(mean, std)
    return versions


def boosted_versions(
    split: Split, train_X: NDArray[np.float32], X: NDArray[np.float32], samples: int
) -> Iterator[tuple[str, Matrix]]:
    """XGBoost as the paper uses it: the point, and mean and q10 over ``samples`` bootstrap refits; 0 for the point."""
    yield "point", boosting(split, train_X, X)
    if samples:
        rng = np.random.default_rng(split.seed)
        draws = [rng.integers(0, len(train_X), len(train_X)) for _ in range(samples)]
        refits = np.stack([boosting(split, train_X, X, rows) for rows in draws])
        yield "bagged", refits.mean(axis=0)
        yield "q0.10", np.quantile(refits, 0.1, axis=0).astype(np.float32)


def boosting(
    split: Split, train_X: NDArray[np.float32], X: NDArray[np.float32], rows: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """Gradient-boosted trees per model by XGBoost, learnt from the training queries at ``rows``."""
    from xgboost import XGBRegressor

    rows = np.arange(len(train_X)) if rows is None else rows
    quality, weight = split.train.quality[rows], split.train.weight[rows]
    said = np.empty((len(X), quality.shape[1]), np.float32)
    for j in range(said.shape[1]):
        seen = weight[:, j] > 0
        trees = XGBRegressor(
            n_estimators=100, max_depth=6, learning_rate=0.1, tree_method="hist", n_jobs=1, random_state=split.seed
        )
        trees.fit(train_X[rows][seen], quality[seen, j], sample_weight=weight[seen, j])
        said[:, j] = trees.predict(X)
    return np.clip(said, 0, 1)
