"""Labels: outcomes as queries × models with gaps, since usually only the model that answered is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from routing_core.records.outcomes import Outcomes


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What is known of each (query, model).

    Attributes
    ----------
    models : tuple of str, length n_models
    prompt : list of str, length n_queries
    task : ndarray of str objects, shape (n_queries,)
    input_tokens : ndarray of float64, shape (n_queries,), tokens
    logged_at : ndarray of datetime64[us], shape (n_queries,), UTC
        When the query's last outcome was logged: the order of production.
    quality : ndarray of float32, shape (n_queries, n_models), in [0, 1], NaN where the model was not seen
    output_tokens : ndarray of float32, shape (n_queries, n_models), tokens, NaN where the model was not seen
    weight : ndarray of float32, shape (n_queries, n_models), mean 1 per model where seen, 0 elsewhere
    propensity : ndarray of float32, shape (n_queries, n_models), in (0, 1], NaN where unknown
    embedding : ndarray of float32, shape (n_queries, n_dimensions), or None
    ignored : int
        Outcomes of models that are not in ``models``.
    effective : ndarray of float64, shape (n_models,)
        Kish's effective sample size, (Σw)² / Σw², of each model.
    """

    models: tuple[str, ...]
    prompt: list[str]
    task: NDArray[np.object_]
    input_tokens: NDArray[np.float64]
    logged_at: NDArray[np.datetime64]
    quality: NDArray[np.float32]
    output_tokens: NDArray[np.float32]
    weight: NDArray[np.float32]
    propensity: NDArray[np.float32]
    embedding: NDArray[np.float32] | None
    ignored: int
    effective: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.prompt)

    def take(self, rows: NDArray[np.integer]) -> Labels:
        """The queries at ``rows``, weights and effective sizes worked out anew."""
        arrays = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name in _PER_QUERY}
        weight, effective = _normalised(arrays.pop("weight"))
        embedding = None if self.embedding is None else self.embedding[rows]
        return Labels(
            models=self.models,
            prompt=[self.prompt[int(i)] for i in rows],
            embedding=embedding,
            ignored=self.ignored,
            weight=weight,
            effective=effective,
            **arrays,
        )

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which (query, model) has a label: ndarray of bool, shape (n_queries, n_models)."""
        return self.weight > 0

    @property
    def day(self) -> NDArray[np.int64]:
        """Day of each query, counted from 1970-01-01: ndarray of int64, shape (n_queries,)."""
        return self.logged_at.astype("datetime64[D]").astype(np.int64)

    @property
    def complete(self) -> bool:
        """Whether every model that was seen at all was seen on every query."""
        seen = self.seen
        return bool(len(seen)) and bool((seen.all(axis=0) | ~seen.any(axis=0)).all())


_PER_QUERY = ("task", "input_tokens", "logged_at", "quality", "output_tokens", "weight", "propensity")


def tabulate(
    outcomes: Outcomes,
    models: Sequence[str],
    *,
    half_life_days: float,
    max_importance: float,
    embedding: NDArray[np.float32] | None = None,
) -> Labels:
    """Gather outcomes into queries × models.

    Queries keep the order of their identifiers, so that the order of the log does not matter. An answer logged
    twice for one (query, model) counts by its latest outcome.

    Parameters
    ----------
    outcomes : Outcomes
    models : sequence of str
        Columns; outcomes of other models are ignored and counted.
    half_life_days : float
        Age, against the newest outcome, at which an outcome counts half.
    max_importance : float
        Ceiling of the inverse propensity used as weight (clipped, then self-normalised per model).
    embedding : ndarray of float32, shape (n_outcomes, n_dimensions), optional
    """
    column = {name: j for j, name in enumerate(models)}
    known = np.array([column.get(name, -1) for name in outcomes.model], dtype=np.int64)
    kept = np.flatnonzero(known >= 0)
    # Latest last, so that it overwrites; ties broken by value to forget the order of the log.
    kept = kept[np.lexsort((outcomes.quality[kept], outcomes.logged_at[kept], outcomes.query_id[kept].astype(str)))]
    _, first, row = np.unique(outcomes.query_id[kept].astype(str), return_index=True, return_inverse=True)
    newest = kept[np.r_[first[1:], len(kept)] - 1] if len(kept) else kept
    shape = (len(newest), len(models))
    at = (row, known[kept])
    weight = np.zeros(shape, np.float32)
    weight[at] = _weights(outcomes, kept, half_life_days, max_importance)
    weight, effective = _normalised(weight)
    return Labels(
        models=tuple(models),
        prompt=[outcomes.prompt[int(i)] for i in newest],
        task=outcomes.task[newest],
        input_tokens=outcomes.input_tokens[newest].astype(np.float64),
        logged_at=outcomes.logged_at[newest],
        quality=_spread(outcomes.quality[kept], at, shape),
        output_tokens=_spread(outcomes.output_tokens[kept], at, shape),
        weight=weight,
        propensity=_spread(outcomes.propensity[kept], at, shape),
        embedding=None if embedding is None else np.ascontiguousarray(embedding[newest], np.float32),
        ignored=int((known < 0).sum()),
        effective=effective,
    )


def _weights(
    outcomes: Outcomes, kept: NDArray[np.int64], half_life_days: float, max_importance: float
) -> NDArray[np.float64]:
    """Recency × clipped inverse propensity of each kept outcome; unknown propensities count as equal."""
    if not len(kept):
        return np.zeros(0)
    days = outcomes.logged_at[kept].astype("datetime64[D]").astype(np.float64)
    recency = 0.5 ** ((days.max() - days) / half_life_days)
    propensity = outcomes.propensity[kept]
    importance = np.where(np.isnan(propensity), 1.0, np.minimum(1.0 / propensity, max_importance))
    return np.asarray(recency * importance, np.float64)


def _normalised(weight: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Weights with mean 1 per model where seen, and the effective sample size of each model."""
    total = weight.sum(axis=0, dtype=np.float64)
    squares = (weight.astype(np.float64) ** 2).sum(axis=0)
    count = (weight > 0).sum(axis=0)
    scale = np.divide(count, total, out=np.zeros_like(total), where=total > 0)
    effective = np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0)
    return (weight * scale).astype(np.float32), effective


def _spread(
    values: NDArray[np.floating] | NDArray[np.int64],
    at: tuple[NDArray[np.int64], NDArray[np.int64]],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    table = np.full(shape, np.nan, np.float32)
    table[at] = values
    return table
