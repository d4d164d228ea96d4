"""Prices of a whole night: first from a sample, then from the rows that the sample leaves undecided."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from routing_core.route.block import Block
from routing_core.route.parameters import Parameters
from routing_core.route.passes import nearest, screen
from routing_core.route.prices import COOLING, Descent, descend
from routing_core.route.rows import Rows

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
    """

    prices: NDArray[np.float64]
    tau: float
    passes: int


def night_prices(rows: Rows, parameters: Parameters, start: NDArray[np.float64] | None = None) -> NightPrices:
    """Minimise the night's dual.

    Parameters
    ----------
    rows : Rows
    parameters : Parameters
    start : ndarray of float64, shape (n_limits,), or None
        Prices to start from.
    """
    n, amount = len(rows), rows.coupling.amount
    if not len(amount):
        return NightPrices(np.zeros(0), 0.0, 0)
    whole, few = n <= parameters.sample, n <= parameters.pool
    picked = np.arange(n) if whole else _sample(n, parameters)
    share = len(picked) / n
    block = rows.block(rows.by_group(picked), amount * share)
    first = descend(
        block,
        None if start is None else start[None],
        tolerance=_tolerance(block, parameters.gap if few else max(parameters.gap, COARSE)),
        max_passes=parameters.max_passes,
    )
    if few:
        return _as_prices(first)
    errors = _standard_errors(block, first, share)
    if whole:
        return _as_prices(_sharpen(block, first, errors, _tolerance(block, parameters.gap), parameters))
    tolerance = _tolerance(block, parameters.gap) / share
    return _as_prices(_refine(rows, parameters, block, first, errors, tolerance))


def _as_prices(found: Descent) -> NightPrices:
    return NightPrices(found.prices[0], float(found.tau[0]), found.passes)


def _sample(n: int, parameters: Parameters) -> NDArray[np.intp]:
    rng = np.random.default_rng(parameters.seed)
    size = min(parameters.sample, max(parameters.pool, n // SPARSE))
    return np.sort(rng.choice(n, size=size, replace=False, shuffle=False))


def _tolerance(block: Block, gap: float) -> float:
    """A quarter of the gap, in quality units of the block's rows."""
    served = block.value.max(axis=1) - block.value[:, -1]
    return 0.25 * gap * max(float(served.sum()), 1e-9)


def _refine(
    rows: Rows, parameters: Parameters, sample: Block, first: Descent, errors: NDArray[np.float64], tolerance: float
) -> Descent:
    """Fix the rows whose option no price within reach can change, and descend on the rest."""
    radius, found = SURE * errors, first
    for _ in range(ROUNDS):
        screening = screen(rows, found.prices[0], radius)
        found = replace(found, passes=found.passes + 1)
        undecided = screening.undecided
        if not len(undecided):
            return _finish(sample, found, tolerance * sample.value.shape[2] / len(rows), parameters)
        stride = -(-len(undecided) // MOST_UNDECIDED)
        picked = rows.by_group(undecided[::stride])
        share = len(picked) / len(undecided)
        block = rows.block(picked, (rows.coupling.amount - screening.usage) * share)
        before, found = found, _continue(block, found, share * tolerance * max(COARSE / parameters.gap, 1), parameters)
        moved = np.abs(found.prices[0] - before.prices[0])
        if found.passes >= parameters.max_passes:
            break
        if stride > 1:
            errors = _standard_errors(block, found, share)
            radius = SURE * errors
        elif np.all(moved <= radius * (1 + 1e-9)):
            return _sharpen(block, found, errors, tolerance, parameters)
        else:
            radius = np.maximum(radius, moved)
    return found


def _continue(block: Block, found: Descent, tolerance: float, parameters: Parameters) -> Descent:
    """Descend from the prices found so far, at less smoothing."""
    rest = descend(
        block,
        found.prices,
        tolerance=tolerance,
        first_tau=max(float(found.tau[0]) * COOLING, REFINED_TAU),
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
    near = nearest(nearness, parameters.pool)
    left = block.without(choice, near)
    sharp = descend(
        left, found.prices, tolerance=SHARP * tolerance, first_tau=float(found.tau[0]) * COOLING, last_tau=1e-7
    )
    if block.bound(sharp.prices)[0] <= block.bound(found.prices)[0]:
        return replace(sharp, passes=found.passes + sharp.passes)
    return _finish(block, replace(found, passes=found.passes + sharp.passes), tolerance, parameters)


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
    spread = np.cov(usage, ddof=1).reshape(len(usage), len(usage)) * usage.shape[1] * (1 - share)
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
