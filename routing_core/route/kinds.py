"""Queries that are alike, counted instead of told apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_core.route.block import Block


@dataclass(frozen=True, slots=True, eq=False)
class Kinds:
    """Groups of queries whose allowed options are worth and cost the same.

    Attributes
    ----------
    first : ndarray of intp, shape (n_kinds,)
        A query of each kind.
    member : ndarray of intp, shape (n_queries,)
        The kind of each query.
    count : ndarray of int64, shape (n_kinds,)
    """

    first: NDArray[np.intp]
    member: NDArray[np.intp]
    count: NDArray[np.int64]

    def taking(self, choice: NDArray[np.int16], option: int, kind: int) -> int:
        """How many queries of a kind take an option."""
        return int(np.count_nonzero(choice[self.member == kind] == option))

    def spread(self, taken: Mapping[tuple[int, int], int]) -> NDArray[np.int16]:
        """Give the options counted by (option, kind) to the queries of each kind, in order."""
        options: list[list[int]] = [[] for _ in self.first]
        for (option, kind), count in taken.items():
            options[kind] += [option] * count
        choice = np.empty(len(self.member), dtype=np.int16)
        choice[np.argsort(self.member, kind="stable")] = [option for some in options for option in some]
        return choice


def alike(block: Block, allowed: NDArray[np.bool_]) -> Kinds:
    """Group the queries of a block of one problem by their allowed options, of shape (n_options, n_queries)."""
    value = np.where(allowed, block.value[0], np.inf)
    group = np.zeros(value.shape[1]) if block.group is None else block.group.astype(np.float64)
    key = np.concatenate([value, np.where(allowed, block.cost[0], -1.0), group[None]])
    _, first, member, count = np.unique(key, axis=1, return_index=True, return_inverse=True, return_counts=True)
    return Kinds(first, member.reshape(-1), count)
