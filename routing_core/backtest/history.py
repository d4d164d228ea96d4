"""An outcome history as queries × models: the public wide format, or files under the outcomes contract."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from routing_core.errors import ContractError
from routing_core.predict.cost import implied_prices
from routing_core.predict.labels import Labels, tabulate
from routing_core.predict.recipe import DEFAULT
from routing_core.records.outcomes import Outcomes
from routing_core.store.parquet import partition_dates, read_outcome_file, read_outcomes
from routing_core.workload.wide import Wide, is_long, read_wide

UNIT = 1e-9
"""A wide file has costs and no tokens: costs are learnt as if every nano-dollar were an output token."""
DRAWN_DAYS = 14
"""Days that the queries of a file without days are dealt over."""


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Queries, what was observed of their answers, and how much of it was known when.

    Attributes
    ----------
    labels : Labels
    paid : ndarray of float64, shape (n_queries, n_models), USD, NaN where the model was not seen
    dated : bool
        Whether the days are the log's own; drawn at random otherwise.
    outcomes : Outcomes or None
        The log itself; None where the file has list prices of its own.
    rejected : int
        Rows of the file that are not used.
    left_out : tuple of str
        Models of the file that are not used, as too few rows have a score of theirs.
    """

    labels: Labels
    paid: NDArray[np.float64]
    dated: bool
    outcomes: Outcomes | None
    rejected: int
    left_out: tuple[str, ...] = ()

    def prices(self, before: np.datetime64 | None = None) -> NDArray[np.float64]:
        """Prices billed by outcomes logged before a time: ndarray, shape (n_models, 2), USD per token of (in, out)."""
        if self.outcomes is None:
            return np.tile([0.0, UNIT], (len(self.labels.models), 1))
        known = self.outcomes if before is None else self.outcomes.take(self.outcomes.logged_at < before)
        return implied_prices(known, self.labels.models)


def read_history(path: Path) -> History:
    """Read outcomes of either kind.

    Parameters
    ----------
    path : Path
        A file in the wide format (Parquet or CSV); or, under the outcomes contract, a root of ``dt=*`` partitions, one
        partition, a file in one, or a Parquet file anywhere.

    Raises
    ------
    ContractError
        If the file breaks its contract, or there is no outcome in it.
    """
    if path.is_dir() or is_long(path):
        return _from_outcomes(path)
    return _from_wide(path)


def _from_wide(path: Path) -> History:
    """The rows and models of which every score is there; days are drawn, since the format has none."""
    found, cleaning = read_wide(path)
    rows, columns = _complete(~np.isnan(found.score))
    wide = found.only(columns).take(rows)
    if not len(wide):
        raise ContractError(f"{path}: no row has a usable score and cost, {cleaning.rows} rows read")
    n, m = wide.score.shape
    day = np.random.default_rng(0).permutation(n) * DRAWN_DAYS // n
    labels = Labels(
        models=wide.models,
        prompt=list(wide.prompt),
        task=wide.task,
        input_tokens=_lengths(wide),
        logged_at=(np.datetime64("2026-01-01", "D") + day).astype("datetime64[us]"),
        quality=wide.score.astype(np.float32),
        output_tokens=(wide.cost_usd / UNIT).astype(np.float32),
        weight=np.ones((n, m), np.float32),
        propensity=np.ones((n, m), np.float32),
        embedding=None,
        ignored=0,
        effective=np.full(m, float(n)),
    )
    left_out = tuple(name for name in found.models if name not in wide.models)
    return History(labels, wide.cost_usd, False, None, cleaning.rows - n, left_out)


def _complete(known: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns without a gap, as many cells as can be had by leaving out the columns with the most gaps."""
    by_gaps = np.argsort((~known).sum(axis=0), kind="stable")
    whole = np.logical_and.accumulate(known[:, by_gaps], axis=1)
    most = int((whole.sum(axis=0) * np.arange(1, len(by_gaps) + 1)).argmax()) + 1
    return np.flatnonzero(whole[:, most - 1]), np.sort(by_gaps[:most])


def _lengths(wide: Wide) -> NDArray[np.float64]:
    return wide.input_tokens.astype(np.float64)


def _from_outcomes(path: Path) -> History:
    outcomes, rejected = _read_outcomes(path)
    if not len(outcomes):
        raise ContractError(f"{path}: no usable outcome, {len(rejected)} rows set aside")
    models = tuple(sorted(set(outcomes.model)))
    labels = _tabulate(outcomes, models)
    return History(labels, _paid(outcomes, labels), dated=True, outcomes=outcomes, rejected=len(rejected))


def _read_outcomes(path: Path) -> tuple[Outcomes, tuple[object, ...]]:
    partition = path if path.name.startswith("dt=") else path.parent if path.parent.name.startswith("dt=") else None
    if partition is not None:
        return read_outcomes(str(partition.parent), [_day(partition)])
    if path.is_file():
        return read_outcome_file(path)
    return read_outcomes(str(path), partition_dates(str(path)))


def _day(partition: Path) -> date:
    try:
        return date.fromisoformat(partition.name[3:])
    except ValueError as error:
        raise ContractError(f"{partition}: a partition must be named dt=YYYY-MM-DD, is {partition.name!r}") from error


def _paid(outcomes: Outcomes, labels: Labels) -> NDArray[np.float64]:
    """What each answer of the labels cost, taken from the log by the same rule as the labels themselves."""
    spent = replace(outcomes, output_tokens=np.round(outcomes.cost_usd / UNIT).astype(np.int64))
    return np.asarray(_tabulate(spent, labels.models).output_tokens, np.float64) * UNIT


def _tabulate(outcomes: Outcomes, models: tuple[str, ...]) -> Labels:
    return tabulate(
        outcomes,
        models,
        half_life_days=DEFAULT.half_life_days,
        max_importance=DEFAULT.max_importance,
        embedding=outcomes.embedding,
    )
