"""From queries and estimates to the terms of the problem: who may answer, what waiting costs, until when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from routing_core.records.catalog import Catalog, Model, Serving
from routing_core.records.estimates import Estimates
from routing_core.records.queries import Queries

EXPIRED = 0
"""Last batch of a query whose deadline is before the night's work can begin."""


@dataclass(frozen=True, slots=True)
class Patience:
    """What leaving a query to the next night is held to cost.

    Attributes
    ----------
    quality : float
        Penalty of an ordinary query, quality units, at least 0.
    growth : float
        Share by which it grows with each night waited, at least 0.
    urgency : float
        Factor for a query whose deadline leaves no other night, at least 1.
    """

    quality: float
    growth: float
    urgency: float


@dataclass(frozen=True, slots=True)
class Night:
    """When the plan is executed.

    Attributes
    ----------
    begins : date
        Midnight UTC of this day is when the first batch starts.
    batches : int
    batch_minutes : float
    """

    begins: date
    batches: int
    batch_minutes: float


def eligibility(queries: Queries, estimates: Estimates, catalog: Catalog) -> NDArray[np.bool_]:
    """Which models may take which queries.

    A model is ruled out by its context window, the query's lists and required tags, the query's cost
    cap (against expected cost) and its least quality (against expected quality).

    Returns
    -------
    ndarray of bool, shape (n_queries, n_models)
    """
    windows = np.array([model.context_window for model in catalog])
    eligible: NDArray[np.bool_] = queries.input_tokens[:, None] < windows
    eligible &= estimates.cost_usd <= queries.max_cost_usd[:, None]
    eligible &= estimates.mean_quality >= queries.min_quality[:, None]
    models = tuple(catalog)
    _restrict(eligible, queries.allowed_models, lambda names: [model.name in names for model in models])
    _restrict(eligible, queries.denied_models, lambda names: [model.name not in names for model in models])
    _restrict(eligible, queries.required_tags, lambda tags: [model.tags.issuperset(tags) for model in models])
    return eligible


def why_none(queries: Queries, estimates: Estimates, catalog: Catalog, row: int) -> str:
    """Why no model may take the query at ``row``: the rules that rule models out, and the values seen."""
    tokens, cap, least = queries.input_tokens[row], queries.max_cost_usd[row], queries.min_quality[row]
    allowed, denied, tags = queries.allowed_models[row], queries.denied_models[row], queries.required_tags[row]
    widest = max(model.context_window for model in catalog)
    cheapest, best = estimates.cost_usd[row].min(), estimates.mean_quality[row].max()
    rules = {
        f"input_tokens is {tokens}, the widest context window {widest}": tokens >= widest,
        f"max_cost_usd is {cap:g}, the cheapest model is expected to cost {cheapest:g}": cheapest > cap,
        f"min_quality is {least:g}, the best model is expected to reach {best:.3g}": best < least,
        f"allowed_models is {_shown(allowed)}": bool(allowed),
        f"denied_models is {_shown(denied)}": bool(denied),
        f"required_tags is {_shown(tags)}": bool(tags),
    }
    return "no model of the catalog may take it: " + "; ".join(rule for rule, holds in rules.items() if holds)


def deferral_penalty(
    queries: Queries, nights_waited: NDArray[np.int64], night: Night, patience: Patience
) -> NDArray[np.float32]:
    """What leaving each query to the next night costs the objective.

    ``priority × quality × (1 + growth × nights waited)``, times ``urgency`` where the deadline comes
    before the next night's first batch.

    Returns
    -------
    ndarray of float32, shape (n_queries,), quality units, at least 0
    """
    cannot_wait = queries.deadline < np.datetime64(night.begins, "us") + np.timedelta64(1, "D")
    penalty = patience.quality * queries.priority * (1.0 + patience.growth * nights_waited)
    return np.where(cannot_wait, patience.urgency * penalty, penalty).astype(np.float32)


def last_batches(deadline: NDArray[np.datetime64], night: Night) -> NDArray[np.int32]:
    """The last batch that ends by each deadline.

    Parameters
    ----------
    deadline : ndarray of datetime64[us], shape (n_queries,), UTC; NaT is no deadline
    night : Night

    Returns
    -------
    ndarray of int32, shape (n_queries,), from :data:`EXPIRED` to the night's number of batches
    """
    minutes = (deadline - np.datetime64(night.begins, "us")) / np.timedelta64(1, "m")
    whole = np.floor(np.nan_to_num(minutes, nan=np.inf) / night.batch_minutes)
    return np.clip(whole, EXPIRED, night.batches).astype(np.int32)


def capacity_per_batch(model: Model, instances: int, batch_minutes: float) -> int | None:
    """Queries a model takes in a batch: ``instances × concurrency``, or ``⌊rate × minutes⌋``; None is no limit."""
    if model.serving is Serving.SELF_HOSTED:
        return model.concurrency_per_instance * instances
    if model.rate_limit_per_minute is None:
        return None
    return int(model.rate_limit_per_minute * batch_minutes)


def candidate_bits(eligible: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Eligible models of each query as the bits of a number, the first model lowest; None above 63 models.

    Parameters
    ----------
    eligible : ndarray of bool, shape (n_queries, n_models)

    Returns
    -------
    ndarray of int64, shape (n_queries,), or None
    """
    n_models = eligible.shape[1]
    if n_models > 63:
        return None
    bits = np.zeros(len(eligible), dtype=np.int64)
    for j in range(n_models):
        bits |= eligible[:, j].astype(np.int64) << j
    return bits


def _restrict(
    eligible: NDArray[np.bool_], lists: Sequence[tuple[str, ...] | None], rule: Callable[[tuple[str, ...]], list[bool]]
) -> None:
    """Apply ``rule`` once per distinct list, to all the rows that have it."""
    rows_of: dict[tuple[str, ...], list[int]] = {}
    for row, names in enumerate(lists):
        if names:
            rows_of.setdefault(names, []).append(row)
    for names, rows in rows_of.items():
        eligible[rows] &= np.array(rule(names))


def _shown(names: tuple[str, ...] | None) -> str:
    return ", ".join(names or ())[:200]
