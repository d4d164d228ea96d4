"""Queries: the prompts waiting in the backlog of one day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from routing_core.records.columns import Column, Kind
from routing_core.records.picking import join, pick

QUERY_COLUMNS: tuple[Column, ...] = (
    Column("query_id", Kind.STRING, "Identifier, unique within the backlog of a day."),
    Column("task", Kind.STRING, "Task family."),
    Column("prompt", Kind.STRING, "The whole prompt."),
    Column("input_tokens", Kind.INTEGER, "Prompt length, tokens.", low=0),
    Column("embedding", Kind.VECTOR, "Precomputed embedding of the prompt.", required=False),
    Column(
        "priority",
        Kind.NUMBER,
        "How much being served is worth against others; 1 is ordinary, 0 may always wait.",
        required=False,
        low=0.0,
        high=100.0,
    ),
    Column("deadline", Kind.TIMESTAMP, "When an answer is last of use.", required=False),
    Column("max_cost_usd", Kind.NUMBER, "Most it may cost, USD.", required=False, low=0.0),
    Column("min_quality", Kind.NUMBER, "Least expected quality, 0 to 1.", required=False, low=0.0, high=1.0),
    Column("team", Kind.STRING, "Team whose budget pays.", required=False),
    Column("allowed_models", Kind.STRINGS, "Only these models may answer.", required=False),
    Column("denied_models", Kind.STRINGS, "These models may not answer.", required=False),
    Column("required_tags", Kind.STRINGS, "Tags the model must carry.", required=False),
    Column("submitted_at", Kind.TIMESTAMP, "When it joined the backlog.", required=False),
)


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Queries as parallel arrays, one entry per query.

    Attributes
    ----------
    query_id, task : ndarray of str objects, shape (n_queries,)
    prompt : sequence of str, length n_queries
    input_tokens : ndarray of int64, shape (n_queries,), tokens
    embedding : ndarray of float32, shape (n_queries, n_dimensions), or None
    priority : ndarray of float64, shape (n_queries,), at least 0; 1 is ordinary
    deadline : ndarray of datetime64[us], shape (n_queries,), UTC, NaT where there is none
    max_cost_usd : ndarray of float64, shape (n_queries,), USD, infinite where there is no cap
    min_quality : ndarray of float64, shape (n_queries,), in [0, 1]; 0 asks nothing
    team : ndarray of str objects, shape (n_queries,), None where no team pays
    allowed_models, denied_models, required_tags : sequence of tuple of str or None, length n_queries
        None, for a query, does not restrict.
    submitted_at : ndarray of datetime64[us], shape (n_queries,), UTC, NaT where unknown
    first_dt : ndarray of datetime64[D], shape (n_queries,)
        Day of the backlog it first appeared in; earlier than the night's for a carried query.
    """

    query_id: NDArray[np.object_]
    task: NDArray[np.object_]
    prompt: Sequence[str]
    input_tokens: NDArray[np.int64]
    embedding: NDArray[np.float32] | None
    priority: NDArray[np.float64]
    deadline: NDArray[np.datetime64]
    max_cost_usd: NDArray[np.float64]
    min_quality: NDArray[np.float64]
    team: NDArray[np.object_]
    allowed_models: Sequence[tuple[str, ...] | None]
    denied_models: Sequence[tuple[str, ...] | None]
    required_tags: Sequence[tuple[str, ...] | None]
    submitted_at: NDArray[np.datetime64]
    first_dt: NDArray[np.datetime64]

    def __len__(self) -> int:
        return len(self.query_id)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Queries:
        """The queries at ``rows`` (indices or a mask), in that order."""
        at = np.arange(len(self))[rows]
        return Queries(**{f.name: pick(getattr(self, f.name), at) for f in fields(self)})

    @classmethod
    def concatenate(cls, parts: Sequence[Queries]) -> Queries:
        """The queries of all parts, in order; embeddings only if every part has them."""
        return cls(**{f.name: join([getattr(part, f.name) for part in parts]) for f in fields(cls)})
