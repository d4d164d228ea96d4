"""Outcomes: logged answers, from which the predictors learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from routing_core.records.columns import Column, Kind
from routing_core.records.picking import pick

OUTCOME_COLUMNS: tuple[Column, ...] = (
    Column("query_id", Kind.STRING, "Identifier of the query that was answered."),
    Column("task", Kind.STRING, "Task family of the query."),
    Column("prompt", Kind.STRING, "The whole prompt."),
    Column("model", Kind.STRING, "Model of the catalog that answered."),
    Column("quality", Kind.NUMBER, "Judged quality of the answer, 0 to 1.", low=0.0, high=1.0),
    Column("input_tokens", Kind.INTEGER, "Prompt length, tokens.", low=0),
    Column("output_tokens", Kind.INTEGER, "Answer length, tokens.", low=0),
    Column("cost_usd", Kind.NUMBER, "What the answer cost, USD.", low=0.0),
    Column(
        "propensity",
        Kind.NUMBER,
        "Probability with which the model was chosen, above 0 to 1; null if unknown.",
        required=False,
        low=1e-12,
        high=1.0,
    ),
    Column("logged_at", Kind.TIMESTAMP, "When the outcome was logged."),
    Column("embedding", Kind.VECTOR, "Precomputed embedding of the prompt.", required=False),
)


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Logged answers as parallel arrays, one entry per answer.

    Attributes
    ----------
    query_id, task, model : ndarray of str objects, shape (n_outcomes,)
    prompt : sequence of str, length n_outcomes
    quality : ndarray of float32, shape (n_outcomes,), in [0, 1]
    input_tokens, output_tokens : ndarray of int64, shape (n_outcomes,), tokens
    cost_usd : ndarray of float64, shape (n_outcomes,), USD
    propensity : ndarray of float64, shape (n_outcomes,), in (0, 1], NaN where unknown
    logged_at : ndarray of datetime64[us], shape (n_outcomes,), UTC
    embedding : ndarray of float32, shape (n_outcomes, n_dimensions), or None
    """

    query_id: NDArray[np.object_]
    task: NDArray[np.object_]
    prompt: Sequence[str]
    model: NDArray[np.object_]
    quality: NDArray[np.float32]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    cost_usd: NDArray[np.float64]
    propensity: NDArray[np.float64]
    logged_at: NDArray[np.datetime64]
    embedding: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.query_id)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Outcomes:
        """The outcomes at ``rows`` (indices or a mask), in that order."""
        at = np.arange(len(self))[rows]
        return Outcomes(**{f.name: pick(getattr(self, f.name), at) for f in fields(self)})
