"""Why a plan is as it is: what bound, what relief would be cheapest, and why a query waits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_core.records.assignments import DEFERRED, Constraint
from routing_core.route.coupling import Coupling, Kind, Limit, couple, night_capacity
from routing_core.route.problem import Problem
from routing_core.route.rows import STRETCH, Rows
from routing_core.route.solution import Prices, Solution

CAUSES = (Constraint.BUDGET, Constraint.TEAM_BUDGET, Constraint.CAPACITY, Constraint.DEADLINE)
RELIEF = 0.01
"""Share by which a limit is thought raised when reliefs are compared."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A limit that held the plan back.

    Attributes
    ----------
    constraint : Constraint
    subject : str
        Whose limit: the night, a team, or a model.
    amount, used : float
        USD, or queries over the night.
    price : float
        Expected quality that one more unit would add.
    sentence : str
        The same in words.
    """

    constraint: Constraint
    subject: str
    amount: float
    used: float
    price: float
    sentence: str


def binding(
    problem: Problem, solution: Solution, models: Sequence[str] = (), teams: Sequence[str] = ()
) -> list[Binding]:
    """The limits with a price, dearest relief last: those that gain most by one per cent more come first.

    Parameters
    ----------
    problem : Problem
    solution : Solution
    models, teams : sequence of str
        Names to speak of them by; their positions where not given.
    """
    coupling = couple(problem, frozenset(solution.prices.deadline))
    paid = Rows(problem, coupling).paid(solution.model)
    used = coupling.usage(coupling.group_usage(solution.model, paid))
    prices = _as_array(coupling, solution.prices, problem)
    found = [
        _bound(problem, limit, float(use), float(price), models, teams)
        for limit, use, price in zip(coupling.limits, used, prices, strict=True)
        if price > 0
    ]
    return sorted(found, key=lambda one: -one.price * one.amount)


def cheapest_relief(bindings: Sequence[Binding]) -> str:
    """One sentence: which limit to raise first."""
    if not bindings:
        return "Nothing bound: more budget or capacity would add no expected quality."
    best = bindings[0]
    gain = best.price * best.amount * RELIEF
    return f"Raising {_what(best)} by {RELIEF:.0%} would add the most: about {gain:.3g} of expected quality in all."


def _what(one: Binding) -> str:
    if one.constraint is Constraint.BUDGET:
        return "the night's budget"
    if one.constraint is Constraint.TEAM_BUDGET:
        return f"the budget of {one.subject}"
    return f"the capacity of {one.subject}"


def _bound(
    problem: Problem, limit: Limit, used: float, price: float, models: Sequence[str], teams: Sequence[str]
) -> Binding:
    if limit.kind is Kind.CAPACITY:
        name = models[limit.index] if models else f"model {limit.index}"
        late = limit.batch < problem.batches
        until = f" by the end of batch {limit.batch}" if late else ""
        sentence = (
            f"{name} is full{until}: {used:.0f} of {limit.amount:.0f} queries; "
            f"room for one more would add {price:.3g} of expected quality."
        )
        return Binding(Constraint.DEADLINE if late else Constraint.CAPACITY, name, limit.amount, used, price, sentence)
    is_team = limit.kind is Kind.TEAM
    name = (teams[limit.index] if teams else f"team {limit.index}") if is_team else "the night"
    sentence = (
        f"the budget of {name} binds: {used:.4g} of {limit.amount:.4g} USD; "
        f"one USD more would add about {price:.3g} of expected quality."
    )
    return Binding(Constraint.TEAM_BUDGET if is_team else Constraint.BUDGET, name, limit.amount, used, price, sentence)


def _as_array(coupling: Coupling, prices: Prices, problem: Problem) -> NDArray[np.float64]:
    """Named prices in the order of the limits."""

    def price(limit: Limit) -> float:
        if limit.kind is Kind.BUDGET:
            return prices.budget
        if limit.kind is Kind.TEAM:
            return float(prices.team[limit.index])
        if limit.batch == problem.batches:
            return float(prices.capacity[limit.index])
        return prices.deadline.get((limit.index, limit.batch), 0.0)

    return np.array([price(limit) for limit in coupling.limits])


def _components(problem: Problem, prices: Prices, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """What each kind of limit, as in ``CAUSES``, takes off each pair: shape (4, n_rows, n_models)."""
    cost = problem.cost[rows].astype(np.float64)
    taken = np.zeros((4, *cost.shape))
    taken[0] = prices.budget * cost
    if problem.team is not None:
        taken[1] = np.append(prices.team, 0.0)[problem.team[rows]][:, None] * cost
    taken[2] = prices.capacity
    if problem.last_batch is not None:
        for (j, batch), price in prices.deadline.items():
            taken[3, :, j] += price * (problem.last_batch[rows] <= batch)
    return taken


def _possible(problem: Problem, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    return np.ones((len(rows), problem.n_models), np.bool_) if problem.eligible is None else problem.eligible[rows]


def deferral_causes(problem: Problem, solution: Solution) -> NDArray[np.object_]:
    """Why each deferred query waits.

    Of the models worth more than waiting, the one nearest to being worth its price is looked at; the kind of
    limit that takes most off it is the cause.

    Returns
    -------
    ndarray of Constraint objects, shape (n_queries,)
        None where the query is served.
    """
    causes = np.full(len(problem), None, dtype=np.object_)
    deferred = np.flatnonzero(solution.model == DEFERRED)
    left = _left(problem, solution)
    for start in range(0, len(deferred), STRETCH):
        rows = deferred[start : start + STRETCH]
        causes[rows] = _causes(problem, solution.prices, rows, left)
    return causes


def _causes(
    problem: Problem, prices: Prices, rows: NDArray[np.intp], left: tuple[float, NDArray[np.float64]]
) -> NDArray[np.object_]:
    gain = problem.quality[rows].astype(np.float64) + problem.penalty[rows, None]
    gain[~_possible(problem, rows) | (gain <= 0)] = -np.inf
    worthless = np.isneginf(gain).all(axis=1)
    late = np.zeros(len(rows), dtype=np.bool_) if problem.last_batch is None else problem.last_batch[rows] == 0
    taken = _components(problem, prices, rows)
    spot = np.arange(len(rows))
    nearest = np.argmax(gain - taken.sum(axis=0), axis=1)
    parts = taken[:, spot, nearest]
    cost = problem.cost[rows, nearest].astype(np.float64)
    cause = parts.argmax(axis=0)
    unpriced = parts.max(axis=0) <= 0
    cause[unpriced] = 2
    cause[_short(problem, rows, cost, left[1])] = 1
    over = cost > left[0]
    cause[over & unpriced] = 0
    cause[night_capacity(problem)[nearest] == 0] = 2
    cause[late] = 3
    named: NDArray[np.object_] = np.array(CAUSES, dtype=np.object_)[cause]
    named[worthless] = Constraint.VALUE
    return named


def _short(
    problem: Problem, rows: NDArray[np.intp], cost: NDArray[np.float64], left: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whose team could not pay for it even if everything else allowed."""
    if problem.team is None or problem.team_budget is None:
        return np.zeros(len(rows), dtype=np.bool_)
    short: NDArray[np.bool_] = cost > np.append(problem.team_budget, math.inf)[problem.team[rows]]
    return short


def _left(problem: Problem, solution: Solution) -> tuple[float, NDArray[np.float64]]:
    """What the night's budget and the teams' have left, USD."""
    paid = Rows(problem, couple(problem)).paid(solution.model)
    if problem.team is None or problem.team_budget is None:
        return problem.budget - float(paid.sum()), np.zeros(0)
    mine = problem.team >= 0
    spent = np.bincount(problem.team[mine], weights=paid[mine], minlength=len(problem.team_budget))
    return problem.budget - float(paid.sum()), problem.team_budget - spent


def worth_at_prices(problem: Problem, solution: Solution) -> Iterator[tuple[slice, NDArray[np.floating]]]:
    """What every option of every query is worth with the night's prices paid, in portions.

    Yields
    ------
    rows : slice
    worth : ndarray of float64, shape (n_models + 1, n_rows), quality units
        Deferral last; minus infinity where the model may not take the query.
    """
    coupling = couple(problem, frozenset(solution.prices.deadline))
    rows = Rows(problem, coupling)
    felt = coupling.felt(_as_array(coupling, solution.prices, problem))
    for start in range(0, len(problem), STRETCH):
        part = slice(start, min(start + STRETCH, len(problem)))
        yield part, rows.reduced(felt, part, np.float64)


def price_of_options(problem: Problem, solution: Solution, row: int) -> NDArray[np.float64]:
    """What the limits that each model would use are worth, for one query: shape (n_models,), quality units."""
    taken: NDArray[np.float64] = _components(problem, solution.prices, np.array([row])).sum(axis=0)[0]
    return taken


def runner_up(problem: Problem, solution: Solution) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """The next best option of every query under the prices.

    Returns
    -------
    model : ndarray of int16, shape (n_queries,)
        -1 stands for deferral.
    regret : ndarray of float32, shape (n_queries,), quality units
        What the decision is better by, prices paid; slightly negative where limits forced a near-tie the other way,
        and by what exploration costs where the model was drawn.
    """
    model, regret = np.empty(len(problem), np.int16), np.empty(len(problem), np.float32)
    for part, worth in worth_at_prices(problem, solution):
        spot = np.arange(worth.shape[1])
        own = worth[solution.model[part], spot]
        worth[solution.model[part], spot] = -np.inf
        best = worth.argmax(axis=0)
        model[part] = np.where(best == problem.n_models, DEFERRED, best)
        regret[part] = own - worth[best, spot]
    return model, regret
