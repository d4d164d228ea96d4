"""The cost margin: how far realised spend runs over planned spend, so that budgets hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.state import State

SIZES = (50, 100, 200, 500, 1000, 2000)
"""Batch sizes, queries, at which the margin is calibrated, as far as there are queries."""
PROBABILITIES = (0.05, 0.01)
"""Accepted probabilities of overspending that are calibrated."""
RESAMPLES = 2000
"""Batches drawn for each plan and size."""
LEAST_PAIRS = 200
"""Selected pairs with a known answer that a calibration needs."""


@dataclass(frozen=True, slots=True, eq=False)
class CostMargin:
    """Quantiles of realised over planned spend.

    Plan with the budget divided by `factor`, and the budget is overspent with the accepted probability.

    Attributes
    ----------
    sizes : ndarray of int64, shape (n_sizes,), queries
        Ascending.
    factors : ndarray of float64, shape (len(PROBABILITIES), n_sizes)
    pairs : int
        Selected pairs the calibration rests on.
    basis : str
        In words, what was compared.
    """

    sizes: NDArray[np.int64]
    factors: NDArray[np.float64]
    pairs: int
    basis: str

    @property
    def k(self) -> float:
        """Factor for the largest batch calibrated — the night — at the first of `PROBABILITIES`."""
        return float(self.factors[0, -1])

    def factor(self, n_queries: int, probability: float = PROBABILITIES[0]) -> float:
        """Factor for a batch.

        Between calibrated sizes it is linear in 1/√n, as the error of a sum is; beyond the largest it stays. Below the
        smallest, what is above 1 grows as 1/√n.
        Between calibrated probabilities, the more cautious one counts.

        Parameters
        ----------
        n_queries : int
            Queries that share the budget.
        probability : float, in (0, 1)
            Accepted probability of overspending.
        """
        cautious = [i for i, p in enumerate(PROBABILITIES) if p <= probability]
        row = self.factors[cautious[0] if cautious else -1]
        size, smallest = max(n_queries, 1), int(self.sizes[0])
        if size < smallest and row[0] > 1:
            return float(1 + (row[0] - 1) * np.sqrt(smallest / size))
        # np.interp wants ascending abscissae: 1/√n falls with n.
        return float(np.interp(1 / np.sqrt(size), 1 / np.sqrt(self.sizes[::-1]), row[::-1]))

    def to_dict(self) -> dict[str, Any]:
        """The calibration as plain data."""
        return {
            "k": self.k,
            "sizes": self.sizes.tolist(),
            "factors": {str(p): row.tolist() for p, row in zip(PROBABILITIES, self.factors, strict=True)},
            "pairs": self.pairs,
            "basis": self.basis,
        }

    def state(self) -> State:
        """Arrays and parameters."""
        return State({"pairs": self.pairs, "basis": self.basis}, {"sizes": self.sizes, "factors": self.factors})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The margin that `state` described."""
        return cls(state.arrays["sizes"], state.arrays["factors"], state.meta["pairs"], state.meta["basis"])


UNCALIBRATED = CostMargin(
    np.array([1]), np.ones((len(PROBABILITIES), 1)), 0, "nothing to calibrate on; planned as predicted"
)


def calibrate_margin(
    spends: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], seed: int, basis: str = "chosen answers"
) -> CostMargin:
    """Quantiles of realised / planned spend over batches resampled from production.

    A batch is a run of consecutive queries, as production would cut it; once a batch is larger than a quarter of
    what there is, it is put together from shorter runs.

    Parameters
    ----------
    spends : sequence of (planned, realised)
        Of each plan, the cost of its chosen pairs in the order of production, USD, out of fold: a solver picks
        underestimates, so only chosen pairs tell.
    seed : int
    basis : str
        What was compared, in words.
    """
    known = [(planned, realised) for planned, realised in spends if len(planned) >= LEAST_PAIRS]
    if not known:
        return UNCALIBRATED
    most = max(len(p) for p, _ in known)
    sizes = np.array([size for size in (*SIZES, most) if size <= most])
    rng = np.random.default_rng(seed)
    factors = np.stack([_quantiles(known, int(size), rng) for size in np.unique(sizes)], axis=1)
    return CostMargin(np.unique(sizes), factors, most, basis)


def _quantiles(
    plans: list[tuple[NDArray[np.float64], NDArray[np.float64]]], size: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Quantiles of the ratio over batches of ``size`` queries, of the plan where they are largest.

    Pooling the plans would let a budget that is easy to hold make up for one that is not.
    """
    each = [_quantiles_of(planned, realised, size, rng) for planned, realised in plans]
    return np.asarray(np.max(each, axis=0), np.float64)


def _quantiles_of(
    planned: NDArray[np.float64], realised: NDArray[np.float64], size: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    run = min(size, max(len(planned) // 4, 1))
    starts = rng.integers(0, len(planned) - run + 1, (RESAMPLES, -(-size // run)))
    sums = [np.concatenate([[0.0], np.cumsum(spend)]) for spend in (realised, planned)]
    spent, meant = ((total[starts + run] - total[starts]).sum(axis=1) for total in sums)
    if not (meant > 0).any():
        return np.ones(len(PROBABILITIES))
    ratios = spent[meant > 0] / meant[meant > 0]
    return np.asarray(np.quantile(ratios, [1 - p for p in PROBABILITIES], method="higher"), np.float64)
