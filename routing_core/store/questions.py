"""The questions that people ask in SQL: the files under ``sql/queries``, each with its grain and parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from routing_core.errors import NotFoundError
from routing_core.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "sql" / "queries"
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


@dataclass(frozen=True, slots=True)
class Question:
    """One file: what it asks, what a row of the answer is, and which values it needs.

    Attributes
    ----------
    name : str
        Of the file, without its suffix.
    asks, grain : str
        From the head comment.
    parameters : tuple of str
        In the order in which the query names them.
    sql : str
        The whole file.
    """

    name: str
    asks: str
    grain: str
    parameters: tuple[str, ...]
    sql: str


def questions() -> list[Question]:
    """All of them, by name."""
    return [_read(file) for file in sorted(FOLDER.glob("*.sql"))]


def question(name: str) -> Question:
    """The one of a name.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    found = next((one for one in questions() if one.name == name), None)
    if found is None:
        raise NotFoundError(f"there is no query {name!r}", remedy="routing query lists them")
    return found


def answer(connection: Connection, asked: Question, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the answer, in the query's own order."""
    statement = text(asked.sql).bindparams(**values) if values else text(asked.sql)
    return [dict(row) for row in connection.execute(statement).mappings()]


def _read(file: Path) -> Question:
    sql = file.read_text()
    head = [line[3:] for line in sql.splitlines() if line.startswith("-- ")]
    body = "\n".join(line for line in sql.splitlines() if not line.startswith("--"))
    grain = re.search(r"Grain: (.+?)(?= Parameters: |$)", " ".join(head))
    return Question(file.stem, head[0], grain[1] if grain else "", tuple(dict.fromkeys(_PARAMETER.findall(body))), sql)
