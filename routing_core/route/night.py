"""Prices of a whole night: first from a sample, then from the rows that the sample leaves undecided."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from routing_core.route.block import Block, to_models
from routing_core.route.kinds import Kinds
from routing_core.route.parameters import Parameters
from routing_core.route.passes import Remainder, narrow
from routing_core.route.prices import COOLING, LAST_TAU, SETTLED, Descent, descend
from routing_core.route.repair import round_shares
from routing_core.route.rows import Rows
from routing_core.route.vertex import Vertex, sift, whole

SURE = 4.0
"""Standard errors of the sample's prices within which the night's are looked for."""
MOST_UNDECIDED = 1 << 16
"""Rows held densely at once; of more, every second, third, … stands for the rest."""
ROUNDS = 6
"""Most times that rows are settled, or the box of prices is moved after leaving it."""
ANYWHERE = 1e30
"""Error of a price of which nothing is known, far enough from what float32 overflows at."""
WIDER = 3.0
"""Factor by which the box grows where what is settled leaves the rest no plan."""
SPARSE = 6
"""One row in so many starts the prices, within the sizes of sample and pool."""
COARSE = 2e-5
"""Gap at which smoothing a sample stops."""
THIN = 8
"""One row in so many of the sample is looked at first."""
THIN_TAU = 1e-3
"""Smoothing at which the sample's own prices begin at the least, quality units."""
EXACT = 0.1
"""Share of the tolerance that the linear program may leave."""
REFINED_TAU = 2.5e-4
"""Smoothing of the last descent, quality units. What it leaves undecided is few rows, and left to a linear program."""
AT_REST = 0.01
"""Distance from that descent's minimum, a share of what smoothing costs, at which it ends."""


@dataclass(frozen=True, slots=True, eq=False)
class NightPrices:
    """Prices of the shared limits.

    Attributes
    ----------
    prices : ndarray of float64, shape (n_limits,)
    tau : float, quality units
        Smoothing at which they balance the limits.
    passes : int
    remainder : Remainder
        The rows that are left to decide at these prices.
    plan : ndarray of int16, shape (n_remainder,), or None
        A decision on them that nearly holds the limits, where one came with the prices.
    """

    prices: NDArray[np.float64]
    tau: float
    passes: int
    remainder: Remainder
    plan: NDArray[np.int16] | None = None


def night_prices(rows: Rows, parameters: Parameters) -> NightPrices:
    """Minimise the night's dual.

    Parameters
    ----------
    rows : Rows
    parameters : Parameters
    """
    n, everything = len(rows), Remainder.everything(rows)
    if not len(rows.coupling.amount):
        return NightPrices(np.zeros(0), 0.0, 0, everything)
    if n <= parameters.pool:
        held = _hold(rows, np.arange(n))
        tolerance = _tolerance(held.block, parameters.gap)
        found = descend(held.block, tolerance=tolerance, max_passes=parameters.max_passes)
        if held.kinds is not None:
            return _final(everything, held, found, tolerance, parameters)
        return _as_prices(found, everything)
    held = _hold(rows, np.arange(n) if n <= parameters.sample else _sample(n, parameters))
    found = _first(held.block, max(parameters.gap, COARSE), parameters)
    tolerance = _tolerance(held.block, parameters.gap) / held.share
    if n <= parameters.sample:
        return _final(everything, held, found, tolerance, parameters)
    return _refine(everything, parameters, found, _standard_errors(held.block, found, held.share), tolerance)


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """Some rows held densely under their share of what there is; those that are alike in one column.

    Attributes
    ----------
    block : Block
    picked : ndarray of intp, shape (n_picked,)
        Which rows, by group.
    kinds : Kinds or None
        Of those picked; None where each has a column of its own.
    share : float
        Of all rows.
    """

    block: Block
    picked: NDArray[np.intp]
    kinds: Kinds | None
    share: float


def _hold(rows: Rows, picked: NDArray[np.intp]) -> _Held:
    picked, share = rows.by_group(picked), len(picked) / len(rows)
    kinds, amount = rows.kinds_of(picked), rows.coupling.amount * share
    if kinds is None:
        return _Held(rows.block(picked, amount), picked, None, share)
    block = replace(rows.block(picked[kinds.first], amount), count=kinds.count.astype(np.float64))
    return _Held(block, picked, kinds, share)


def _hold_many(rows: Rows) -> _Held:
    """All rows where they are few or of few kinds, else as many as may be, evenly picked."""
    n = len(rows)
    stride = 1 if rows.repeated else -(-n // MOST_UNDECIDED)
    return _hold(rows, np.arange(0, n, stride))


def _as_prices(found: Descent, rest: Remainder) -> NightPrices:
    return NightPrices(found.prices[0], float(found.tau[0]), found.passes, rest)


def _final(rest: Remainder, held: _Held, found: Descent, tolerance: float, parameters: Parameters) -> NightPrices:
    """The last digits, exactly: prices and a decision from the linear program over what smoothing leaves undecided."""
    block, close = held.block, EXACT * tolerance
    errors = _errors(found, found.tau[0] * found.hessian[0])
    corner = sift(block, found.prices[0], errors, close)
    if held.kinds is None and (corner is None or corner.bound > corner.value + close):
        # So many are tied that a few cannot speak for them: smooth all of them finely, and share them out.
        found = _continue(block, found, parameters, tolerance=tolerance)
        errors = _errors(found, found.tau[0] * found.hessian[0])
        shared = sift(block, found.prices[0], errors, close, round_shares(found.shares)[0].astype(np.intp))
        corner = max((one for one in (corner, shared) if one), key=lambda one: one.value - one.bound, default=None)
    if corner is None:
        return _as_prices(found, rest)
    plan = np.empty(len(held.picked), dtype=np.int16)
    plan[held.picked] = to_models(_choice(held, corner), block.n_models)
    return NightPrices(corner.prices, 0.0, found.passes + corner.solves, rest, plan)


def _choice(held: _Held, corner: Vertex) -> NDArray[np.int16]:
    """Options of the rows that are held, in whole numbers."""
    if held.kinds is None:
        return whole(corner.taken, np.ones(corner.taken.shape[1], np.int64)).argmax(axis=0).astype(np.int16)
    return held.kinds.spread(whole(corner.taken, held.kinds.count))


def _sample(n: int, parameters: Parameters) -> NDArray[np.intp]:
    rng = np.random.default_rng(parameters.seed)
    size = min(parameters.sample, max(parameters.pool, n // SPARSE))
    return np.sort(rng.choice(n, size=size, replace=False, shuffle=False))


def _tolerance(block: Block, gap: float) -> float:
    """A quarter of the gap, in quality units of the block's rows."""
    served = block.value.max(axis=1) - block.value[:, -1]
    return 0.25 * gap * max(float(block.total(served)[0]), 1e-9)


def _first(block: Block, gap: float, parameters: Parameters) -> Descent:
    """Prices from scratch: those of every eighth row first, since most steps are taken far from the end."""
    thin = block.columns(slice(None, None, THIN), block.amount)
    share = float(thin.total(np.ones(thin.value.shape[2])) / block.total(np.ones(block.value.shape[2])))
    thin = replace(thin, amount=block.amount * share)
    rough = descend(thin, tolerance=_tolerance(thin, gap), max_passes=parameters.max_passes)
    return _continue(block, rough, parameters, tolerance=_tolerance(block, gap), first_tau=THIN_TAU)


def _refine(
    everything: Remainder, parameters: Parameters, found: Descent, errors: NDArray[np.float64], tolerance: float
) -> NightPrices:
    """Settle the rows whose option no price within reach can change, and descend on the rest."""
    rest, radius = everything, SURE * errors
    for _ in range(ROUNDS):
        rest = narrow(rest, found.prices[0], radius, parameters.pool)
        if np.any(rest.rows.coupling.amount < 0):
            rest, radius = everything, WIDER * radius
            continue
        held, before = _hold_many(rest.rows), found.prices[0]
        found = _undecided(held.block, replace(found, passes=found.passes + 1), parameters)
        if found.passes >= parameters.max_passes:
            break
        if held.share < 1.0 and rest.within(found.prices[0]):
            radius = SURE * _standard_errors(held.block, found, held.share)
            continue
        if held.share == 1.0:
            final = _final(rest, held, found, tolerance, parameters)
            if rest.within(final.prices):
                return replace(final, prices=rest.clipped(final.prices))
            found = replace(found, prices=final.prices[None], passes=final.passes)
        rest, radius = everything, np.maximum(radius, 2 * np.abs(found.prices[0] - before))
    return _as_prices(found, everything)


def _undecided(block: Block, found: Descent, parameters: Parameters) -> Descent:
    """Descend so far that smoothing leaves few rows undecided."""
    tau = REFINED_TAU
    return _continue(block, found, parameters, tolerance=0.0, first_tau=tau, last_tau=tau, settled=AT_REST)


def _continue(
    block: Block,
    found: Descent,
    parameters: Parameters,
    *,
    tolerance: float,
    first_tau: float = 0.0,
    last_tau: float = LAST_TAU,
    settled: float = SETTLED,
) -> Descent:
    """Descend from the prices found so far, at less smoothing, but for ``first_tau`` at the least."""
    rest = descend(
        block,
        found.prices,
        tolerance=tolerance,
        first_tau=max(float(found.tau[0]) * COOLING, first_tau),
        last_tau=last_tau,
        settled=settled,
        max_passes=max(parameters.max_passes - found.passes, 1),
        workers=parameters.workers,
    )
    return replace(rest, passes=found.passes + rest.passes)


def _standard_errors(block: Block, descent: Descent, share: float) -> NDArray[np.float64]:
    """Standard errors of a sample's prices, from the covariance of what rows use and what the descent left undone."""
    usage = _row_usage(block, descent.shares)
    count = np.ones(usage.shape[1]) if block.count is None else block.count
    away = usage - (usage @ count / count.sum())[:, None]
    gradient = descent.gradient[0]
    return _errors(descent, (away * count) @ away.T * (1 - share), np.where(descent.prices[0] > 0, gradient, 0.0))


def _errors(
    descent: Descent, spread: NDArray[np.float64], undone: NDArray[np.float64] | float = 0.0
) -> NDArray[np.float64]:
    """Standard errors of prices: H⁻¹ S H⁻¹ with S the covariance of what is used, and H⁻¹ g of what is undone.

    A price at zero whose limit is left far from used up has none.
    """
    gradient, prices, hessian = descent.gradient[0], descent.prices[0], descent.hessian[0]
    errors = np.zeros(len(prices))
    with np.errstate(over="ignore", invalid="ignore"):  # costs may be unlike by any factor
        free = (prices > 0) | (gradient <= SURE * np.sqrt(np.diag(spread)))
        if free.any():
            at = np.ix_(free, free)
            unit = np.sqrt(np.maximum(np.diag(hessian)[free], 1e-300))
            scaled = hessian[at] / np.outer(unit, unit) + 1e-6 * np.eye(int(free.sum()))
            inverse = np.linalg.inv(scaled) / np.outer(unit, unit)
            errors[free] = np.sqrt(np.maximum(np.diag(inverse @ spread[at] @ inverse), 0.0))
            errors[free] += np.abs(inverse @ np.broadcast_to(undone, len(prices))[free])
    return np.fmin(errors, ANYWHERE)


def _row_usage(block: Block, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each row uses of every limit: shape (n_limits, n_queries)."""
    features = np.concatenate([(shares[0] * block.cost[0]).sum(axis=0)[None], shares[0, :-1]])
    usage = np.empty((block.amount.shape[1], features.shape[1]))
    for effect, part in zip(block.effect, block.parts(), strict=True):
        usage[:, part] = effect.T @ features[:, part]
    return usage
