"""Matched spend: no comparison counts unless both sides have realised the same spend, within one per cent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_core.backtest.stage import Result

WITHIN = 0.01
"""Largest difference in mean realised spend, a share, that counts as equal."""
CLOSE = 0.005
"""Difference at which the search for equal spend stops."""
HALVINGS = 18
LOW, HIGH = -7.0, 10.0
"""Ends of the trade-offs tried, log odds of quality against the typical cost."""
STEPS = 35

Routing = Callable[[float], Result]
"""What a way of routing realises at a setting of its dial: a share of the budget, or a trade-off."""


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


def sweep(routing: Routing, typical: float, usd: float) -> PerQuery:
    """Find the trade-offs of a per-query router that a plan's spend is to be compared with.

    Spend need not rise with the trade-off everywhere (who asks for the best empties the purse early), so the first
    crossing is bracketed on a grid, and bisected there.

    Parameters
    ----------
    routing : callable
        From ``a`` in ``a·quality − (1 − a)·cost``.
    typical : float, USD
        A typical cost, which sets the scale of ``a``.
    usd : float, USD per query
        What the plan spent.
    """
    dials = np.concatenate([[-np.inf], np.linspace(LOW, HIGH, STEPS), [np.inf]])
    tried = [routing(trade_off(dial, typical)) for dial in dials]
    enough = np.array([result.usd >= usd * (1 - CLOSE) for result in tried])
    at = int(enough.argmax()) if enough.any() else int(np.argmax([result.usd for result in tried]))
    dial, matched = dials[at], tried[at]
    if enough.any() and at > 0:
        dial, matched = _crossing(lambda d: routing(trade_off(d, typical)), usd, dials[at - 1 : at + 1], matched)
        tried.append(matched)
    fair = [result for result in tried if result.usd <= usd * (1 + CLOSE)]
    best = max(fair or tried[:1], key=lambda result: result.value)
    return PerQuery(trade_off(dial, typical), matched, best)


def trade_off(dial: float, typical: float) -> float:
    """``a`` from log odds of quality against a typical cost."""
    odds = np.log(max(typical, 1e-15)) + dial
    return float(1 / (1 + np.exp(-np.clip(odds, -700, 700)))) if np.isfinite(dial) else float(dial > 0)


def _crossing(routing: Routing, usd: float, bracket: NDArray[np.float64], enough: Result) -> tuple[float, Result]:
    """The least dial in the bracket that spends enough: bisected."""
    low, high = (float(end) for end in np.clip(bracket, 2 * LOW, 2 * HIGH))
    dial, best = float(bracket[1]), enough
    for _ in range(HALVINGS):
        if _apart(best.usd, usd) <= CLOSE:
            break
        middle = 0.5 * (low + high)
        found = routing(middle)
        if found.usd >= usd * (1 - CLOSE):
            high, dial, best = middle, middle, found
        else:
            low = middle
    return dial, best


def _apart(one: float, other: float) -> float:
    """Relative difference of two spends."""
    return abs(one - other) / max(abs(other), 1e-15)
