"""What an examination finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes
    ----------
    check : str
        What was looked at, in a word or two.
    status : {"ok", "warn", "fail"}
        Whether a night can be planned as it is; with a warning it can, and something is probably not meant so.
    what : str
        What was seen, and the rule.
    remedy : str or None
        What to type or change; None where all is well.
    """

    check: str
    status: Status
    what: str
    remedy: str | None = None


Checks = Iterator[Finding]
Examination = Callable[[], Checks]


def well(check: str, what: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", what)


def ill(check: str, what: str, remedy: str) -> Finding:
    """It must be changed before a night can be planned."""
    return Finding(check, "fail", what, remedy)


def odd(check: str, what: str, remedy: str) -> Finding:
    """It is probably not meant so."""
    return Finding(check, "warn", what, remedy)
