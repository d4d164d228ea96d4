"""From a forecast to demand scenarios, and from scenarios to weights on a sample of real queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

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
RAKES = 30
"""Rounds in which weights are drawn to both mixes; they settle in fewer unless the mixes contradict each other."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """A second mix that a sample is to show, such as clusters of prompts.

    Attributes
    ----------
    of : ndarray of int, shape (n_queries,), in [0, n_groups)
        Group of each sampled query.
    expected : ndarray of shape (n_groups,), queries
    """

    of: NDArray[np.intp]
    expected: Floats


def rake(weight: Floats, tasks: Sequence[str], grouping: Grouping) -> Floats:
    """Draw weights towards a second mix, each task's total kept (Deming & Stephan, Ann. Math. Stat. 11(4), 1940).

    Parameters
    ----------
    weight : ndarray of shape (n_scenarios, n_queries)
        As :func:`represent` makes them.
    tasks : sequence of str, length n_queries
    grouping : Grouping
        Its mix holds in every scenario, at that scenario's volume. A group without a sampled query is left out.

    Returns
    -------
    weight : ndarray of shape (n_scenarios, n_queries)
        Each scenario's volume, and each task's part in it, as before.
    """
    group = _membership(grouping.of, np.arange(len(grouping.expected)))
    task = _membership(np.asarray(tasks, dtype=object), sorted(set(tasks)))
    wanted = grouping.expected * (group.sum(axis=1) > 0)
    if not wanted.sum() > 0:
        return weight
    of_task = weight @ task.T
    of_group = weight.sum(axis=1, keepdims=True) * (wanted / wanted.sum())
    for _ in range(RAKES):
        weight = weight * (_ratio(of_group, weight @ group.T) @ group)
        weight = weight * (_ratio(of_task, weight @ task.T) @ task)
    return _kept(weight, of_task @ task, task)


def as_batches(
    demand: Scenarios, weight: Floats, batches: int, draws: int, seed: int
) -> tuple[tuple[str, ...], Floats, Floats]:
    """Scenarios of nights that come in batches, each of which must fit the fleet by itself.

    A random batch stands for all of its night: its queries count ``batches`` times, so that the night's capacity
    and budget, which are those of a batch times ``batches``, hold for the batch.

    Parameters
    ----------
    demand : Scenarios
    weight : ndarray of shape (n_scenarios, n_queries)
    batches : int, at least 1
    draws : int, at least 1
        Batches drawn of each scenario.
    seed : int

    Returns
    -------
    names : tuple of str, length n_scenarios · draws
    probability : ndarray of shape (n_scenarios · draws,)
    weight : ndarray of shape (n_scenarios · draws, n_queries)
        Rows sum to the scenario's volume.
    """
    rng = np.random.default_rng(seed)
    drawn = [_drawn(rng, row, batches, draws) for row in weight]
    names = tuple(f"{name}, batch {k + 1}" for name in demand.names for k in range(draws))
    return names, np.repeat(demand.weight / draws, draws), np.concatenate(drawn)


def _drawn(rng: np.random.Generator, weight: Floats, batches: int, draws: int) -> Floats:
    total = float(weight.sum())
    if not total > 0:
        return np.zeros((draws, len(weight)))
    size = max(1, round(total / batches))
    return np.asarray(rng.multinomial(size, weight / total, draws) * (total / size))


def _membership(of: NDArray[Any], groups: Iterable[Any]) -> Floats:
    """Who belongs to which group: ndarray of shape (n_groups, n_queries), 0 or 1."""
    return np.array([of == group for group in groups], dtype=np.float64).reshape(-1, len(of))


def _ratio(wanted: Floats, got: Floats) -> Floats:
    return np.divide(wanted, got, out=np.ones_like(wanted), where=got > 0)


def _kept(weight: Floats, of_task: Floats, task: Floats) -> Floats:
    """The weights, but a task that raking left without any is spread evenly again."""
    lost = (weight @ task.T @ task <= 0) & (of_task > 0)
    return np.where(lost, of_task / np.maximum(task.sum(axis=1) @ task, 1.0), weight)


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
