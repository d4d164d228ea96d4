"""One thread for BLAS: its sums depend on their number, and a solve must not."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def serial_blas() -> AbstractContextManager[object]:
    """Hold BLAS to one thread within a ``with`` block."""
    limited: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limited
