"""Prices of a few queries: the descent of :mod:`~routing_core.route.prices` for one problem in plain matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv

from routing_core.route.few.matrices import Few
from routing_core.route.prices import COOLING, FIRST_DAMPING, FIRST_TAU, LAST_TAU, SETTLED, STEPS_PER_TAU

NEGLIGIBLE = 1e-30
"""Share taken as none: numbers too small for float64's full precision take many times as long to multiply."""


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """The smoothed dual at ``prices``.

    Attributes
    ----------
    prices : ndarray of float64, shape (n_limits,)
    bound : float, quality units
        The dual without smoothing.
    loss : float, quality units
        What smoothing adds to it.
    shares : ndarray of float64, shape (n_options, n_queries), in [0, 1]
        Weights of the options in the smoothed maximum.
    gradient : ndarray of float64, shape (n_limits,)
    hessian : ndarray of float64, shape (n_limits, n_limits)
    """

    prices: NDArray[np.float64]
    bound: float
    loss: float
    shares: NDArray[np.float64]
    gradient: NDArray[np.float64]
    hessian: NDArray[np.float64]

    @classmethod
    def at(cls, few: Few, prices: NDArray[np.float64], tau: float) -> Point:
        """Evaluate it."""
        shares = few.reduced(prices)
        best = shares.max(axis=0)
        shares -= best
        shares *= 1.0 / tau
        np.exp(shares, out=shares)
        shares[shares < NEGLIGIBLE] = 0.0
        total = shares.sum(axis=0)
        shares /= total
        usage, hessian = _moments(few, shares)
        return cls(
            prices,
            float(best.sum() + prices @ few.amount),
            tau * float(np.log(total).sum()),
            shares,
            few.amount - usage,
            hessian / tau,
        )

    @property
    def smoothed(self) -> float:
        """Value of the smoothed dual."""
        return self.bound + self.loss


def _moments(few: Few, shares: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Usage of the limits and, but for the smoothing, its derivative by prices."""
    money = few.money
    features = np.empty((len(few.amount), shares.shape[1]))
    features[money:] = shares[few.models]
    if money:
        spent = shares * few.cost
        features[0] = spent.sum(axis=0)
    usage = features.sum(axis=1)
    second = -(features @ features.T)
    second.flat[:: len(usage) + 1] += usage
    if money:
        mixed = spent.sum(axis=1)[few.models]
        second[0, 0] += np.vdot(spent, few.cost) - usage[0]
        second[0, 1:] += mixed
        second[1:, 0] += mixed
    return usage, second


class Descent:
    """Minimises the dual as :func:`~routing_core.route.prices.descend` does, as far as is asked, and on from there.

    Attributes
    ----------
    point : Point
    tau : float, quality units
        Its smoothing.
    passes : int
        Evaluations so far.
    """

    def __init__(self, few: Few) -> None:
        self._few = few
        self._damping, self._steps = FIRST_DAMPING, 0
        self.tau, self.passes = FIRST_TAU, 0
        self.point = self._at(np.zeros(len(few.amount)))

    def _at(self, prices: NDArray[np.float64]) -> Point:
        self.passes += 1
        return Point.at(self._few, prices, self.tau)

    def until(self, tolerance: float, max_passes: int) -> None:
        """Descend until smoothing costs no more than ``tolerance``, quality units, or passes run out."""
        while self.passes < max_passes and len(self.point.prices):
            point = self.point
            step = _step(point, self._damping)
            excess, near = _foretold(point, step), SETTLED * max(point.loss, tolerance)
            if excess <= near:  # damping makes a minimum look nearer than it is
                excess = _foretold(point, _step(point, 0.0))
            if excess > near and self._steps < STEPS_PER_TAU:
                self._walk(step)
            elif point.loss + excess <= tolerance or self.tau <= LAST_TAU:
                return
            else:
                self._cool()

    def _walk(self, step: NDArray[np.float64]) -> None:
        """Take a step if it lowers the smoothed dual."""
        trial = self._at(self.point.prices + step)
        self._steps += 1
        if trial.smoothed <= self.point.smoothed + 1e-14 * abs(self.point.smoothed):
            self.point, self._damping = trial, max(self._damping * 0.1, 1e-10)
        else:
            self._damping *= 10.0

    def _cool(self) -> None:
        self.tau = max(self.tau * COOLING, LAST_TAU)
        self._damping, self._steps = FIRST_DAMPING, 0
        self.point = self._at(self.point.prices)


def _step(point: Point, damping: float) -> NDArray[np.float64]:
    """Newton step on the prices that are not held at zero, and no further than to zero."""
    prices, gradient, hessian = point.prices, point.gradient, point.hessian.copy()
    held = (prices <= 0) & (gradient >= 0)
    diagonal = hessian.diagonal()
    floor = 1e-3 * float(diagonal.sum()) / len(diagonal) + 1e-12
    added = damping * (diagonal + floor) + 1e-9 * floor
    wanted = -gradient
    if held.any():
        hessian[held] = 0.0
        hessian[:, held] = 0.0
        added[held] = 1.0
        wanted[held] = 0.0
    hessian.flat[:: len(prices) + 1] += added
    _, solved, failed = dposv(hessian, wanted)
    if failed:
        solved = wanted / hessian.diagonal()
    step: NDArray[np.float64] = np.maximum(prices + solved, 0.0) - prices
    return step


def _foretold(point: Point, step: NDArray[np.float64]) -> float:
    """What a step is foretold to gain."""
    return abs(float((point.gradient + 0.5 * (point.hessian @ step)) @ step))
