"""Preambles: what many prompts have word for word in common before and after the question they ask.

Few-shot examples and instructions are often nine tenths of a prompt and the same for all of a kind. They say which
kind it is, which the task says as well, and drown the question in an embedding of the whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from routing_core.predict.state import State

SHARED_BY = 20
"""Different prompts that must have a text in common."""
SHORTEST = 30
"""Characters below which a common beginning or end is taken for chance."""
LEARNT_FROM = 20_000
"""Most prompts looked at, at even steps."""
_BREAK = re.compile(r"\n|\\n")
"""A line's end, also where the log holds the two characters that escape it."""


@dataclass(frozen=True)
class Preambles:
    """Known beginnings and ends of prompts, each of whole lines.

    Attributes
    ----------
    before, after : tuple of str
        Sorted.
    """

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @classmethod
    def learn(cls, prompts: Sequence[str]) -> Self:
        """Find what at least `SHARED_BY` different prompts begin or end with, as many whole lines as they share."""
        rows = np.linspace(0, len(prompts) - 1, min(len(prompts), LEARNT_FROM)).round().astype(int)
        some = {prompts[i] for i in rows}
        before = {head[: _last_break(head)] for head in _shared_heads(some)}
        tails = {head[::-1] for head in _shared_heads({prompt[::-1] for prompt in some})}
        after = {tail[_first_break(tail) :] for tail in tails}
        return cls(*(tuple(sorted(text for text in texts if len(text) >= SHORTEST)) for texts in (before, after)))

    def question(self, prompt: str) -> str:
        """What is left of ``prompt`` without the longest known beginning and end; all of it, if nothing is."""
        heads, tails = self._by_length
        start = next((n for n, known in heads if prompt[:n] in known), 0)
        stop = next((len(prompt) - n for n, known in tails if prompt[-n:] in known), len(prompt))
        return prompt[start:stop] if start < stop else prompt

    @cached_property
    def _by_length(self) -> tuple[list[tuple[int, set[str]]], list[tuple[int, set[str]]]]:
        return _grouped(self.before), _grouped(self.after)

    def state(self) -> State:
        """The texts."""
        return State({"before": list(self.before), "after": list(self.after)})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The preambles that `state` described."""
        return cls(tuple(state.meta["before"]), tuple(state.meta["after"]))


def _shared_heads(texts: set[str]) -> set[str]:
    """Longest beginnings shared by `SHARED_BY` texts: in sorted order, those that share one stand together."""
    ordered = sorted(texts)
    pairs = zip(ordered, ordered[SHARED_BY - 1 :], strict=False)
    return {first[: _common(first, last)] for first, last in pairs}


def _common(first: str, second: str) -> int:
    """Length of the common beginning, by bisection: comparing slices is far faster than characters one by one."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if first[low:middle] == second[low:middle] else (low, middle - 1)
    return low


def _last_break(head: str) -> int:
    return max((found.end() for found in _BREAK.finditer(head)), default=0)


def _first_break(tail: str) -> int:
    found = _BREAK.search(tail)
    return found.end() if found else len(tail)


def _grouped(texts: Sequence[str]) -> list[tuple[int, set[str]]]:
    """Texts by length, longest first."""
    lengths = sorted({len(text) for text in texts}, reverse=True)
    return [(n, {text for text in texts if len(text) == n}) for n in lengths]
