"""Prices of a whole night: first from a sample, then from the rows that the sample leaves undecided."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from routing_core.route.block import Block, to_models
from routing_core.route.kinds import Kinds
from routing_core.route.parameters import Parameters
from routing_core.route.passes import Remainder, narrow, nearest
from routing_core.route.prices import COOLING, Descent, descend
from routing_core.route.rows import Rows
from routing_core.route.vertex import vertex, whole

SURE = 4.0
"""Standard errors of the sample's prices within which the night's are looked for."""
MOST_UNDECIDED = 1 << 16
"""Rows held densely at once; of more, every second, third, … stands for the rest."""
ROUNDS = 4
"""Most times that the box of prices is moved after leaving it."""
SPARSE = 6
"""One row in so many starts the prices, within the sizes of sample and pool."""
COARSE = 2e-5
"""Gap at which smoothing over many rows stops; the rest is done on the rows nearest to changing."""
SHARP = 0.01
"""Share of the tolerance that smoothing may cost on those."""
THIN = 8
"""One row in so many of the sample is looked at first."""
THIN_TAU = 1e-3
"""Smoothing at which the sample's own prices begin at the least, quality units."""
MOST_SHARP = 60
"""Most evaluations on those."""
REFINED_TAU = 1e-4
"""Smoothing at which a warm start begins at the least, quality units."""


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
        return _exact(everything, held, found, tolerance) or _as_prices(found, everything)
    held = _hold(rows, np.arange(n) if n <= parameters.sample else _sample(n, parameters))
    found = _first(held.block, max(parameters.gap, COARSE), parameters)
    errors = _standard_errors(held.block, found, held.share)
    tolerance = _tolerance(held.block, parameters.gap) / held.share
    if n <= parameters.sample:
        return _final(everything, held, found, errors, tolerance, parameters)
    return _refine(everything, parameters, found, errors, tolerance)


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


def _final(
    rest: Remainder,
    held: _Held,
    found: Descent,
    errors: NDArray[np.float64],
    tolerance: float,
    parameters: Parameters,
) -> NightPrices:
    """The last digits: exactly where rows are of few kinds, else on those that are nearest to changing."""
    exact = _exact(rest, held, found, tolerance)
    return exact or _as_prices(_sharpen(held.block, found, errors, tolerance, parameters), rest)


def _exact(rest: Remainder, held: _Held, found: Descent, tolerance: float) -> NightPrices | None:
    """Prices and a decision from the linear program over kinds, if there are any."""
    if held.kinds is None or (corner := vertex(held.block, found.prices[0], tolerance)) is None:
        return None
    plan = np.empty(len(held.picked), dtype=np.int16)
    taken = whole(corner.taken, held.kinds.count)
    plan[held.picked] = to_models(held.kinds.spread(taken), held.block.n_models)
    return NightPrices(corner.prices, 0.0, found.passes + 1, rest, plan)


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
    return _continue(block, rough, _tolerance(block, gap), parameters, THIN_TAU)


def _refine(
    everything: Remainder, parameters: Parameters, found: Descent, errors: NDArray[np.float64], tolerance: float
) -> NightPrices:
    """Settle the rows whose option no price within reach can change, and descend on the rest."""
    rest, radius = everything, SURE * errors
    for _ in range(ROUNDS):
        rest = narrow(rest, found.prices[0], radius, parameters.pool)
        if np.any(rest.rows.coupling.amount < 0):  # what is settled must leave the rest a plan
            break
        held, before = _hold_many(rest.rows), found.prices[0]
        coarse = held.share * tolerance * max(COARSE / parameters.gap, 1)
        found = replace(_continue(held.block, found, coarse, parameters, REFINED_TAU), passes=found.passes + 1)
        if found.passes >= parameters.max_passes:
            break
        if held.share < 1.0 and rest.within(found.prices[0]):
            errors = _standard_errors(held.block, found, held.share)
            radius = SURE * errors
            continue
        if held.share == 1.0:
            final = _final(rest, held, found, errors, tolerance, parameters)
            if rest.within(final.prices):
                return replace(final, prices=rest.clipped(final.prices))
            found = replace(found, prices=final.prices[None], passes=final.passes)
        rest, radius = everything, np.maximum(radius, 2 * np.abs(found.prices[0] - before))
    return _as_prices(found, everything)


def _continue(block: Block, found: Descent, tolerance: float, parameters: Parameters, tau: float) -> Descent:
    """Descend from the prices found so far, at less smoothing."""
    rest = descend(
        block,
        found.prices,
        tolerance=tolerance,
        first_tau=max(float(found.tau[0]) * COOLING, tau),
        max_passes=max(parameters.max_passes - found.passes, 1),
    )
    return replace(rest, passes=found.passes + rest.passes)


def _sharpen(
    block: Block, found: Descent, errors: NDArray[np.float64], tolerance: float, parameters: Parameters
) -> Descent:
    """Lower the smoothing on the rows that are nearest to changing, all others fixed.

    How near a row is, is how far prices may go along their standard errors until it can change.
    """
    prices = found.prices[0]
    centre = block.reduced(found.prices)[0]
    with np.errstate(invalid="ignore"):  # an option that is not eligible stays at minus infinity
        reach = block.reduced((prices - np.maximum(errors, 1e-12))[None])[0] - centre
    spot = np.arange(centre.shape[1])
    choice = centre.argmax(axis=0)
    behind, pace = centre[choice, spot] - centre, reach[choice, spot] + reach
    behind[choice, spot] = np.inf
    with np.errstate(divide="ignore", invalid="ignore"):
        nearness = np.nan_to_num(behind / pace, nan=np.inf).min(axis=0)
    left = _free(block, choice, nearness, parameters.pool)
    sharp = descend(
        left,
        found.prices,
        tolerance=SHARP * tolerance,
        first_tau=float(found.tau[0]) * COOLING,
        last_tau=1e-7,
        max_passes=MOST_SHARP,
    )
    if block.bound(sharp.prices)[0] <= block.bound(found.prices)[0]:
        return replace(sharp, passes=found.passes + sharp.passes)
    return _finish(block, replace(found, passes=found.passes + sharp.passes), tolerance, parameters)


def _free(block: Block, choice: NDArray[np.intp], nearness: NDArray[np.float64], pool: int) -> Block:
    """The nearest rows, when the others take their choice: so many that these leave every limit room."""
    while pool < len(choice):
        left = block.without(choice, nearest(nearness, pool))
        if np.all(left.amount >= 0):
            return left
        pool *= 2
    return block


def _finish(block: Block, found: Descent, tolerance: float, parameters: Parameters) -> Descent:
    """Lower the smoothing on all rows, where ties are too many for some of them to speak for the rest."""
    rest = descend(
        block,
        found.prices,
        tolerance=tolerance,
        first_tau=float(found.tau[0]) * COOLING,
        max_passes=max(parameters.max_passes - found.passes, 1),
    )
    return replace(rest, passes=found.passes + rest.passes)


def _standard_errors(block: Block, descent: Descent, share: float) -> NDArray[np.float64]:
    """Standard errors of a sample's prices: H⁻¹ S H⁻¹ with S the covariance of what rows use.

    A price at zero whose limit the sample leaves far from used up has none.
    """
    usage = _row_usage(block, descent.shares)
    count = np.ones(usage.shape[1]) if block.count is None else block.count
    away = usage - (usage @ count / count.sum())[:, None]
    spread = (away * count) @ away.T * (1 - share)
    gradient, prices, hessian = descent.gradient[0], descent.prices[0], descent.hessian[0]
    noise = np.sqrt(np.diag(spread))
    free = (prices > 0) | (gradient <= SURE * noise)
    errors = np.zeros(len(prices))
    if free.any():
        at = np.ix_(free, free)
        unit = np.sqrt(np.maximum(np.diag(hessian)[free], 1e-300))
        scaled = hessian[at] / np.outer(unit, unit) + 1e-6 * np.eye(int(free.sum()))
        inverse = np.linalg.inv(scaled) / np.outer(unit, unit)
        errors[free] = np.sqrt(np.maximum(np.diag(inverse @ spread[at] @ inverse), 0.0))
    return errors


def _row_usage(block: Block, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each row uses of every limit: shape (n_limits, n_queries)."""
    features = np.concatenate([(shares[0] * block.cost[0]).sum(axis=0)[None], shares[0, :-1]])
    usage = np.empty((block.amount.shape[1], features.shape[1]))
    for effect, part in zip(block.effect, block.parts(), strict=True):
        usage[:, part] = effect.T @ features[:, part]
    return usage
