"""The replay: nights of a history in turn, each estimated from what was known before it and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from routing_core.backtest.history import DRAWN_DAYS, History
from routing_core.errors import ContractError
from routing_core.predict.cost import cost_usd
from routing_core.predict.crossfit import CrossFit
from routing_core.predict.fitting import finish, hold_out, mixed_seed
from routing_core.predict.labels import Labels
from routing_core.predict.predictor import Predictor
from routing_core.predict.recipe import DEFAULT, Recipe

BATCH = 100
"""Queries that run together."""
LEAST_KNOWN = 200
"""Queries that must be known before a night is replayed."""
MOST_QUERIES = 2000
"""Queries of a night that are replayed, at even steps."""
SAMPLE = 400
"""Known queries that a fleet is sized on, at even steps."""
Q10 = 0.1
"""The paper's quantile of the robust estimate."""


@dataclass(frozen=True, slots=True, eq=False)
class Night:
    """One night: what was estimated before it, with nothing of it or after it known.

    Attributes
    ----------
    name : str
        Its day, or its number where days were drawn.
    seed : int
        Of the draw it belongs to, and of the order its queries come in.
    rows : ndarray of int64, shape (n_queries,)
        Its queries in the history.
    mean, lower, robust : ndarray of float32, shape (n_queries, n_models), in [0, 1]
        Expected quality; the lower estimate that evidence chose to plan with; the paper's tenth percentile.
    cost : ndarray of float32, shape (n_queries, n_models), USD
        Predicted, times the margin learnt for batches.
    sample_quality, sample_cost : ndarray of float64, shape (n_sample, n_models)
        Out-of-fold estimates of known queries, to size a fleet on.
    method : str
        How ``lower`` was made.
    known : int
        Queries known before.
    """

    name: str
    seed: int
    rows: NDArray[np.int64]
    mean: NDArray[np.float32]
    lower: NDArray[np.float32]
    robust: NDArray[np.float32]
    cost: NDArray[np.float32]
    sample_quality: NDArray[np.float64]
    sample_cost: NDArray[np.float64]
    method: str
    known: int


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is known and what is asked on one night.

    Attributes
    ----------
    name : str
    seed : int
    known, asked : ndarray of int64
        Rows of the history.
    before : datetime64 or None
        Start of the night's day, where days are the log's own.
    """

    name: str
    seed: int
    known: NDArray[np.int64]
    asked: NDArray[np.int64]
    before: np.datetime64 | None


def plan_nights(history: History, seeds: Sequence[int], nights: int) -> list[Plan]:
    """Which nights to replay.

    A log's own days are replayed as they were, the last ``nights`` of them. Where there are none, each seed deals the
    queries anew: the first half is known from the start, the second half comes in as many nights.

    Raises
    ------
    ContractError
        If no night has enough queries known before it.
    """
    dated = history.dated and len(np.unique(history.labels.day)) > 1
    plans = _logged(history, seeds[0], nights) if dated else list(_drawn(len(history.labels), seeds, nights))
    plans = [plan for plan in plans if len(plan.known) >= LEAST_KNOWN and len(plan.asked)]
    if not plans:
        raise ContractError(
            f"the history of {len(history.labels)} queries has no night with {LEAST_KNOWN} queries known before it"
        )
    return plans


def _logged(history: History, seed: int, nights: int) -> list[Plan]:
    day = history.labels.day
    plans = []
    for night in np.unique(day)[-nights:]:
        start = np.datetime64(int(night), "D")
        asked = _even(np.flatnonzero(day == night), MOST_QUERIES)
        plans.append(Plan(str(start), seed, np.flatnonzero(day < night), asked, start.astype("datetime64[us]")))
    return plans


def _drawn(n: int, seeds: Sequence[int], nights: int) -> Iterator[Plan]:
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(n)
        edges = np.linspace(n // 2, n, nights + 1).astype(int)
        for k in range(nights):
            known, asked = np.sort(order[: edges[k]]), np.sort(order[edges[k] : edges[k + 1]])
            yield Plan(f"night {k + 1} of draw {seed}", seed, known, _even(asked, MOST_QUERIES), None)


def _even(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(np.int64)]


def replay(history: History, plans: Sequence[Plan], *, recipe: Recipe = DEFAULT, jobs: int = 1) -> list[Night]:
    """Estimate every night from what was known before it.

    Parameters
    ----------
    history : History
    plans : sequence of Plan
    recipe : Recipe
        Of the predictor, fitted anew for each night.
    jobs : int
        Processes.
    """
    work = [
        (_known(history, plan), history.labels.take(plan.asked), history.prices(plan.before), plan, recipe)
        for plan in plans
    ]
    if jobs == 1:
        return [_estimate(*one) for one in work]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_estimate, *zip(*work, strict=True)))


def _known(history: History, plan: Plan) -> Labels:
    """Labels of the queries known; where days are drawn, in days that say nothing of when they came."""
    known = history.labels.take(plan.known)
    if plan.before is not None:
        return known
    day = np.random.default_rng(plan.seed).permutation(len(known)) * DRAWN_DAYS // len(known)
    return replace(known, logged_at=(np.datetime64("2026-01-01", "D") + day).astype("datetime64[us]"))


def _estimate(known: Labels, asked: Labels, prices: NDArray[np.float64], plan: Plan, recipe: Recipe) -> Night:
    mixed = mixed_seed(recipe, plan.seed)
    with threadpool_limits(limits=1):
        held_out = hold_out(known, recipe, mixed)
        predictor = finish(held_out, known, prices, recipe, mixed)
    X = predictor.features.of_labels(asked)
    mean, std = predictor.quality(X)
    margin = predictor.cost_margin.factor(BATCH)
    tokens = predictor.lengths.tokens(predictor.features.for_cost(X))
    sample_quality, sample_cost = _sample(held_out.said, known, prices, recipe)
    chosen = predictor.robust.chosen
    return Night(
        name=plan.name,
        seed=plan.seed,
        rows=plan.asked,
        mean=mean,
        lower=_cautious(predictor, chosen.lower(mean, std)),
        robust=_cautious(predictor, predictor.robust_of(Q10).lower(mean, std)),
        cost=np.asarray(cost_usd(asked.input_tokens, tokens, prices) * margin, np.float32),
        sample_quality=sample_quality,
        sample_cost=sample_cost * margin,
        method=chosen.method,
        known=len(known),
    )


def _cautious(predictor: Predictor, lower: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.maximum(lower - predictor.calibration.caution, 0), np.float32)


def _sample(
    said: CrossFit, known: Labels, prices: NDArray[np.float64], recipe: Recipe
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Out-of-fold estimates of a sample of the known queries: quality, and cost in USD."""
    mean, _ = said.calibrated(known, shrink=recipe.shrink)
    at = _even(np.arange(len(said.rows)), SAMPLE)
    cost = cost_usd(known.input_tokens[said.rows[at]], said.tokens[at], prices)
    return np.asarray(mean[at], np.float64), cost
