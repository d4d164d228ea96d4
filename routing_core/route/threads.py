"""Threads that change nothing: work is cut up the same way however many there are, and BLAS has one.

The sums of BLAS depend on the number of its threads, and a solve must not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Part = TypeVar("Part")
Result = TypeVar("Result")


def by_threads(work: Callable[[Part], Result], parts: Sequence[Part], workers: int) -> list[Result]:
    """Results of ``work`` on every part, in order, by as many threads as there are workers."""
    if workers == 1 or len(parts) == 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, parts))


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def serial_blas() -> AbstractContextManager[object]:
    """Hold BLAS to one thread within a ``with`` block."""
    limited: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limited
