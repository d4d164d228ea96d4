"""What a predictor says of queries, in the catalog's terms: its models are found by name, never by position."""

from __future__ import annotations

from datetime import date

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.predictor import Predictor
from routing_core.records.catalog import Catalog
from routing_core.records.estimates import Estimates
from routing_core.records.queries import Queries


def estimates_for(
    predictor: Predictor,
    queries: Queries,
    catalog: Catalog,
    day: date,
    robust_level: float | None,
    *,
    careful: bool = False,
) -> tuple[Estimates, NDArray[np.bool_]]:
    """Estimate queries on every model of the catalog.

    Parameters
    ----------
    predictor : Predictor
        May know other models than the catalog has.
    queries : Queries
    catalog : Catalog
    day : date
        Day of execution, whose prices count.
    robust_level : float or None
        Quantile of the lower estimates; None takes what the predictor chose by evidence.
    careful : bool
        Whether to add the lower estimates of a night of strangers.

    Returns
    -------
    estimates : Estimates
        Columns in the catalog's order; zeros for a model the predictor does not know.
    known : ndarray of bool, shape (n_models,)
        Models it knows: only they can be planned with, until the next retraining learns of the others.
    """
    by_name = dict(zip(catalog.names, catalog.prices_on(day), strict=True))
    prices = np.array([by_name.get(name, np.zeros(2)) for name in predictor.models])
    found = predictor.estimate(queries, prices, level=robust_level, careful=careful)
    if predictor.models == catalog.names:
        return found, np.ones(len(catalog), dtype=bool)
    position = {name: j for j, name in enumerate(predictor.models)}
    column = np.array([position.get(name, -1) for name in catalog.names])
    matrices = {name: _columns(getattr(found, name), column) for name in _MATRICES if getattr(found, name) is not None}
    return Estimates(catalog.names, **matrices, unfamiliar=found.unfamiliar), column >= 0


_MATRICES = ("mean_quality", "lower_quality", "cost_usd", "careful_quality")


def _columns(of_predictor: NDArray[np.float32], column: NDArray[np.int64]) -> NDArray[np.float32]:
    matrix = np.zeros((len(of_predictor), len(column)), dtype=np.float32)
    matrix[:, column >= 0] = of_predictor[:, column[column >= 0]]
    return matrix
