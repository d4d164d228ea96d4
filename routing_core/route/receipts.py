"""The receipt of a night: what joint routing is expected to be worth, beside what others would make of the same money.

Every rival decides the same queries under the same capacities, deadlines and team budgets, and may spend what the plan
spends. Rivals see the expected quality itself, by which all are valued: the strongest they can be. In arrival mode the
rivals but ``point_estimate`` have the night's limits and not each batch's, which favours them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing_core.records.assignments import DEFERRED
from routing_core.route.baselines import Fallback, Routed, TradeOff, calibrated, greedy_fill, per_query, single
from routing_core.route.problem import Problem
from routing_core.route.verdict import WITHIN, Verdict

OURS = "nightshift"
Z95 = 1.959963984540054
"""Standard errors on either side of a 95 % interval."""
SPEND_WITHIN = 1e-3
"""Share of the planned spend that the calibrated per-query trade-off may leave; it never spends more."""
SAMPLE = 1 << 15
"""Queries on which the best single model is chosen, and a trade-off is looked for first, where there are more."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % interval, quality units per routable query."""

    mean: float
    lower: float
    upper: float

    @property
    def verdict(self) -> Verdict:
        """What the interval says of a difference."""
        if self.lower > 0:
            return Verdict.GAIN
        return Verdict.LOSS if self.upper < 0 else Verdict.NO_GAIN


@dataclass(frozen=True, slots=True)
class Line:
    """One policy of a receipt.

    Attributes
    ----------
    policy : str
    fallback : str
        Where its overflow goes.
    served : int, queries
    quality : Interval
        Expected quality; a deferred query counts 0.
    spend : float, USD
        Expected cost.
    gain : Interval or None
        Ours less the policy's; None for ours.
    verdict : Verdict or None
        What of the gain may be claimed; None for ours.
    words : str
    """

    policy: str
    fallback: str
    served: int
    quality: Interval
    spend: float
    gain: Interval | None
    verdict: Verdict | None
    words: str


def receipt(
    problem: Problem,
    mean_quality: NDArray[np.float32],
    ours: NDArray[np.int16],
    decide: Callable[[Problem], NDArray[np.int16]],
    names: Sequence[str],
) -> list[Line]:
    """Ours and every rival, at matched spend; where a rival's rule leaves money that it could use, it says so.

    Parameters
    ----------
    problem : Problem
        As it was planned.
    mean_quality : ndarray of float32, shape (n_queries, n_models), in [0, 1]
        Expected quality, by which all are valued.
    ours : ndarray of int16, shape (n_queries,)
        The plan.
    decide : callable
        Plans a problem jointly, as the night was planned.
    names : sequence of str
        Models, in order.
    """
    spend = float(_chosen(problem.cost, ours).sum())
    rival = replace(problem, quality=mean_quality, budget=spend, deviation=None, gamma=0.0)
    same = np.array_equal(mean_quality, problem.quality)
    with ThreadPoolExecutor() as pool:  # the longest first: each works by itself, mostly outside the interpreter's lock
        filled, matched = pool.submit(greedy_fill, rival), pool.submit(_at_spend, rival)
        favourite, best = _best_single(rival)
        point = ours if same else decide(rival)
        trade_off, routed, all_it_can = matched.result()
    rivals = [
        ("best_single", Fallback.CHEAPEST_FEASIBLE.value, best.model, _of_single(names[favourite])),
        ("per_query", Fallback.CHEAPEST_FEASIBLE.value, routed.model, _of_trade_off(trade_off)),
        ("greedy", "deferred", filled.result().model, "most value added per USD first, step by step"),
        ("point_estimate", "deferred", point, "the same joint plan on expected rather than lower quality"),
    ]
    lines = [_line(OURS, "deferred", ours, problem, mean_quality)]
    for policy, fallback, model, words in rivals:
        line = _line(policy, fallback, model, problem, mean_quality)
        could_spend = policy == "per_query" and not all_it_can
        lines.append(_compared(line, difference(mean_quality, ours, model), spend, could_spend, words))
    return lines


def expected(mean_quality: NDArray[np.float32], model: NDArray[np.int16]) -> Interval:
    """Expected quality of a plan per routable query, by the closed form of a mean of answers in [0, 1].

    With mean m, the variance of one of them is at most m(1 − m), which is the square of the interval's half width
    over 1.96² / n: it covers both which queries came and how their answers turn out. From SQL,
    ``m = sum(mean_quality) / (assigned + deferred)`` is all it takes.
    """
    m = float(_chosen(mean_quality, model).sum() / len(model))
    return _interval(m, m * (1 - m), len(model))


def difference(mean_quality: NDArray[np.float32], ours: NDArray[np.int16], theirs: NDArray[np.int16]) -> Interval:
    """Expected quality of ours less theirs, paired by query, in closed form (no resampling).

    With d_i the difference of the two expectations of query i, and a_i(1 − a_i) + b_i(1 − b_i) the most that its two
    answers can vary around them (0 where both choose the same model: it is the same answer), the variance of one
    difference is ``mean(d² + a(1 − a) + b(1 − b)) − mean(d)²``. What the estimates have wrong in common is not in it:
    that is for the settlement.
    """
    a, b = _chosen(mean_quality, ours), _chosen(mean_quality, theirs)
    d = a - b
    luck = np.where(ours == theirs, 0.0, a * (1 - a) + b * (1 - b))
    mean = float(d.mean())
    return _interval(mean, float((d * d + luck).mean()) - mean * mean, len(d))


def _interval(mean: float, variance: float, n: int) -> Interval:
    half = Z95 * math.sqrt(max(variance, 0.0) / n)
    return Interval(mean, mean - half, mean + half)


def _chosen(matrix: NDArray[np.float32], model: NDArray[np.int16]) -> NDArray[np.float64]:
    """The entry of every query's model, 0 where deferred."""
    found = np.zeros(len(model))
    rows = np.flatnonzero(model != DEFERRED)
    found[rows] = matrix[rows, model[rows]]
    return found


def _at_spend(rival: Problem) -> tuple[TradeOff, Routed, bool]:
    """The per-query trade-off that spends what it may without a purse to stop it, and whether it could spend no more.

    Where even quality alone spends less (its models are full), that; where even the cheapest spend more, those.
    """
    free = replace(rival, budget=math.inf)
    most = per_query(free, 1.0, Fallback.CHEAPEST_FEASIBLE)
    if most.spend <= rival.budget:
        return TradeOff(1.0, 1.0), most, True
    # Aiming half the width lower, the far side of it is the budget itself.
    half = SPEND_WITHIN / 2
    aim, step = rival.budget / (1 + half), _step(rival)
    near = None
    if step > 1:
        near = calibrated(_thinned(free, step), Fallback.CHEAPEST_FEASIBLE, aim / step, within=half)[0].a or None
    trade_off, routed = calibrated(free, Fallback.CHEAPEST_FEASIBLE, aim, within=half, near=near)
    if routed.spend > rival.budget:
        return TradeOff(0.0, 0.0), per_query(rival, 0.0, Fallback.CHEAPEST_FEASIBLE), True
    return trade_off, routed, False


def _best_single(rival: Problem) -> tuple[int, Routed]:
    """The best single model; of a large night, the one that is best on every k-th query with a k-th of the limits."""
    step = _step(rival)
    some = rival if step == 1 else _thinned(rival, step)
    tried = [single(some, j, Fallback.CHEAPEST_FEASIBLE) for j in range(rival.n_models)]
    best = max(range(rival.n_models), key=lambda j: tried[j].objective)
    return best, tried[best] if step == 1 else single(rival, best, Fallback.CHEAPEST_FEASIBLE)


def _step(rival: Problem) -> int:
    """Every how manieth query stands for a large night."""
    return -(-len(rival) // SAMPLE)


def _thinned(problem: Problem, step: int) -> Problem:
    columns = ("quality", "cost", "penalty", "eligible", "team")
    rows: dict[str, Any] = {name: value[::step] for name in columns if (value := getattr(problem, name)) is not None}
    team_budget = None if problem.team_budget is None else problem.team_budget / step
    return replace(
        problem,
        **rows,
        budget=problem.budget / step,
        capacity=problem.capacity * problem.batches // step,
        team_budget=team_budget,
        batches=1,
        last_batch=None,
    )


def _of_single(name: str) -> str:
    return f"{name} as far as budget and capacity allow, the rest to the cheapest that is left"


def _of_trade_off(trade_off: TradeOff) -> str:
    some = f", {trade_off.next:.6g} for {trade_off.share:.2%} of them drawn evenly" if trade_off.share else ""
    return f"each query by itself takes the most of a·quality − (1 − a)·USD, a = {trade_off.a:.6g}{some}"


def _line(
    policy: str, fallback: str, model: NDArray[np.int16], problem: Problem, mean_quality: NDArray[np.float32]
) -> Line:
    quality = expected(mean_quality, model)
    spend = float(_chosen(problem.cost, model).sum())
    return Line(policy, fallback, int((model != DEFERRED).sum()), quality, spend, None, None, "this plan")


def _compared(line: Line, gain: Interval, spend: float, could_spend: bool, words: str) -> Line:
    """A rival's line with its verdict: none on quality where it could have spent as much as ours and did not."""
    apart = abs(line.spend - spend)
    verdict = Verdict.UNMATCHED if could_spend and apart > WITHIN * spend else gain.verdict
    share = f", at {line.spend / spend:.1%} of the plan's spend" if spend > 0 else ""
    said = f"{_claim(verdict, gain, line.quality.mean)} over {words}{share}"
    return replace(line, gain=gain, verdict=verdict, words=said)


def _claim(verdict: Verdict, gain: Interval, theirs: float) -> str:
    """The verdict in words, in per cent of theirs where that is something."""
    scale, unit = (100 / theirs, " %") if theirs > 0 else (1.0, "")
    low, mean, high = (scale * value for value in (gain.lower, gain.mean, gain.upper))
    return f"{verdict.value}: {mean:+.2f}{unit} ({low:+.2f} to {high:+.2f})"
