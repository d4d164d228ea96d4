"""What joint routing is measured against, on the same problem and under the same limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing_core.records.assignments import DEFERRED
from routing_core.route.batches import deal, uncrowd
from routing_core.route.counter import Counter, greatest_first
from routing_core.route.coupling import couple
from routing_core.route.problem import Problem
from routing_core.route.robust import robust_objective
from routing_core.route.rows import Rows

BISECTIONS = 24
"""Most attempts when a trade-off is calibrated to a spend."""
LEAST_STEP = 0.02
"""Least share of what a trade-off is known to lie between that one attempt takes off."""
NEAR = (-0.01, 0.01, -0.05, 0.05)
"""How far from a trade-off that is thought near the right one is looked for next, in log odds."""


class Fallback(StrEnum):
    """What becomes of a query whose first choice is full or not to be paid for."""

    CHEAPEST_FEASIBLE = "cheapest_feasible"
    """The cheapest model that still has room."""
    BEST_FEASIBLE = "best_feasible"
    """The model of best quality that still has room."""
    UNSERVED = "unserved"
    """It is deferred."""


@dataclass(frozen=True, slots=True, eq=False)
class Routed:
    """A baseline's decisions: feasible, with no claim on how good they are.

    Attributes
    ----------
    model : ndarray of int16, shape (n_queries,)
    batch : ndarray of int32, shape (n_queries,)
    objective : float, quality units
    spend : float, USD
    load : ndarray of int64, shape (n_models,)
    """

    model: NDArray[np.int16]
    batch: NDArray[np.int32]
    objective: float
    spend: float
    load: NDArray[np.int64]


def per_query(problem: Problem, a: float, fallback: Fallback) -> Routed:
    """Every query by itself takes the model of greatest ``a·quality − (1 − a)·cost``, in the order of rows.

    Parameters
    ----------
    problem : Problem
    a : float, in [0, 1]
        Quality against USD.
    fallback : Fallback
    """
    return _first_then(problem, _wish(problem, a), fallback)


def _wish(problem: Problem, a: float) -> NDArray[np.float32]:
    wish: NDArray[np.float32] = np.float32(a) * problem.quality - np.float32(1 - a) * problem.cost
    return wish


class TradeOff(NamedTuple):
    """Quality against USD, by query.

    Attributes
    ----------
    a : float, in [0, 1]
    next : float, in [0, 1]
        The trade-off of some of the queries.
    share : float, in [0, 1]
        How many those are, drawn evenly.
    """

    a: float
    next: float
    share: float = 0.0


def calibrated(
    problem: Problem, fallback: Fallback, spend: float, *, within: float = 0.01, near: float | None = None
) -> tuple[TradeOff, Routed]:
    """The per-query trade-off whose spend is nearest to ``spend``, and not over it by more than ``within``.

    Where spend jumps between two trade-offs, as it does where many estimates are alike, some of the queries are
    decided by the one above.

    Parameters
    ----------
    problem : Problem
    fallback : Fallback
    spend : float, USD
    within : float
        Share of ``spend`` by which it may differ.
    near : float, in (0, 1), optional
        A trade-off to try first, such as that of a sample; it saves attempts and changes what is found by no more
        than ``within``.

    Returns
    -------
    trade_off : TradeOff
    routed : Routed
        Of the trade-offs tried, the one nearest in spend that is at most ``spend · (1 + within)``; where none is, and
        even ``a = 0`` spends more, that one.
    """
    low, high = (0.0, 0.0), (1.0, math.inf)
    hints = [] if near is None else [near, *(_trade_off(_odds(near) + step) for step in NEAR)]
    best: tuple[TradeOff, Routed] | None = None
    for attempt in range(BISECTIONS):
        hints = [a for a in hints if low[0] < a < high[0]]
        # Until something is known that may be spent: the cheapest.
        otherwise = 0.0 if best is None else _between(low, high, spend if attempt % 2 else None)
        a = hints.pop(0) if hints else otherwise
        found = per_query(problem, a, fallback)
        if found.spend > spend * (1 + within):
            if a == 0.0:
                return TradeOff(0.0, 0.0), found
            high = a, found.spend
            continue
        low = a, found.spend
        if best is None or abs(found.spend - spend) < abs(best[1].spend - spend):
            best = TradeOff(a, a), found
        if abs(best[1].spend - spend) <= within * spend:
            return best
    assert best is not None
    return _dithered(problem, fallback, spend, within, (low[0], high[0]), best)


def _dithered(
    problem: Problem,
    fallback: Fallback,
    spend: float,
    within: float,
    between: tuple[float, float],
    found: tuple[TradeOff, Routed],
) -> tuple[TradeOff, Routed]:
    """Some of the queries by the trade-off above, so many as reach the spend; what was found where that is nearer."""
    turn = np.random.default_rng(0).permutation(len(problem))
    lower, upper = (_wish(problem, a) for a in between)
    fewest, most = 0, len(problem)
    while most - fewest > 1 and abs(found[1].spend - spend) > within * spend:
        count = (fewest + most) // 2
        routed = _first_then(problem, np.where((turn < count)[:, None], upper, lower), fallback)
        if routed.spend > spend * (1 + within):
            most = count
        else:
            fewest = count
            if abs(routed.spend - spend) < abs(found[1].spend - spend):
                found = TradeOff(*between, count / len(problem)), routed
    return found


def _between(low: tuple[float, float], high: tuple[float, float], spend: float | None) -> float:
    """Between two trade-offs of known spend: half-way in odds, or where ``spend`` lies between theirs."""
    share = 0.5
    if spend is not None and low[1] < high[1] < math.inf:
        share = min(max((spend - low[1]) / (high[1] - low[1]), LEAST_STEP), 1 - LEAST_STEP)
    return _trade_off((1 - share) * _odds(low[0]) + share * _odds(high[0]))


def _odds(a: float) -> float:
    """Quality per USD on a scale of powers: costs may be anything from 1e-9 to 1e3 USD."""
    return math.log(max(a, 1e-12) / max(1 - a, 1e-12))


def _trade_off(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))


def best_single(problem: Problem, fallback: Fallback = Fallback.UNSERVED) -> Routed:
    """All queries ask for one model; of all models, the one that serves the most value this way."""
    return max((single(problem, j, fallback) for j in range(problem.n_models)), key=lambda routed: routed.objective)


def single(problem: Problem, model: int, fallback: Fallback = Fallback.UNSERVED) -> Routed:
    """All queries ask for ``model``."""
    wish = np.full(problem.quality.shape, -np.inf, dtype=np.float32)
    wish[:, model] = 1.0
    return _first_then(problem, wish, fallback)


def greedy_fill(problem: Problem) -> Routed:
    """Most value gained per USD first, until budget or capacity is used up.

    The greedy heuristic of the multiple-choice knapsack (Kellerer, Pferschy and Pisinger, 2004, section 11.2): a step
    is to serve a query, or to move it to a better model, and is worth what it adds over what it adds in cost, so that
    a query takes the steps along the upper convex hull of its options. Scarce models are crowded by queries that soon
    move on, so it starts twice: with all deferred, and with all served that can be; the better counts.
    """
    counter = Counter(problem)
    for _ in range(2):  # models empty as queries move on: what was refused is asked for again
        counter.climb()
    if not counter.crowded:
        return _routed(problem, counter.model)
    filled = Counter(problem)
    gain = problem.quality + problem.penalty[:, None].astype(np.float32)
    typical = max(float(problem.cost.mean()), 1e-12)
    density = gain / (problem.cost / np.float32(typical) + np.float32(1.0))
    filled.admit_all(density, greatest_first(density.max(axis=1)))
    for _ in range(2):
        filled.climb()
    return max((_routed(problem, one.model) for one in (counter, filled)), key=lambda routed: routed.objective)


def at_random(problem: Problem, seed: int, fallback: Fallback = Fallback.CHEAPEST_FEASIBLE) -> Routed:
    """Every query asks for a model drawn evenly."""
    wish = np.random.default_rng(seed).random(problem.quality.shape, dtype=np.float32)
    return _first_then(problem, wish, fallback)


def _first_then(problem: Problem, wish: NDArray[np.float32], fallback: Fallback) -> Routed:
    """First choices by ``wish``, then the fallback, in the order of rows."""
    counter, order = Counter(problem), np.arange(len(problem))
    counter.turn(wish, order)
    if fallback is Fallback.CHEAPEST_FEASIBLE:
        counter.admit_all(-problem.cost, order)
    elif fallback is Fallback.BEST_FEASIBLE:
        counter.admit_all(problem.quality, order)
    return _routed(problem, counter.model)


def _routed(problem: Problem, model: NDArray[np.int16]) -> Routed:
    rows = Rows(problem, couple(problem))
    if problem.last_batch is not None:
        model = uncrowd(problem, model, rows.worth(model) + problem.penalty)
    objective = robust_objective(problem, model) if problem.robust else rows.objective(model)
    load = np.bincount(model[model != DEFERRED], minlength=problem.n_models)
    return Routed(model, deal(problem, model), objective, float(np.sum(rows.paid(model))), load)
