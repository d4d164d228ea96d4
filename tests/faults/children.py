"""The same tasks in processes of the operating system: each a child that kills or stops itself at a named point."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from datetime import date
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import processes
import pytest

from routing_core.settings import Settings
from routing_core.steps import route

_CONTEXT = multiprocessing.get_context("forkserver")
PATIENCE = 120.0


def _start_server() -> None:
    """Start the server that children are forked from, with all they need imported; it looks only in PYTHONPATH."""
    _CONTEXT.set_forkserver_preload(["children", "wordllama", "sqlite3", "psycopg"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        forkserver.ensure_running()


class _Doomed:
    """Stands where a :class:`processes.Process` would, and sends its own process a signal at a point."""

    def __init__(self, point: str, number: int) -> None:
        self._point = point
        self._number = number

    def reach(self, point: str, holds: bool) -> None:
        if point == self._point:
            self._point = ""
            os.kill(os.getpid(), self._number)


def _work(settings: Settings, stage: str, arguments: dict[str, Any], point: str, number: int, answer: Any) -> None:
    processes.install(pytest.MonkeyPatch())
    processes.stand_in(_Doomed(point, number))
    try:
        answer.send(getattr(route, stage)(settings=settings, **arguments))
    except Exception as error:
        answer.send(error)


class Child:
    """One attempt at one task of ``steps.route``, as Airflow would run it.

    Parameters
    ----------
    settings : Settings
    stage : str
        Name of the step.
    point : str
        Where it sends itself ``number``; nowhere if empty.
    number : int
    **arguments
        Of the step.
    """

    def __init__(
        self, settings: Settings, stage: str, point: str = "", number: int = signal.SIGKILL, **arguments: Any
    ) -> None:
        _start_server()
        self._answer, theirs = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=_work, args=(settings, stage, arguments, point, number, theirs))
        self._process.start()
        theirs.close()

    def died(self) -> bool:
        """Wait for its end; whether it was killed."""
        self._process.join(PATIENCE)
        return self._process.exitcode == -signal.SIGKILL

    def result(self) -> Any:
        """Wait for what it returns; an error it ended with is raised."""
        assert self._answer.poll(PATIENCE), "the child does not answer"
        found = self._answer.recv()
        self._process.join(PATIENCE)
        if isinstance(found, Exception):
            raise found
        return found

    def wait_until_stopped(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while _state(self._process.pid) != "T":
            assert self._process.is_alive(), "it ended without reaching the point"
            assert time.monotonic() < deadline, "it does not reach the point"
            time.sleep(0.01)

    def go_on(self) -> None:
        os.kill(self._process.pid or 0, signal.SIGCONT)

    def end(self) -> None:
        if self._process.is_alive():
            self._process.kill()
        self._process.join(PATIENCE)


def _state(pid: int | None) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


Attempt = Callable[..., Any]


def night(settings: Settings, dt: date, key: str, attempt: Attempt, options: route.RouteOptions) -> dict[str, Any]:
    """A whole night; ``attempt(stage, fenced, **arguments)`` makes each step happen, however often it takes."""
    run = attempt("open_run", True, dt=dt, run_key=key, options=options)
    chunks = attempt("list_chunks", False, run_id=run)
    for chunk in chunks:
        attempt("estimate_chunk", True, run_id=run, chunk=chunk)
    attempt("solve_night", True, run_id=run)
    for chunk in chunks:
        attempt("write_chunk", True, run_id=run, chunk=chunk)
    attempt("compare_run", False, run_id=run)
    attempt("check_run", False, run_id=run)
    published: dict[str, Any] = attempt("publish_run", False, run_id=run)
    return published
