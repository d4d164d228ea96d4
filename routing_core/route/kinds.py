"""Queries that are alike, counted instead of told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from routing_core.route.block import Block

Words = TypeVar("Words", np.uint32, np.uint64)

FEW = 256
"""Queries up to which it does not pay to look for those that are alike."""
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
    words = np.concatenate([np.ascontiguousarray(part).view(np.uint64) for part in parts], axis=1)
    found = grouped(fingerprints(words))
    if np.array_equal(words[found.first[found.member]], words):
        return found
    each = np.arange(allowed.shape[1])
    return Kinds(each, each, np.ones(len(each), dtype=np.int64))


def likely(words: NDArray[Words]) -> bool:
    """Whether so many of a few rows are alike that all of them are worth grouping."""
    return len(np.unique(fingerprints(words))) < WORTHWHILE * len(words)


def grouped(prints: NDArray[np.uint64]) -> Kinds:
    """Group queries by their fingerprints."""
    order = np.argsort(prints)
    found = prints[order]
    starts = np.flatnonzero(np.append(True, found[1:] != found[:-1]))
    first = np.minimum.reduceat(order, starts)
    turn = np.argsort(first)
    place = np.empty_like(turn)
    place[turn] = np.arange(len(turn))
    count = np.diff(np.append(starts, len(prints)))
    member = np.empty_like(order)
    member[order] = np.repeat(place, count)
    return Kinds(first[turn], member, count[turn])


def fingerprints(words: NDArray[Words]) -> NDArray[np.uint64]:
    """A number for each row of words: the same for the same words, and hardly ever for others."""
    odd = 2 * np.random.default_rng(0).integers(0, 2**63, (words.shape[1],), dtype=np.uint64) + 1
    mixed = np.zeros(len(words), dtype=np.uint64)
    for k, factor in enumerate(odd.tolist()):
        mixed += words[:, k] * np.uint64(factor)
        mixed ^= mixed >> np.uint64(29)
    return mixed
