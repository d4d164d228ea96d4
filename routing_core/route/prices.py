"""The dual: prices of the shared limits.

D(y) = y·b + Σ_i max_k (v_ik − y·a_ik) over options k, deferral among them, is convex and piecewise linear. Its
maximum is smoothed by τ log Σ exp(·/τ) (Nesterov, 2005), minimised by a projected Newton method (Bertsekas, 1982)
with Levenberg–Marquardt damping, and τ is lowered until smoothing costs less than the tolerance. Any y ≥ 0 gives a
valid bound, so nothing here can make a proof wrong, only wide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_core.route.block import Block
from routing_core.route.threads import by_threads

FIRST_TAU = 0.05
"""Smoothing at which a cold start begins, quality units."""
LAST_TAU = 1e-6
"""Smoothing below which nothing is gained in float64."""
COOLING = 0.25
"""Factor from one smoothing to the next."""
FIRST_DAMPING = 1e-2
"""Damping of the first step at each smoothing."""
SETTLED = 0.3
"""Distance from the smoothed minimum, a share of what smoothing costs, at which it is lowered."""
STEPS_PER_TAU = 30
"""Most Newton steps before smoothing is lowered regardless."""
IN_CACHE = 8192
"""Queries of one problem that are smoothed at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Descent:
    """Prices found for a stack of problems.

    Attributes
    ----------
    prices : ndarray of float64, shape (n_problems, n_limits)
    shares : ndarray of float64, shape (n_problems, n_options, n_queries), in [0, 1]
        The smoothed maximum's weights: a fractional decision that holds the limits nearly.
    gradient : ndarray of float64, shape (n_problems, n_limits)
        What the shares leave of every limit.
    hessian : ndarray of float64, shape (n_problems, n_limits, n_limits)
    tau : ndarray of float64, shape (n_problems,)
        Smoothing at which the descent ended, quality units.
    passes : int
    """

    prices: NDArray[np.float64]
    shares: NDArray[np.float64]
    gradient: NDArray[np.float64]
    hessian: NDArray[np.float64]
    tau: NDArray[np.float64]
    passes: int


@dataclass(slots=True)
class _Point:
    """The smoothed dual at one y, for every problem."""

    value: NDArray[np.float64]
    gradient: NDArray[np.float64]
    hessian: NDArray[np.float64]
    loss: NDArray[np.float64]
    shares: NDArray[np.float64]

    def take_over(self, other: _Point, at: NDArray[np.intp], which: NDArray[np.bool_] | None = None) -> None:
        """Put the other's problems, or which of them, in the places ``at``."""
        every = which is None or bool(which.all())
        for name in ("value", "gradient", "hessian", "loss", "shares"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if every and len(at) == len(mine):
                setattr(self, name, theirs)
            elif which is None:
                mine[at] = theirs
            else:
                mine[at[which]] = theirs[which]


def descend(
    block: Block,
    start: NDArray[np.float64] | None = None,
    *,
    tolerance: float | NDArray[np.float64],
    first_tau: float = FIRST_TAU,
    last_tau: float = LAST_TAU,
    settled: float = SETTLED,
    max_passes: int = 200,
    workers: int = 1,
) -> Descent:
    """Minimise the dual of every problem in the block.

    Parameters
    ----------
    block : Block
    start : ndarray of float64, shape (n_problems, n_limits), or None
        Prices to start from.
    tolerance : float or ndarray of shape (n_problems,), quality units
        What smoothing may cost in the bound.
    first_tau, last_tau : float
        Range of the smoothing.
    settled : float
        Distance from the smoothed minimum, a share of what smoothing costs, at which it is lowered or the descent ends.
    max_passes : int
        Most evaluations.
    workers : int
        Threads that share an evaluation.
    """
    count, limits = block.amount.shape
    money = _money_scale(block)
    prices = np.zeros((count, limits)) if start is None else np.maximum(start, 0.0) * money
    tolerance = np.broadcast_to(np.asarray(tolerance, dtype=np.float64), (count,))
    scaled = _scaled(block, money)
    state = _State(prices, np.full(count, first_tau), np.full(count, FIRST_DAMPING), np.zeros(count, dtype=np.int64))
    point = _evaluate(scaled, prices, state.tau, workers)
    passes, open_ = 1, np.arange(count)
    while limits and passes < max_passes and len(open_):
        step = _step(state, point, open_, state.damping[open_])
        excess = _foretold(point, open_, step)
        near = settled * np.maximum(point.loss[open_], tolerance[open_])
        likely = excess <= near
        if likely.any():  # damping makes a minimum look nearer than it is
            at = open_[likely]
            excess[likely] = _foretold(point, at, _step(state, point, at, np.zeros(len(at))))
        at_rest = (excess <= near) | (state.steps[open_] >= STEPS_PER_TAU)
        done = at_rest & ((point.loss[open_] + excess <= tolerance[open_]) | (state.tau[open_] <= last_tau))
        _cool(scaled, state, point, open_[at_rest & ~done], last_tau, workers)
        _newton_step(scaled, state, point, open_[~at_rest], step[~at_rest], workers)
        passes += int(not done.all())
        open_ = open_[~done]
    hessian = point.hessian * money[:, :, None] * money[:, None, :]
    return Descent(state.prices / money, point.shares, point.gradient * money, hessian, state.tau, passes)


@dataclass(slots=True)
class _State:
    prices: NDArray[np.float64]
    tau: NDArray[np.float64]
    damping: NDArray[np.float64]
    steps: NDArray[np.int64]
    """Steps since smoothing was lowered."""


def _money_scale(block: Block) -> NDArray[np.float64]:
    """Unit of each limit: what an eligible answer costs on average for money, 1 for capacity."""
    paid = block.cost > 0
    mean = block.total(block.cost).sum(axis=1) / np.maximum(block.total(paid.astype(np.float64)).sum(axis=1), 1)
    mean[mean == 0] = 1.0
    is_money = block.effect[:, 0].any(axis=0)
    return np.where(is_money, mean[:, None], 1.0)


def _scaled(block: Block, money: NDArray[np.float64]) -> Block:
    """The block with costs near 1, so that prices of money and of capacity are alike."""
    is_money = block.effect[:, 0].any(axis=0)
    if not is_money.any():
        return block
    unit = money[:, is_money][:, 0]
    cost = block.cost / unit[:, None, None]
    return Block(block.value, cost, block.amount / money, block.effect, block.group, block.count)


def _evaluate(block: Block, prices: NDArray[np.float64], tau: NDArray[np.float64], workers: int) -> _Point:
    """Value, gradient, Hessian of the smoothed dual, and what smoothing adds to the bound."""
    queries = block.value.shape[2]
    if len(prices) > 1 or queries <= IN_CACHE:
        return _evaluate_at_once(block, prices, tau)
    nothing = np.zeros_like(block.amount)

    def work(start: int) -> _Point:
        return _evaluate_at_once(block.columns(slice(start, start + IN_CACHE), nothing), prices, tau)

    parts = by_threads(work, range(0, queries, IN_CACHE), workers)
    value, gradient, hessian, loss = (
        np.sum([getattr(part, name) for part in parts], axis=0) for name in ("value", "gradient", "hessian", "loss")
    )
    shares = np.concatenate([part.shares for part in parts], axis=2)
    return _Point(value + (prices * block.amount).sum(axis=1), gradient + block.amount, hessian, loss, shares)


def _evaluate_at_once(block: Block, prices: NDArray[np.float64], tau: NDArray[np.float64]) -> _Point:
    worth = block.reduced(prices)
    best = worth.max(axis=1)
    worth -= best[:, None]
    worth /= tau[:, None, None]
    shares = np.exp(worth, out=worth)
    total = shares.sum(axis=1)
    shares /= total[:, None]
    entropy = tau * block.total(np.log(total))
    value = block.total(best) + entropy + (prices * block.amount).sum(axis=1)
    usage, hessian = _moments(block, shares, tau)
    return _Point(value, block.amount - usage, hessian, entropy, shares)


def _moments(
    block: Block, shares: NDArray[np.float64], tau: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Usage of the limits (n_problems, n_limits) and its derivative by prices (n_problems, n_limits, n_limits)."""
    m = block.n_models
    limits = block.amount.shape[1]
    usage = np.zeros((len(shares), limits))
    hessian = np.zeros((len(shares), limits, limits))
    often = shares if block.count is None else shares * block.count
    spent = often * block.cost
    features = np.empty((len(shares), 1 + m, shares.shape[2]))
    np.sum(spent, axis=1, out=features[:, 0])
    features[:, 1:] = often[:, :-1]
    spread = np.arange(1, 1 + m)
    for effect, part in zip(block.effect, block.parts(), strict=True):
        x = features[:, :, part]
        each = x if block.count is None else x / block.count[part]
        used = x.sum(axis=2)
        second = -(x @ np.swapaxes(each, 1, 2))
        second[:, 0, 0] += np.einsum("pkn,pkn->p", spent[:, :, part], block.cost[:, :, part])
        mixed = spent[:, :-1, part].sum(axis=2)
        second[:, 0, 1:] += mixed
        second[:, 1:, 0] += mixed
        second[:, spread, spread] += used[:, 1:]
        usage += used @ effect
        hessian += effect.T @ second @ effect
    return usage, hessian / tau[:, None, None]


def _newton_step(
    block: Block, state: _State, point: _Point, at: NDArray[np.intp], step: NDArray[np.float64], workers: int
) -> None:
    """One damped, projected step for the problems ``at``; kept only where it lowers the smoothed dual."""
    if not len(at):
        return
    trial = state.prices[at] + step
    new = _evaluate(block.at(at), trial, state.tau[at], workers)
    better = new.value <= point.value[at] + 1e-14 * np.abs(point.value[at])
    state.damping[at] = np.where(better, np.maximum(state.damping[at] * 0.1, 1e-10), state.damping[at] * 10.0)
    state.steps[at] += 1
    state.prices[at[better]] = trial[better]
    point.take_over(new, at, better)


def _step(state: _State, point: _Point, at: NDArray[np.intp], damping: NDArray[np.float64]) -> NDArray[np.float64]:
    """Newton step on the prices that are not held at zero, and no further than to zero."""
    gradient, hessian = point.gradient[at], point.hessian[at].copy()
    held = (state.prices[at] <= 0) & (gradient >= 0)
    spread = np.arange(hessian.shape[1])
    diagonal = hessian[:, spread, spread]
    floor = 1e-3 * diagonal.mean(axis=1, keepdims=True) + 1e-12
    hessian[held] = 0.0
    np.swapaxes(hessian, 1, 2)[held] = 0.0
    hessian[:, spread, spread] += np.where(held, 1.0, damping[:, None] * (diagonal + floor) + 1e-9 * floor)
    solved = np.linalg.solve(hessian, np.where(held, 0.0, -gradient)[..., None])
    return np.maximum(state.prices[at] + solved[..., 0], 0.0) - state.prices[at]


def _cool(block: Block, state: _State, point: _Point, at: NDArray[np.intp], last_tau: float, workers: int) -> None:
    """Lower the smoothing of the problems ``at``, whose minimum is reached."""
    if not len(at):
        return
    state.tau[at] = np.maximum(state.tau[at] * COOLING, last_tau)
    state.damping[at] = FIRST_DAMPING
    state.steps[at] = 0
    point.take_over(_evaluate(block.at(at), state.prices[at], state.tau[at], workers), at)


def _foretold(point: _Point, at: NDArray[np.intp], step: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a step is foretold to gain: about how far each problem is from its smoothed minimum."""
    slope = (point.hessian[at] @ step[..., None])[..., 0]
    return np.abs(((point.gradient[at] + 0.5 * slope) * step).sum(axis=1))
