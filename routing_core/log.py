"""What the steps say while they run: a line when one begins and when it ends, with the run and chunk it is about.

A line is an event and fields. What is known around it (dt, run_id, chunk, attempt) is among them by itself. The text
holds them too, as ``name=value``, so that a handler that has never heard of them shows them: Airflow's task log is one.
Secrets are masked. Nothing is printed until a handler is set: by Airflow, :func:`to_stream` or :func:`warnings_alone`.
"""

from __future__ import annotations

import inspect
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from functools import wraps
from typing import Any, Literal, ParamSpec, TextIO, TypeVar

from routing_core.errors import masked

P = ParamSpec("P")
R = TypeVar("R")

Form = Literal["text", "json"]
Value = str | int | float | bool

_IDENTIFYING = ("dt", "run_id", "chunk", "attempt")
_LONGEST_WORD = 80
_known: ContextVar[Mapping[str, Any] | None] = ContextVar("known", default=None)  # None outside of every block
_log = logging.getLogger("nightshift")
_log.addHandler(logging.NullHandler())


def say(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event with these fields and all that is known around it; fields without a value are left out."""
    event = masked(event)
    told = {name: _plain(value) for name, value in {**(_known.get() or {}), **fields}.items() if value is not None}
    text = " ".join([event, *(f"{name}={_quoted(value)}" for name, value in told.items())])
    _log.log(level, "%s", text, extra={"event": event, "fields": told})


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """Within the block, every line has these fields."""
    token = _known.set({**(_known.get() or {}), **fields})
    try:
        yield
    finally:
        _known.reset(token)


def learn(**fields: Any) -> None:
    """From here to the end of the step or block, every line has these fields too; outside of one, nothing is learnt."""
    known = _known.get()
    if known is not None:
        _known.set({**known, **fields})


def step(function: Callable[P, R]) -> Callable[P, R]:
    """Say when the function begins, and how it ends: with its counts and seconds, or its error.

    Of its arguments, dt, run_id, chunk and attempt are fields of every line within. Of a dict that it returns, numbers
    and short words are fields of the last.
    """
    signature, name = inspect.signature(function), function.__name__

    @wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs).arguments
        with about(**{field: given[field] for field in _IDENTIFYING if field in given}):
            say(f"{name} begins")
            started = time.monotonic()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                say(f"{name} failed", level=logging.ERROR, error=_why(error), seconds=_since(started))
                raise
            say(f"{name} done", **{**_counts(result), "seconds": _since(started)})
            return result

    return told


def to_stream(form: Form, stream: TextIO) -> None:
    """Write every line to a stream, in place of where an earlier call wrote it."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_AsJson() if form == "json" else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _log.handlers[:] = [handler]
    _log.setLevel(logging.INFO)


def warnings_alone() -> None:
    """Write nothing but warnings, to standard error; errors are told by whoever ends because of them."""
    _log.handlers[:] = [_Warnings(logging.WARNING)]


class _Warnings(logging.Handler):
    """One warning a line, to standard error as it is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            print(f"warning: {record.getMessage()}", file=sys.stderr)


class _AsJson(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        head = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", None) or masked(record.getMessage()),
        }
        return json.dumps(head | getattr(record, "fields", {}), ensure_ascii=False)


def _counts(result: object) -> dict[str, Any]:
    if not isinstance(result, dict):
        return {}
    return {name: value for name, value in result.items() if _is_short(value)}


def _is_short(value: object) -> bool:
    return isinstance(value, int | float | date) or (isinstance(value, str) and len(value) <= _LONGEST_WORD)


def _plain(value: object) -> Value:
    if isinstance(value, bool | int | float):
        return value
    return masked(value.isoformat() if isinstance(value, date) else str(value))


def _quoted(value: Value) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) and not value.isalnum() else str(value)


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
