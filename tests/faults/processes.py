"""Processes that can be killed, and lose their supervisor, at named points; one runs at a time, by a seeded choice.

A process is a thread that stops at every point where its own step touches the database or the disk, and goes on when it
is told to. Told to die, it raises there: what was not committed is undone, as when the operating system ends it.
"""

from __future__ import annotations

import functools
import hashlib
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from routing_core.route.receipts import receipt
from routing_core.route.solve import solve
from routing_core.settings import Settings
from routing_core.steps import estimate, figures, plan
from routing_core.steps.estimates import estimates_for
from routing_core.steps.route import checking, comparing, estimating, listing, opening, publishing, solving
from routing_core.steps.route import writing as chunk_writing
from routing_core.store import catalogs, database, decisions, gather, shards

_PATIENCE = 120.0


class Died(BaseException):
    """The process was killed."""


class Process:
    """One attempt at one task.

    Attributes
    ----------
    result, error : object
        What it ended with; ``error`` is a :class:`Died` if it was killed.
    at : str
        The point it stands at.
    holds : bool
        Whether it stands inside a transaction: it cannot be left standing there, others would wait for it.
    """

    def __init__(self, name: str, work: Callable[[], Any]) -> None:
        self.name = name
        self.result: Any = None
        self.error: BaseException | None = None
        self.at = "start"
        self.holds = False
        self._doomed = False
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        return self.at == "end"

    def go_on(self, *, die: bool = False) -> None:
        """Let it run to its next point, or die where it stands."""
        self._doomed = die
        self._go.release()
        assert self._stands.acquire(timeout=_PATIENCE), f"{self.name} hangs after {self.at!r}"

    def reach(self, point: str, holds: bool) -> None:
        """Called by the process itself: stand still until told to go on."""
        self.at, self.holds = point, holds
        self._stands.release()
        self._go.acquire()
        if self._doomed:
            raise Died(f"{self.name} at {point}")

    def _run(self) -> None:
        _here.process = self
        self._go.acquire()
        try:
            if self._doomed:
                raise Died(f"{self.name} at start")
            self.result = self._work()
        except BaseException as error:
            self.error = error
        self.at, self.holds = "end", False
        self._stands.release()


_here = threading.local()


def stand_in(process: Any) -> None:
    """Let something else be told of the points that this thread reaches."""
    _here.process = process


def point(name: str, *, holds: bool = False) -> None:
    """A point at which the process that passes may be stopped or killed."""
    process: Any = getattr(_here, "process", None)
    if process is not None:
        process.reach(name, holds)


_answers: dict[bytes, bytes] = {}


def _once(function: Callable[..., Any], *, without: int | None = None) -> Callable[..., Any]:
    """The same function, computed once for the same arguments; the one in the place ``without`` does not count."""

    def answer(*args: Any, **kwargs: Any) -> Any:
        told = [given for place, given in enumerate(args) if place != without]
        key = hashlib.sha256(pickle.dumps((function.__name__, told, kwargs))).digest()
        if key not in _answers:
            _answers[key] = pickle.dumps(function(*args, **kwargs))
        return pickle.loads(_answers[key])  # noqa: S301 — a copy of our own

    return answer


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put points around every transaction, inside every chunk's copying, and around every file that is laid down."""

    @contextmanager
    def writing(settings: Settings) -> Iterator[Any]:
        point("before the transaction")
        with database.writing(settings) as connection:
            yield connection
            point("before the commit", holds=True)
        point("after the commit")

    @contextmanager
    def reading(settings: Settings) -> Iterator[Any]:
        point("before reading")
        with database.reading(settings) as connection:
            yield connection

    insert_rows, write_directory, write_part = decisions.insert_rows, shards.write_directory, shards._write

    def insert_slowly(connection: Any, table: Any, rows: Any) -> str:
        checksum = insert_rows(connection, table, rows)
        point(f"{table.name} copied", holds=True)
        return checksum

    def write_slowly(directory: Any, parts: Any) -> None:
        point("before the files")
        write_directory(directory, parts)
        point("after the files")

    def write_part_slowly(directory: Any, name: str, part: Any) -> None:
        write_part(directory, name, part)
        if name in {"cost_usd", "batch"}:
            point("half of the files")

    # Asked hundreds of times for the same: the schedules are about what is read and written around it.
    for module in (opening, catalogs):
        monkeypatch.setattr(module, "read_catalog", functools.cache(module.read_catalog))
    monkeypatch.setattr(plan, "solve", _once(solve))
    monkeypatch.setattr(figures, "receipt", _once(receipt, without=3))
    monkeypatch.setattr(estimate, "estimates_for", _once(estimates_for, without=0))
    for module in (opening, listing, estimating, solving, chunk_writing, comparing, checking, publishing):
        monkeypatch.setattr(module, "writing", writing)
    for module in (listing, estimating, chunk_writing, comparing):
        monkeypatch.setattr(module, "reading", reading)
    monkeypatch.setattr(decisions, "insert_rows", insert_slowly)
    monkeypatch.setattr(shards, "write_directory", write_slowly)
    monkeypatch.setattr(gather, "write_directory", write_slowly)
    monkeypatch.setattr(shards, "_write", write_part_slowly)
