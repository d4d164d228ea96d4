"""Processes that can be killed, and lose their supervisor, at named points; one runs at a time, by a seeded choice.

A process is a thread that stops at every point where its own step touches the database or the disk, and goes on when it
is told to. Told to die, it raises there: what was not committed is undone, as when the operating system ends it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from routing_core.settings import Settings
from routing_core.steps.route import checking, estimating, listing, opening, publishing, solving
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

    # Read hundreds of times, and never another: the schedules are about other things.
    for module in (opening, catalogs):
        monkeypatch.setattr(module, "read_catalog", functools.cache(module.read_catalog))
    for module in (opening, listing, estimating, solving, chunk_writing, checking, publishing):
        monkeypatch.setattr(module, "writing", writing)
    for module in (listing, estimating, chunk_writing):
        monkeypatch.setattr(module, "reading", reading)
    monkeypatch.setattr(decisions, "insert_rows", insert_slowly)
    monkeypatch.setattr(shards, "write_directory", write_slowly)
    monkeypatch.setattr(gather, "write_directory", write_slowly)
    monkeypatch.setattr(shards, "_write", write_part_slowly)
