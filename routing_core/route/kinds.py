"""Queries that are alike, counted instead of told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing_core.route.block import Block

PROBE = 2048
"""Queries looked at first: where few of them are alike, the rest are not compared."""
WORTHWHILE = 0.9
"""Share of kinds among those queries above which they are held to be all different."""


@dataclass(frozen=True, slots=True, eq=False)
class Kinds:
    """Groups of queries whose options are worth and cost the same, in order of their first queries.

    Attributes
    ----------
    first : ndarray of intp, shape (n_kinds,)
        A query of each kind, ascending.
    member : ndarray of intp, shape (n_queries,)
        The kind of each query.
    count : ndarray of int64, shape (n_kinds,)
    """

    first: NDArray[np.intp]
    member: NDArray[np.intp]
    count: NDArray[np.int64]

    def taken(self, choice: NDArray[np.int16], n_options: int) -> NDArray[np.int64]:
        """How many queries of each kind take each option: shape (n_options, n_kinds)."""
        cell = choice.astype(np.intp) * len(self.first) + self.member
        return np.bincount(cell, minlength=n_options * len(self.first)).reshape(n_options, -1)

    def spread(self, taken: NDArray[np.int64]) -> NDArray[np.int16]:
        """Give options to the queries of each kind, in order, from counts of shape (n_options, n_kinds)."""
        choice = np.empty(len(self.member), dtype=np.int16)
        options = np.tile(np.arange(len(taken), dtype=np.int16), taken.shape[1])
        choice[np.argsort(self.member, kind="stable")] = np.repeat(options, taken.T.ravel())
        return choice


def alike(block: Block, allowed: NDArray[np.bool_]) -> Kinds:
    """Group the queries of a block of one problem by their allowed options, of shape (n_options, n_queries)."""
    parts = [np.where(allowed, block.value[0], np.inf).T, np.where(allowed, block.cost[0], -1.0).T]
    if block.group is not None:
        parts.append(block.group[:, None].astype(np.float64))
    found = grouped(np.concatenate([np.ascontiguousarray(part).view(np.uint64) for part in parts], axis=1))
    if found is None:
        each = np.arange(allowed.shape[1])
        return Kinds(each, each, np.ones(len(each), dtype=np.int64))
    return found


def likely(words: NDArray[np.unsignedinteger[Any]]) -> bool:
    """Whether so many of a few rows are alike that all of them are worth grouping."""
    return len(np.unique(fingerprints(words))) < WORTHWHILE * len(words)


def grouped(words: NDArray[np.unsignedinteger[Any]]) -> Kinds | None:
    """Group rows of equal words, shape (n_rows, n_words); None if two that differ look the same."""
    _, first, member, count = np.unique(fingerprints(words), return_index=True, return_inverse=True, return_counts=True)
    turn = np.argsort(first, kind="stable")
    place = np.empty_like(turn)
    place[turn] = np.arange(len(turn))
    first, member, count = first[turn], place[member.reshape(-1)], count[turn]
    return Kinds(first, member, count) if np.array_equal(words[first[member]], words) else None


def fingerprints(words: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.uint64]:
    """A number per row, the same for the same words, and hardly ever for others: shape (n_rows,)."""
    odd = np.random.default_rng(0).integers(0, 2**63, words.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    mixed = np.zeros(len(words), dtype=np.uint64)
    for column, factor in zip(words.T, odd, strict=True):
        mixed += column * factor
        mixed ^= mixed >> np.uint64(29)
    return mixed
