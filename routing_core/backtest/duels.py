"""The duels: two ways of routing on one stage, under one budget, at matched spend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from routing_core.allocate.instances import AllocationParameters, AllocationProblem, allocate
from routing_core.allocate.policies import POLICIES
from routing_core.backtest.matching import Pair, Routing, cut, cut_the_dearer, sweep
from routing_core.backtest.replay import BATCH, Night
from routing_core.backtest.routings import (
    Choice,
    Quality,
    as_they_come,
    better_nights,
    night_by_night,
    objective,
    per_query,
)
from routing_core.backtest.stage import Caps, Order, Result, Stage
from routing_core.predict.planning import DEFERRAL
from routing_core.records.catalog import Catalog
from routing_core.route.baselines import Fallback
from routing_core.route.problem import UNLIMITED, Problem
from routing_core.route.verdict import WITHIN

NO_FALLBACK = "none"


@dataclass(frozen=True, slots=True)
class Duel:
    """Ours and theirs on one stage under one budget.

    Attributes
    ----------
    name : str
    order, fallback, caps : str
    budget : float, USD per query
    rows : ndarray of int64, shape (n_queries,)
        Queries of the history.
    pair : Pair
        At matched spend.
    best : Pair or None
        Per-query routing at the trade-off that serves it best, ours held to that spend.
    planned : tuple of float, or None
        Planned objective per query of (ours, theirs) at the whole budget.
    """

    name: str
    order: str
    fallback: str
    caps: str
    budget: float
    rows: NDArray[np.int64]
    pair: Pair
    best: Pair | None = None
    planned: tuple[float, float] | None = None


def routing_duels(stage: Stage, order: Order, caps: Caps, budget: float) -> list[Duel]:
    """Robust against point, batch against per-query with every fallback, planned against arrival."""
    capacity = stage.capacity(caps)
    named = partial(Duel, order=order.value, caps=caps.value, budget=budget, rows=stage.rows)
    batches = _planner(stage, stage.lower, budget, capacity)
    whole = batches(1.0)
    duels = [named("robust_vs_point", fallback=NO_FALLBACK, pair=_robust_against_point(stage, budget, capacity))]
    for fallback in Fallback:
        pair, best = _against_per_query(stage, batches, whole, budget, capacity, fallback)
        duels.append(named("batch_vs_per_query", fallback=fallback.value, pair=pair, best=best))
    pair, planned = planned_against_arrival(stage, budget, capacity, batches)
    return [*duels, named("planned_vs_arrival", fallback=NO_FALLBACK, pair=pair, planned=planned)]


def _planner(stage: Stage, quality: Quality, budget: float, capacity: NDArray[np.int64]) -> Routing:
    """Batches planned as they come, from the share of the budget they get."""
    return cache(lambda share: stage.answers.of(as_they_come(stage, quality, share * budget, capacity)))


def _robust_against_point(stage: Stage, budget: float, capacity: NDArray[np.int64]) -> Pair:
    robust, point = (_planner(stage, quality, budget, capacity) for quality in (stage.robust, stage.mean))
    return cut_the_dearer(robust, point)


def _against_per_query(
    stage: Stage, batches: Routing, whole: Result, budget: float, capacity: NDArray[np.int64], fallback: Fallback
) -> tuple[Pair, Pair]:
    problem = stage.problem(stage.lower, budget, capacity)
    found = sweep(lambda a: per_query(stage, problem, a, fallback), float(stage.cost.mean()), whole.usd)
    matched = found.matched
    if matched.usd > whole.usd * (1 + WITHIN):  # whatever it trades, its fallback alone spends more
        at = np.array([found.a])
        matched = cut(lambda share: per_query(stage, _with(problem, share), at, fallback)[0], matched, whole.usd)
    best = found.best if found.best.usd <= whole.usd * (1 + WITHIN) else matched
    return _held(batches, whole, matched), _held(batches, whole, best)


def _with(problem: Problem, share: float) -> Problem:
    return replace(problem, budget=problem.budget * share)


def _held(batches: Routing, whole: Result, theirs: Result) -> Pair:
    """Ours at their spend, if that is less than ours."""
    return Pair(cut(batches, whole, theirs.usd) if theirs.usd < whole.usd else whole, theirs)


def planned_against_arrival(
    stage: Stage, budget: float, capacity: NDArray[np.int64], batches: Routing | None = None
) -> tuple[Pair, tuple[float, float]]:
    """Nights planned as one against batches as they come; and the planned objective per query of both.

    The night's budget is that of its batches together, each capacity holds in as many batches, penalties are equal:
    what batches chose is a plan of the night, so that the night's planned objective is never the smaller one.
    """
    batches = batches or _planner(stage, stage.lower, budget, capacity)
    chosen: dict[float, Choice] = {}

    def nights(share: float) -> Result:
        arrival = as_they_come(stage, stage.lower, share * budget, capacity)
        night = night_by_night(stage, stage.lower, share * budget, capacity)
        chosen[share] = better_nights(stage, stage.lower, night, arrival)
        return stage.answers.of(chosen[share])

    pair = cut_the_dearer(nights, batches)
    arrival = as_they_come(stage, stage.lower, budget, capacity)
    planned = (objective(stage, stage.lower, choice).mean() for choice in (chosen[1.0], arrival))
    ours, theirs = (float(value) for value in planned)
    return pair, (ours, theirs)


def allocation_duels(
    stage: Stage, nights: Sequence[Night], catalog: Catalog, gpu_budget: dict[str, int], budget: float
) -> Iterator[Duel]:
    """The optimised fleet against each naive one, batches in random order, all with the same GPUs and money."""
    fleets = _fleets(nights, catalog, gpu_budget, budget)
    optimised = _planner(stage, stage.lower, budget, fleets["optimised"])
    for name in POLICIES:
        yield Duel(
            name=f"allocation_vs_{name}",
            order=Order.RANDOM.value,
            fallback=NO_FALLBACK,
            caps=Caps.FLEET.value,
            budget=budget,
            rows=stage.rows,
            pair=cut_the_dearer(optimised, _planner(stage, stage.lower, budget, fleets[name])),
        )


def _fleets(
    nights: Sequence[Night], catalog: Catalog, gpu_budget: dict[str, int], budget: float
) -> dict[str, NDArray[np.int64]]:
    """Capacity of every model on every night, by policy: shape (n_nights, n_models)."""
    by_name: dict[str, dict[str, NDArray[np.int64]]] = {}
    for night in nights:
        if night.name not in by_name:
            by_name[night.name] = _sized(_fleet_problem(night, catalog, gpu_budget, budget))
    return {policy: np.stack([by_name[night.name][policy] for night in nights]) for policy in ("optimised", *POLICIES)}


def _fleet_problem(night: Night, catalog: Catalog, gpu_budget: dict[str, int], budget: float) -> AllocationProblem:
    n = len(night.sample_quality)
    return AllocationProblem(
        quality=night.sample_quality,
        cost=night.sample_cost,
        weight=np.full((1, n), BATCH / n),
        scenario_weight=np.ones(1),
        penalty=np.full(n, DEFERRAL),
        budget_usd=np.array([BATCH * budget]),
        batches=1,
        catalog=catalog,
        gpu_budget=gpu_budget,
    )


def _sized(problem: AllocationProblem) -> dict[str, NDArray[np.int64]]:
    plan = allocate(problem, AllocationParameters(gap=1e-3, shadow_prices=False, alternatives=0))
    fleets = {"optimised": np.array([plan.instances.get(name, 0) for name in problem.catalog.names])}
    fleets |= {name: policy(problem) for name, policy in POLICIES.items()}
    return {name: _slots(problem, fleet) for name, fleet in fleets.items()}


def _slots(problem: AllocationProblem, fleet: NDArray[np.int64]) -> NDArray[np.int64]:
    limits = problem.capacity(fleet)
    return np.where(np.isfinite(limits), np.where(np.isfinite(limits), limits, 0), UNLIMITED).astype(np.int64)
