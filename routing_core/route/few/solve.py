"""A problem of a few queries: no more prices than the gap asked for needs, and a decision by hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from routing_core.route.block import Block, to_models
from routing_core.route.exchange import exchange
from routing_core.route.few.beam import beam
from routing_core.route.few.matrices import Few
from routing_core.route.few.plan import Plan
from routing_core.route.few.prices import Descent, Point
from routing_core.route.parameters import Parameters
from routing_core.route.passes import Certificate, allowance
from routing_core.route.prove import Incumbent
from routing_core.route.repair import CANDIDATES, round_shares
from routing_core.route.rows import Rows

COARSE = 1e-4
"""Gap up to which a decision by hand gets better with the prices; beyond, it takes an exact core."""
LACKING = 0.2
"""Share of the gap that smoothing must cost for better prices to be worth looking for."""
LIKELY = 0.4
"""Share of the gap within which a decision is looked for first."""
STRAY = 4
"""Queries for each of which one may be moved from what prices choose before another start is likelier to be good."""


def solve_few(rows: Rows, parameters: Parameters) -> tuple[Incumbent, Certificate, NDArray[np.float64], int]:
    """Prices, what they prove, and a decision that holds all limits.

    Parameters
    ----------
    rows : Rows
        Of one group.
    parameters : Parameters

    Returns
    -------
    incumbent : Incumbent
    certificate : Certificate
    prices : ndarray of float64, shape (n_limits,)
    passes : int
    """
    few = Few.of(rows)
    descent, best, served = Descent(few), _waiting(few), few.served
    for goal in _goals(parameters.gap):
        descent.until(goal * served, parameters.max_passes)
        point = descent.point
        enough = point.bound - 0.999 * parameters.gap * (point.bound + rows.penalties)
        worth = few.reduced(point.prices)
        plan = _mended(few, point, worth, enough)
        best = plan if plan.value > best.value else best
        if best.value >= enough or (goal <= COARSE and point.loss < LACKING * (point.bound - best.value)):
            break
    if best.value < enough:
        best = _exchanged(few, best, worth)
    if best.value < enough:
        best = _searched(few, best, worth, point)
    prices = few.in_usd(point.prices)
    certificate = _certificate(few, rows, point.prices)
    model = to_models(best.choice.astype(np.int16), rows.problem.n_models)
    incumbent = Incumbent(model, rows.objective(model), certificate.bound, len(rows) if len(prices) else 0)
    return incumbent, certificate, prices, descent.passes


def _goals(gap: float) -> tuple[float, ...]:
    """What smoothing may cost, shares of the value served, one after the other until the gap is proven."""
    return (gap, 0.1 * gap, 0.01 * gap) if gap > COARSE else (COARSE, 0.25 * gap)


def _mended(few: Few, point: Point, worth: NDArray[np.float64], enough: float) -> Plan:
    """What prices choose, its limits held; where that strays far from the choice, their shares made whole instead."""
    plan = Plan(few, worth.argmax(axis=0))
    if plan.run(worth, enough, len(plan.choice) // STRAY):
        return plan
    plan = Plan(few, round_shares(point.shares[None])[0].astype(np.intp))
    if plan.run(worth, enough, 4 * len(plan.choice)):
        return plan
    return _waiting(few)


def _waiting(few: Few) -> Plan:
    """All queries deferred, which always holds."""
    return Plan(few, np.full(few.value.shape[1], len(few.value) - 1))


def _exchanged(few: Few, plan: Plan, worth: NDArray[np.float64]) -> Plan:
    """A decision improved by pairs of moves."""
    block = Block(few.value[None], few.cost[None], few.amount[None], few.effect)
    choice = plan.choice[None].astype(np.int16)
    exchange(block, choice, worth[None], plan.left[None], np.arange(1), moves=CANDIDATES, rounds=4 * choice.size)
    better = Plan(few, choice[0].astype(np.intp))
    return better if better.holds and better.value > plan.value else plan


def _searched(few: Few, plan: Plan, worth: NDArray[np.float64], point: Point) -> Plan:
    """A decision improved by a beam, in what is likely to hold a better one, or else in all that may."""
    width = point.bound - plan.value
    for share in (LIKELY, 1.0):
        found = beam(few, worth, point.prices, share * width)
        if found is not None and (better := Plan(few, found)).holds and better.value > plan.value:
            return better
    return plan


def _certificate(few: Few, rows: Rows, prices: NDArray[np.float64]) -> Certificate:
    """The same as :func:`~routing_core.route.passes.certify` of all rows."""
    worth = few.reduced(prices)
    choice, spot = worth.argmax(axis=0), np.arange(len(rows))
    best = worth[choice, spot]
    worth[choice, spot] = -np.inf
    margin = (best - worth.max(axis=0)).astype(np.float32)
    rounding = allowance(rows, few.in_usd(prices), float(np.abs(best).sum()))
    bound = float(best.sum() + prices @ few.amount) + rounding
    return Certificate(bound, to_models(choice.astype(np.int16), rows.problem.n_models), margin)
