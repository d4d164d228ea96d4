"""From prices to decisions: ties split evenly, the nearest repaired, and whatever still does not fit deferred."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_core.records.assignments import DEFERRED
from routing_core.route.block import Block, to_models
from routing_core.route.coupling import Kind
from routing_core.route.night import NightPrices
from routing_core.route.parameters import Parameters
from routing_core.route.passes import Certificate, nearest
from routing_core.route.problem import ROUNDING
from routing_core.route.repair import CANDIDATES, Repair, round_shares
from routing_core.route.rows import STRETCH, Rows
from routing_core.route.solution import proven_gap

TIES = 4
"""Factor by which the pool grows where more rows are tied than it holds."""
SPREAD = 16
"""Factor by which the rows are more of which the pool is evenly picked, where the nearest did not do."""
MOST_MOVES = 2000
"""Moves of one repair; each looks at the whole pool."""
FEW, STARTS = 512, 8
"""Rows that are repaired from many starts, and how many."""
BLURRED = 3e-5
"""Smoothing, quality units, at the least, by which those starts differ."""
TIED = 30.0
"""Margin, in units of the smoothing, within which a row is split by shares: e⁻³⁰ of a query beyond it."""


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Near-tied rows taken out of a decision, to be decided again together.

    Attributes
    ----------
    rows : ndarray of intp, shape (n_pool,)
        Sorted by group.
    block : Block
        Their options, under what all other rows leave of the limits.
    """

    rows: NDArray[np.intp]
    block: Block


def decide(
    rows: Rows, night: NightPrices, certificate: Certificate, parameters: Parameters
) -> tuple[NDArray[np.int16], float, int]:
    """A decision that holds all limits, near the optimum of the prices.

    Returns
    -------
    model : ndarray of int16, shape (n_queries,)
    objective : float, quality units
    touched : int
        Rows that prices alone did not decide.
    """
    if not len(rows.coupling.amount):
        return certificate.choice, rows.objective(certificate.choice), 0
    best, best_objective, touched = np.full(len(rows), DEFERRED, dtype=np.int16), -np.inf, 0
    for plan, size in _attempts(rows, night, certificate, parameters):
        touched = max(touched, min(size, len(rows)))
        objective = rows.objective(plan)
        if objective > best_objective:
            best, best_objective = plan, objective
        if proven_gap(best_objective, certificate.bound, rows.penalties) <= parameters.gap:
            break
    return best, best_objective, touched


def _attempts(
    rows: Rows, night: NightPrices, certificate: Certificate, parameters: Parameters
) -> Iterator[tuple[NDArray[np.int16], int]]:
    """Decisions in the order in which they are worth trying, and how many rows each looked at."""
    pool, prices = parameters.pool, night.prices
    near = nearest(certificate.margin, pool)
    enough = certificate.bound - 0.999 * parameters.gap * (certificate.bound + rows.penalties)
    model, tied = _split_ties(rows, night, certificate) if night.plan is None else (night.plan, 0)
    yield _repaired(rows, model.copy(), near, prices, enough), max(tied, pool)
    if tied > pool:
        size = TIES * pool
        yield _repaired(rows, model.copy(), nearest(certificate.margin, size), prices, enough), size
    if rows.coupling.group is None:
        yield _restarted(rows, model.copy(), nearest(certificate.margin, FEW), night), pool
    start, again = certificate.choice, near
    if night.plan is not None:  # it came with the prices; where rows are alike, the nearest are of too few kinds
        many = nearest(certificate.margin, SPREAD * pool)
        start, again = model, many[:: -(-len(many) // pool)]
    yield _repaired(rows, start.copy(), again, prices, enough, 2 * CANDIDATES), pool


def _restarted(rows: Rows, model: NDArray[np.int16], picked: NDArray[np.intp], night: NightPrices) -> NDArray[np.int16]:
    """The best of many repairs of a few rows, whose ties are rounded otherwise each time."""
    pool = take_pool(rows, model, picked)
    shares = _shares(pool.block, night.prices, max(night.tau, BLURRED))
    starts = np.concatenate([round_shares(shares, k / STARTS) for k in range(STARTS)])
    repair = Repair(pool.block.at(np.zeros(STARTS, dtype=np.intp)), starts, np.tile(night.prices, (STARTS, 1)))
    held = repair.run(4 * len(pool.rows))
    best = int(np.argmax(np.where(held, repair.value(), -np.inf)))
    put_back(pool, repair.choice[best], model)
    return shed(rows, model)


def _repaired(
    rows: Rows,
    model: NDArray[np.int16],
    picked: NDArray[np.intp],
    prices: NDArray[np.float64],
    enough: float,
    candidates: int = CANDIDATES,
) -> NDArray[np.int16]:
    """A decision with the picked rows repaired until all are worth enough, and shed of what still does not fit."""
    pool = take_pool(rows, model, picked)
    repair = Repair(pool.block, as_options(pool, model)[None], prices[None], candidates)
    elsewhere = rows.objective(model) - repair.value()
    repair.run(min(4 * len(pool.rows), MOST_MOVES), enough - elsewhere)
    put_back(pool, repair.choice[0], model)
    return shed(rows, model)


def _split_ties(rows: Rows, night: NightPrices, certificate: Certificate) -> tuple[NDArray[np.int16], int]:
    """The prices' own choice, but for ties, which are shared out; and how many rows are tied."""
    model = certificate.choice.copy()
    tied = np.flatnonzero(certificate.margin <= TIED * night.tau)
    for start in range(0, len(tied), STRETCH):
        some = rows.by_group(tied[start : start + STRETCH])
        model[some] = _split(rows, night, some)
    return model, len(tied)


def _split(rows: Rows, night: NightPrices, some: NDArray[np.intp]) -> NDArray[np.int16]:
    """Share tied rows out among their options as the smoothed prices do."""
    block = rows.block(some, rows.coupling.amount)
    return to_models(round_shares(_shares(block, night.prices, max(night.tau, 1e-300)))[0], block.n_models)


def _shares(block: Block, prices: NDArray[np.float64], tau: float) -> NDArray[np.float64]:
    """Weights of every option in the maximum smoothed by ``tau``: shape of ``block.value``."""
    worth = block.reduced(prices[None])
    shares = np.exp((worth - worth.max(axis=1, keepdims=True)) / tau)
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def take_pool(rows: Rows, model: NDArray[np.int16], picked: NDArray[np.intp]) -> Pool:
    """Take rows out of a decision."""
    picked = rows.by_group(picked)
    used = usage(rows, model)
    used -= rows.coupling.usage(rows.coupling.group_usage(model[picked], rows.paid(model[picked], picked), picked))
    return Pool(picked, rows.block(picked, rows.coupling.amount - used))


def usage(rows: Rows, model: NDArray[np.int16]) -> NDArray[np.float64]:
    """What a decision uses of every limit: shape (n_limits,)."""

    def work(stretch: slice) -> NDArray[np.float64]:
        at = np.arange(stretch.start, stretch.stop)
        return rows.coupling.group_usage(model[stretch], rows.paid(model[stretch], at), at)

    return rows.coupling.usage(np.sum(rows.over_stretches(work), axis=0))


def as_options(pool: Pool, model: NDArray[np.int16]) -> NDArray[np.int16]:
    """A decision as options of the pool's block, where deferral comes last."""
    choice = model[pool.rows].astype(np.int16)
    choice[choice == DEFERRED] = pool.block.n_models
    return choice


def put_back(pool: Pool, choice: NDArray[np.int16], model: NDArray[np.int16]) -> None:
    """Write the pool's options into a decision."""
    model[pool.rows] = to_models(choice, pool.block.n_models)


def shed(rows: Rows, model: NDArray[np.int16]) -> NDArray[np.int16]:
    """Defer what does not fit, the least value lost for what it frees first. Deferral uses nothing, so this ends."""
    coupling = rows.coupling
    over = usage(rows, model) - coupling.amount
    if np.all(over <= ROUNDING * coupling.amount):
        return model
    model = model.copy()
    loss = rows.worth(model) + rows.problem.penalty
    for r, limit in enumerate(coupling.limits):
        over = usage(rows, model) - coupling.amount
        if over[r] <= ROUNDING * coupling.amount[r]:
            continue
        paying = coupling.effect[:, 0 if limit.kind is not Kind.CAPACITY else 1 + limit.index, r] > 0
        mine = np.flatnonzero(model >= 0) if limit.kind is not Kind.CAPACITY else np.flatnonzero(model == limit.index)
        if coupling.group is not None:
            mine = mine[paying[coupling.group[mine]]]
        frees = rows.paid(model[mine], mine) if limit.kind is not Kind.CAPACITY else np.ones(len(mine))
        mine, frees = mine[frees > 0], frees[frees > 0]
        order = np.argsort(loss[mine] / frees, kind="stable")
        freed = np.cumsum(frees[order])
        model[mine[order[: int(np.searchsorted(freed, over[r])) + 1]]] = DEFERRED
    return model
