"""How a plan turned out: spend, quality, the winner's curse and calibration, by model and by task family."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
"""Bins of predicted quality, of equal width, in which calibration is looked at."""

Cube = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Outturn:
    """Sums over cells of model × task; the last index of each axis is all of them together.

    Attributes
    ----------
    assigned, settled, late, by_other, corrected : ndarray, shape (n_models + 1, n_tasks + 1), queries
        Late are settled on a later day than the plan was executed; ``by_other`` were answered by another model
        alone; ``corrected`` had outcomes that differ.
    planned_spend, actual_spend : ndarray, shape (n_models + 1, n_tasks + 1), USD
        Of the settled and of those answered by another model alone.
    predicted, realised : ndarray, shape (n_models + 1, n_tasks + 1)
        Mean quality of the settled, NaN of none.
    optimism, optimism_stderr : ndarray, shape (n_models + 1, n_tasks + 1)
        Mean of predicted less realised and its standard error: what choosing the best-looking estimates costs.
    bins : ndarray, shape (3, n_models + 1, n_tasks + 1, BINS)
        Settled queries, and sums of their predicted and realised quality, by bin of predicted quality.
    """

    assigned: Cube
    settled: Cube
    late: Cube
    by_other: Cube
    corrected: Cube
    planned_spend: Cube
    actual_spend: Cube
    predicted: Cube
    realised: Cube
    optimism: Cube
    optimism_stderr: Cube
    bins: Cube

    @property
    def calibration_error(self) -> Cube:
        """Expected calibration error of each cell: the mean over bins of |predicted − realised|, NaN of none."""
        count, predicted, realised = self.bins
        return _per(np.abs(predicted - realised).sum(axis=-1), count.sum(axis=-1))


def outturn(
    cell: tuple[NDArray[np.int32], NDArray[np.int32]],
    shape: tuple[int, int],
    predicted: NDArray[np.float64],
    realised: NDArray[np.float64],
    planned_cost: NDArray[np.float64],
    actual_cost: NDArray[np.float64],
    other_cost: NDArray[np.float64],
    *,
    late: NDArray[np.bool_],
    by_other: NDArray[np.bool_],
    corrected: NDArray[np.bool_],
) -> Outturn:
    """Add up what is known of a plan.

    Parameters
    ----------
    cell : (model, task), each ndarray of int32, shape (n_assigned,)
    shape : (n_models, n_tasks)
    predicted, realised : ndarray of float64, shape (n_assigned,), in [0, 1]
        Quality; ``realised`` is NaN where nothing is known yet.
    planned_cost, actual_cost, other_cost : ndarray of float64, shape (n_assigned,), USD
        As planned, of the assigned model and of others; the last counts where the assigned model did not answer.
    late, by_other, corrected : ndarray of bool, shape (n_assigned,)
    """
    known = ~np.isnan(realised)

    def total(values: NDArray[np.float64] | NDArray[np.bool_]) -> Cube:
        at = cell[0].astype(np.int64) * shape[1] + cell[1]
        return _with_margins(np.bincount(at, values, shape[0] * shape[1]).astype(np.float64).reshape(shape))

    def of_known(values: NDArray[np.float64]) -> Cube:
        return total(np.where(known, values, 0.0))

    count = total(known)
    paid = known | by_other
    error = predicted - realised
    mean = _per(of_known(error), count)
    spread = np.maximum(_per(of_known(error**2), count) - mean**2, 0.0)
    return Outturn(
        assigned=total(np.ones(len(known))),
        settled=count,
        late=total(known & late),
        by_other=total(by_other & ~known),
        corrected=total(corrected),
        planned_spend=total(np.where(paid, planned_cost, 0.0)),
        actual_spend=of_known(actual_cost) + total(np.where(paid & ~known, other_cost, 0.0)),
        predicted=_per(of_known(predicted), count),
        realised=_per(of_known(realised), count),
        optimism=mean,
        optimism_stderr=np.sqrt(_per(spread, np.where(count > 1, count - 1, 0))),
        bins=_bins(cell, shape, predicted, realised, known),
    )


def _bins(
    cell: tuple[NDArray[np.int32], NDArray[np.int32]],
    shape: tuple[int, int],
    predicted: NDArray[np.float64],
    realised: NDArray[np.float64],
    known: NDArray[np.bool_],
) -> Cube:
    # A step above the edge, so that 0.3 kept as float32 falls where 0.3 belongs.
    which = np.minimum((predicted * BINS + 1e-6).astype(np.int64), BINS - 1)
    at = ((cell[0].astype(np.int64) * shape[1] + cell[1]) * BINS + which)[known]
    sums = [
        np.bincount(at, w, shape[0] * shape[1] * BINS) for w in (np.ones(len(at)), predicted[known], realised[known])
    ]
    return np.stack([_with_margins(one.astype(np.float64).reshape(*shape, BINS)) for one in sums])


def _with_margins(cells: Cube) -> Cube:
    """Cells with their sums appended along the first two axes."""
    rows = np.concatenate([cells, cells.sum(axis=0, keepdims=True)])
    return np.concatenate([rows, rows.sum(axis=1, keepdims=True)], axis=1)


def _per(total: Cube, count: Cube) -> Cube:
    """The quotient, NaN where nothing is counted."""
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
