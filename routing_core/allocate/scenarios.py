"""From a forecast to demand scenarios, and from scenarios to weights on a sample of real queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_core.allocate.forecast import MixForecast
from routing_core.allocate.history import Floats
from routing_core.errors import ProblemError

OUTER = 0.3
"""Weight of the low and of the high scenario: 30–40–30 on the 10, 50 and 90 % quantiles keeps a distribution's mean
and spread (Keefer & Bodily, Management Science 29(5), 1983, after Swanson)."""
NORMAL_80 = 1.2816
"""Half-width of a normal 80 % interval, in standard deviations."""


@dataclass(frozen=True, slots=True, eq=False)
class Scenarios:
    """What a day may bring.

    Attributes
    ----------
    names : tuple of str, length n_scenarios
    weight : ndarray of shape (n_scenarios,), sums to 1
    tasks : tuple of str
    counts : ndarray of shape (n_scenarios, n_tasks), queries
    """

    names: tuple[str, ...]
    weight: Floats
    tasks: tuple[str, ...]
    counts: Floats


def scenarios(prediction: MixForecast, n: int, seed: int) -> Scenarios:
    """Spread a forecast into scenarios.

    Parameters
    ----------
    prediction : MixForecast
    n : int, at least 1
        1 is the expectation; 2 adds the high volume; from 3 on low and high volume, and from the 4th on
        random mixes of the expected volume, drawn from the tasks' intervals.
    seed : int
        Of the random mixes.

    Raises
    ------
    ProblemError
        If ``n`` is below 1.
    """
    if n < 1:
        raise ProblemError(f"scenarios: n must be at least 1, got {n}")
    expected, low, high = prediction.total
    volumes = {"expected": expected, "high": high, "low": low}
    names = tuple(volumes)[:n]
    rows = [_of_volume(prediction.expected, volumes[name]) for name in names]
    mixes = n - len(names)
    rows += _mixes(prediction, mixes, seed)
    middle = 1.0 - OUTER * (len(names) - 1)
    weight = [middle / (1 + mixes), *[OUTER] * (len(names) - 1), *[middle / (1 + mixes)] * mixes]
    mixed = tuple(f"mix {k + 1}" for k in range(mixes))
    return Scenarios((*names, *mixed), np.array(weight), prediction.tasks, np.array(rows))


def draw_sample(tasks: Sequence[str], counts: Floats, known: Sequence[str], size: int, seed: int) -> NDArray[np.intp]:
    """Draw queries that stand for the demand, stratified by task.

    Parameters
    ----------
    tasks : sequence of str, length n_queries
        Task of each real query there is to draw from.
    counts : ndarray of shape (n_tasks,)
        Expected queries of each of the ``known`` tasks.
    known : sequence of str, length n_tasks
    size : int, at least 1
        Queries wanted; every task that is expected and present gets at least one.
    seed : int

    Returns
    -------
    rows : ndarray of int, ascending, at most max(size, n_tasks) long
    """
    rng = np.random.default_rng(seed)
    task = np.asarray(tasks, dtype=object)
    share = np.asarray(counts, dtype=np.float64) / max(float(np.sum(counts)), 1e-12)
    drawn = [np.empty(0, dtype=np.intp)]
    for name, part in zip(known, share, strict=True):
        there = np.flatnonzero(task == name)
        wanted = min(len(there), max(1, round(size * part))) if part > 0 else 0
        drawn.append(rng.choice(there, wanted, replace=False) if wanted else there[:0])
    return np.sort(np.concatenate(drawn))


def represent(demand: Scenarios, tasks: Sequence[str]) -> Floats:
    """Real queries that each sampled query stands for.

    Parameters
    ----------
    demand : Scenarios
    tasks : sequence of str, length n_queries
        Task of each sampled query.

    Returns
    -------
    weight : ndarray of shape (n_scenarios, n_queries)
        Rows sum to the scenario's volume. Tasks that no sampled query has are stood for by all of them alike.
    """
    task = np.asarray(tasks, dtype=object)
    member = np.array([task == name for name in demand.tasks], dtype=np.float64).reshape(len(demand.tasks), len(task))
    size = member.sum(axis=1)
    per_query = np.divide(demand.counts, size, out=np.zeros_like(demand.counts), where=size > 0)
    orphaned = demand.counts[:, size == 0].sum(axis=1, keepdims=True)
    return np.asarray(per_query @ member + orphaned / max(len(task), 1))


def _of_volume(expected: Floats, volume: float) -> Floats:
    total = expected.sum()
    return expected * (volume / total) if total > 0 else expected * 0.0


def _mixes(prediction: MixForecast, n: int, seed: int) -> list[Floats]:
    """Random mixes of the expected volume: each task log-normal, as wide as its interval."""
    rng = np.random.default_rng(seed)
    width = (prediction.upper - prediction.lower) / 2
    relative = np.divide(width, prediction.expected, out=np.zeros_like(width), where=prediction.expected > 0)
    sigma = np.log1p(relative) / NORMAL_80
    draws = prediction.expected * np.exp(rng.normal(size=(n, len(prediction.tasks))) * sigma)
    return [_of_volume(draw, prediction.total[0]) for draw in draws]
