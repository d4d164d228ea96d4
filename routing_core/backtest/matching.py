"""Matched spend: no comparison counts unless both sides have realised the same spend, within one per cent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_core.backtest.stage import Result

CLOSE = 0.005
"""Difference at which the search for equal spend stops."""
HALVINGS = 18
LOW, HIGH = -7.0, 10.0
"""Ends of the trade-offs tried, log odds of quality against the typical cost."""
STEPS = 35
SECTIONS = 8
"""Parts that a bracket of trade-offs is cut in."""
NARROWEST = 1e-5
"""Width of a bracket that is not cut any further: spend jumps there."""

Routing = Callable[[float], Result]
"""What a way of routing realises with a share of the budget."""
Router = Callable[[NDArray[np.float64]], list[Result]]
"""What a per-query router realises at each of some trade-offs ``a``."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two results at one spend, as near as could be.

    Attributes
    ----------
    ours, theirs : Result
    """

    ours: Result
    theirs: Result


def cut_the_dearer(ours: Routing, theirs: Routing) -> Pair:
    """Both at the whole budget; who then spent more has its budget cut until spends are equal."""
    mine, other = ours(1.0), theirs(1.0)
    if _apart(mine.usd, other.usd) <= CLOSE:
        return Pair(mine, other)
    if mine.usd > other.usd:
        return Pair(cut(ours, mine, other.usd), other)
    return Pair(mine, cut(theirs, other, mine.usd))


def cut(routing: Routing, whole: Result, usd: float) -> Result:
    """The result of the share of the budget that spends ``usd``, found by false position.

    Parameters
    ----------
    routing : callable
    whole : Result
        At the whole budget, which spends at least as much.
    usd : float, USD per query
    """
    low, high, best = (0.0, 0.0), (1.0, whole.usd), whole
    for _ in range(HALVINGS):
        if _apart(best.usd, usd) <= CLOSE:
            break
        share = _between(low, high, usd)
        found = routing(share)
        low, high = (low, (share, found.usd)) if found.usd > usd else ((share, found.usd), high)
        best = min(best, found, key=lambda result: abs(result.usd - usd))
    return best


def _between(low: tuple[float, float], high: tuple[float, float], usd: float) -> float:
    """The share between two that spends ``usd`` if spend is linear there, kept off the ends of the interval."""
    width = high[0] - low[0]
    part = (usd - low[1]) / max(high[1] - low[1], 1e-15)
    return low[0] + width * float(np.clip(part, 0.05, 0.95))


@dataclass(frozen=True, slots=True)
class PerQuery:
    """A per-query router over all its trade-offs, against a plan's spend.

    Attributes
    ----------
    a : float, in [0, 1]
        The least trade-off that spends as much as the plan, or the one that spends most.
    matched : Result
        What it realised.
    best : Result
        Of the trade-offs tried that spend no more than the plan, the one that realised most: chosen in hindsight, which
        favours it.
    """

    a: float
    matched: Result
    best: Result


def sweep(router: Router, typical: float, usd: float) -> PerQuery:
    """Find the trade-offs of a per-query router that a plan's spend is to be compared with.

    Spend need not rise with the trade-off everywhere (who asks for the best empties the purse early), so the first
    crossing is bracketed on a grid, and the bracket is cut in sections until its upper end spends what the plan did.

    Parameters
    ----------
    router : callable
        From trade-offs ``a`` in ``a·quality − (1 − a)·cost``.
    typical : float, USD
        A typical cost, which sets the scale of ``a``.
    usd : float, USD per query
        What the plan spent.
    """
    dials = np.concatenate([[2 * LOW], np.linspace(LOW, HIGH, STEPS), [2 * HIGH]])
    a = np.concatenate([[0.0], trade_off(dials[1:-1], typical), [1.0]])
    tried = router(a)
    enough = np.array([result.usd >= usd * (1 - CLOSE) for result in tried])
    at = int(enough.argmax()) if enough.any() else int(np.argmax([result.usd for result in tried]))
    found, matched = float(a[at]), tried[at]
    low, high = (float(end) for end in dials[max(at - 1, 0) : at + 1][[0, -1]])
    while enough.any() and at > 0 and _apart(matched.usd, usd) > CLOSE and high - low > NARROWEST:
        inner = np.linspace(low, high, SECTIONS + 1)[1:-1]
        results = router(trade_off(inner, typical))
        tried += results
        reach = [k for k, result in enumerate(results) if result.usd >= usd * (1 - CLOSE)]
        first = reach[0] if reach else len(inner)
        if reach:
            found, matched = float(trade_off(inner, typical)[first]), results[first]
        ends = np.concatenate([[low], inner, [high]])
        low, high = float(ends[first]), float(ends[first + 1])
    fair = [result for result in tried if result.usd <= usd * (1 + CLOSE)]
    return PerQuery(found, matched, max(fair or tried[:1], key=lambda result: result.value))


def trade_off(dial: NDArray[np.float64], typical: float) -> NDArray[np.float64]:
    """``a`` from log odds of quality against a typical cost."""
    return np.asarray(1 / (1 + np.exp(-(np.log(max(typical, 1e-15)) + dial))))


def _apart(one: float, other: float) -> float:
    """Relative difference of two spends."""
    return abs(one - other) / max(abs(other), 1e-15)
