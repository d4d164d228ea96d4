"""The checks under ``sql/checks``: a file each, a query that returns what is wrong.

A file opens with comment lines ``-- severity: fail`` (or ``warn``) and ``-- what: …``; its query is
bound to ``:run_id`` and must return no row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from routing_core.settings import PROJECT_ROOT

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found.

    Attributes
    ----------
    name : str
    severity : str
        fail or warn.
    what : str
        What the check guards.
    offending : tuple of str
        The first rows that break it; empty if none does.
    """

    name: str
    severity: str
    what: str
    offending: tuple[str, ...]


def check_files() -> list[Path]:
    """Every check, by name."""
    return sorted((PROJECT_ROOT / "sql" / "checks").glob("*.sql"))


def run_checks(connection: Connection, run_id: int) -> list[CheckResult]:
    """Run every check on a run."""
    return [_run(connection, run_id, file) for file in check_files()]


def run_check(connection: Connection, run_id: int, name: str) -> CheckResult:
    """Run the check called ``name`` on a run."""
    return _run(connection, run_id, next(file for file in check_files() if file.stem == name))


def _run(connection: Connection, run_id: int, file: Path) -> CheckResult:
    query = file.read_text()
    head = dict(line[3:].split(": ", 1) for line in query.splitlines() if line.startswith("-- "))
    rows = connection.execute(text(query), {"run_id": run_id}).mappings().fetchmany(_SHOWN)
    shown = tuple(", ".join(f"{key}={value}" for key, value in row.items()) for row in rows)
    return CheckResult(file.stem, head["severity"], head["what"], shown)
