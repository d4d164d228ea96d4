"""Fitting: outcomes to labels, labels to features, held-out nights to robust level and margin, all to a predictor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from routing_core.predict.cost import cost_usd, implied_prices, learn_tokens
from routing_core.predict.crossfit import CrossFit, cross_fit
from routing_core.predict.ensemble import fit_ensemble
from routing_core.predict.evidence import RobustChoice, choose_robustness
from routing_core.predict.features import FeatureMap, learn_features
from routing_core.predict.labels import Labels, tabulate
from routing_core.predict.margin import UNCALIBRATED, CostMargin, calibrate_margin
from routing_core.predict.planning import Limits, budgets, plan
from routing_core.predict.predictor import Predictor
from routing_core.predict.recipe import Recipe
from routing_core.predict.strangers import learn_neighbourhood
from routing_core.records.outcomes import Outcomes


def fit(
    outcomes: Outcomes,
    models: tuple[str, ...],
    recipe: Recipe,
    *,
    seed: int,
    embedding: NDArray[np.float32] | None = None,
    limits: Limits | None = None,
) -> Predictor:
    """Fit a predictor.

    Parameters
    ----------
    outcomes : Outcomes
        Complete or partial logs; outcomes of other models are ignored and counted.
    models : tuple of str
        The catalog's models, in order. One without outcomes gets a prior.
    recipe : Recipe
    seed : int
        Combined with the recipe's own.
    embedding : ndarray of float32, shape (n_outcomes, n_dimensions), optional
        Precomputed embeddings of the prompts, by default those of the outcomes; preferred over the recipe's encoder.
    limits : Limits, optional
        Budget and capacities of the night to come, under which the robust level is chosen.

    Returns
    -------
    Predictor
        The same, to the bit, for the same arguments.
    """
    labels = tabulate(
        outcomes,
        models,
        half_life_days=recipe.half_life_days,
        max_importance=recipe.max_importance,
        embedding=outcomes.embedding if embedding is None else embedding,
    )
    return fit_labels(labels, implied_prices(outcomes, models), recipe, seed=seed, limits=limits)


def fit_labels(
    labels: Labels, prices: NDArray[np.float64], recipe: Recipe, *, seed: int, limits: Limits | None = None
) -> Predictor:
    """Fit a predictor on labels already gathered.

    Parameters
    ----------
    labels : Labels
    prices : ndarray of float64, shape (n_models, 2), USD per token of (input, output)
        Those that held-out nights are planned at.
    recipe : Recipe
    seed : int
    limits : Limits, optional
    """
    mixed = mixed_seed(recipe, seed)
    # One thread for BLAS: more would add up in another order, and the hash is to the bit.
    with threadpool_limits(limits=1):
        return finish(hold_out(labels, recipe, mixed), labels, prices, recipe, mixed, limits)


def mixed_seed(recipe: Recipe, seed: int) -> int:
    """The recipe's seed and the caller's as one."""
    return int(np.random.SeedSequence([recipe.seed, seed]).generate_state(1)[0])


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Features of all queries, and what the recipe says of those it has not seen.

    Attributes
    ----------
    features : FeatureMap
    X, cost_features : ndarray of float32, shape (n_queries, n_features)
        For quality and for answer length.
    said : CrossFit
    """

    features: FeatureMap
    X: NDArray[np.float32]
    cost_features: NDArray[np.float32]
    said: CrossFit


def hold_out(labels: Labels, recipe: Recipe, seed: int) -> HeldOut:
    """Learn features and make out-of-fold predictions."""
    features, X = learn_features(labels, recipe.encoder, recipe.dimensions, seed, questions=recipe.questions)
    cost_features = features.for_cost(X)
    return HeldOut(features, X, cost_features, cross_fit(recipe, X, cost_features, labels, seed))


def finish(
    held: HeldOut,
    labels: Labels,
    prices: NDArray[np.float64],
    recipe: Recipe,
    seed: int,
    limits: Limits | None = None,
) -> Predictor:
    """Fit on everything; take robust level, calibration and margin from what was said of held-out nights."""
    robust, margin = _learn_from_held_out(held.said, labels, recipe, prices, seed, limits)
    return Predictor(
        recipe=recipe,
        models=labels.models,
        n_outcomes=int(labels.seen.sum()),
        ignored=labels.ignored,
        effective=labels.effective,
        features=held.features,
        ensemble=fit_ensemble(recipe, held.X, labels.quality, labels.weight, seed, held.said.members),
        calibration=held.said.calibration(labels, shrink=recipe.shrink),
        lengths=learn_tokens(held.cost_features, labels.output_tokens, labels.weight, flat=recipe.cost == "means"),
        robust=robust,
        cost_margin=margin,
        near=learn_neighbourhood(held.X, seed),
        candidacies=held.said.candidacies,
    )


def _learn_from_held_out(
    said: CrossFit,
    labels: Labels,
    recipe: Recipe,
    prices: NDArray[np.float64],
    seed: int,
    limits: Limits | None,
) -> tuple[RobustChoice, CostMargin]:
    """The robust level, then the cost margin of plans made with it."""
    mean, std = said.calibrated(labels, shrink=recipe.shrink)
    planned = cost_usd(labels.input_tokens[said.rows], said.tokens, prices)
    robust = choose_robustness(
        recipe.uncertainty, recipe.level, mean, std, planned, labels, said.rows, said.fold, limits
    )
    if not len(said.rows):
        return robust, UNCALIBRATED
    realised = cost_usd(labels.input_tokens[said.rows], labels.output_tokens[said.rows], prices)
    order = np.lexsort((said.rows, labels.logged_at[said.rows]))
    return robust, learn_margin(robust.chosen.lower(mean, std), planned, realised, said.fold, order, seed)


def learn_margin(
    lower: NDArray[np.float32],
    planned: NDArray[np.float64],
    realised: NDArray[np.float64],
    fold: NDArray[np.int64],
    order: NDArray[np.int64],
    seed: int,
) -> CostMargin:
    """Calibrate the margin on the pairs that plans of held-out nights chose.

    Parameters
    ----------
    lower : ndarray of float32, shape (n_held_out, n_models)
        Quality planned with.
    planned, realised : ndarray of float64, shape (n_held_out, n_models), USD
        ``realised`` is NaN where the answer is unknown.
    fold : ndarray of int64, shape (n_held_out,)
        The night each query is planned in.
    order : ndarray of int64, shape (n_held_out,)
        The queries in the order of production.
    seed : int
    """
    spends = []
    for budget in budgets(lower, planned):
        choice = np.full(len(lower), -1)
        for night in np.unique(fold):
            here = np.flatnonzero(fold == night)
            choice[here] = plan(lower[here], planned[here], budget * len(here))
        chosen = order[choice[order] >= 0]
        at = (chosen, choice[chosen])
        known = ~np.isnan(realised[at])
        spends.append((planned[at][known], realised[at][known]))
    margin = calibrate_margin(spends, seed)
    if margin.pairs:
        return margin
    known = ~np.isnan(realised[order])
    logged = (planned[order][known], realised[order][known])
    return calibrate_margin([logged], seed, "all logged answers: too few of the chosen ones are known")
