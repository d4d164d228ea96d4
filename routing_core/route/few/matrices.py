"""A few queries by themselves, in plain matrices: without stacks or groups, and with as few calls as they need.

The mathematics is that of a night. There it is the rows that take time; with a hundred of them it is the calls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_core.route.rows import Rows


@dataclass(frozen=True, slots=True, eq=False)
class Few:
    """Queries that all feel the same prices, ``n_options = n_models + 1``, the last is deferral.

    Attributes
    ----------
    value : ndarray of float64, shape (n_options, n_queries), quality units
        Minus infinity where the model is not eligible; minus the penalty for deferral.
    cost : ndarray of float64, shape (n_options, n_queries), in units of ``unit``
    unit : float, USD
        What an answer costs on average, so that prices of money and of capacity are alike.
    amount : ndarray of float64, shape (n_limits,)
        The budget in units of ``unit``, if it is a limit, then queries.
    models : ndarray of intp, shape (n_limits,) or (n_limits - 1,)
        Whose capacity each limit is on, the budget's left out.
    effect : ndarray of float64, shape (1, 1 + n_models, n_limits)
        As in :class:`~routing_core.route.coupling.Coupling`.
    """

    value: NDArray[np.float64]
    cost: NDArray[np.float64]
    unit: float
    amount: NDArray[np.float64]
    models: NDArray[np.intp]
    effect: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Rows) -> Few:
        """All rows, which must be of one group."""
        value, cost = rows.options(slice(None))
        coupling = rows.coupling
        amount, money = coupling.amount.copy(), int(coupling.is_money.sum())
        unit = float(cost.sum()) / max(int(np.count_nonzero(cost)), 1) or 1.0
        amount[:money] /= unit
        cost /= unit
        models = np.array([limit.index for limit in coupling.limits[money:]], dtype=np.intp)
        return cls(value, cost, unit, amount, models, coupling.effect)

    @property
    def money(self) -> int:
        """1 where the budget is a limit, else 0: the place of the first capacity."""
        return len(self.amount) - len(self.models)

    @property
    def served(self) -> float:
        """What the best answers to all queries are worth, deferral being worth nothing."""
        return float((self.value.max(axis=0) - self.value[-1]).sum())

    def in_usd(self, prices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Prices in the problem's units."""
        prices = prices.copy()
        prices[: self.money] /= self.unit
        return prices

    def reduced(self, prices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values less prices: shape of ``value``."""
        worth = self.cost * -prices[0] if self.money else np.zeros_like(self.cost)
        worth += self.value
        worth[self.models] -= prices[self.money :, None]
        return worth
