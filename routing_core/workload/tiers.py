"""A fleet for any table of outcomes: what an instance of each of its models takes, and how much it serves.

The paper's tiers are 8, 4, 2 and 1 GPUs at a concurrency of 1–16. Open models carry their size in their names; models
without one answer behind an API. A table in which no name has a size is divided by cost instead: the cheaper half of
the models is taken to be open, larger the dearer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

import numpy as np
from numpy.typing import NDArray

from routing_core.records.catalog import Catalog, Model, Price, Serving

TIERS = ((60.0, 8, 16), (20.0, 4, 8), (10.0, 2, 4), (0.0, 1, 1))
"""From how many billion parameters on: GPUs and concurrency of an instance."""
GPU_TYPE = "gpu"
_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)b(?![a-z0-9])")
_PRICES = (Price(date(2024, 1, 1), 0.0, 0.0),)


def fleet_catalog(models: tuple[str, ...], cost: NDArray[np.float64]) -> Catalog:
    """The models of a table as a catalog, in their order.

    Parameters
    ----------
    models : tuple of str
    cost : ndarray of float64, shape (n_queries, n_models), USD
    """
    sizes = {name: size for name in models if (size := parameters_in(name)) is not None}
    tiers = {name: _by_size(size) for name, size in sizes.items()} or _by_cost(models, cost.mean(axis=0))
    return Catalog(tuple(_model(name, tiers) for name in models))


def parameters_in(name: str) -> float | None:
    """Parameters that a model's name tells, in billions: 70 of ``llama-2-70b``, 56 of ``mixtral-8x7b``."""
    found = _SIZE.search(name.lower())
    return None if found is None else float(found[1] or 1) * float(found[2])


def _by_size(billions: float) -> tuple[int, int]:
    return next((gpus, concurrency) for least, gpus, concurrency in TIERS if billions >= least)


def _by_cost(models: tuple[str, ...], mean: NDArray[np.float64]) -> dict[str, tuple[int, int]]:
    """The cheaper half of the models, one of the tiers each in turn, the cheapest the smallest."""
    cheap = np.argsort(mean, kind="stable")[: (len(models) + 1) // 2]
    tier = np.arange(len(cheap)) * len(TIERS) // max(len(cheap), 1)
    return {models[j]: TIERS[len(TIERS) - 1 - k][1:] for j, k in zip(cheap, tier, strict=True)}


def _model(name: str, tiers: Mapping[str, tuple[int, int]]) -> Model:
    if name not in tiers:
        return Model(name, Serving.API, _PRICES, context_window=8192)
    return Model(name, Serving.SELF_HOSTED, _PRICES, 8192, GPU_TYPE, *tiers[name])
