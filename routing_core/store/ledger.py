"""The month's money: what its nights have committed, by the view ``budget_ledger``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Date, bindparam, text

_ROWS = text("SELECT * FROM budget_ledger WHERE month = :month ORDER BY execution_date, team").columns(
    dt=Date, execution_date=Date
)
_COMMITTED = text(
    "SELECT execution_date, team, committed_usd FROM budget_ledger WHERE month = :month AND dt <> :dt"
).bindparams(bindparam("dt", type_=Date))

WHOLE = "*"
"""The night itself, among its teams."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What the other nights of a month have committed.

    Attributes
    ----------
    usd : dict of str to float
        By team; :data:`WHOLE` for all.
    days : frozenset of date
        Days on which they are executed.
    """

    usd: Mapping[str, float]
    days: frozenset[date]


def month_of(day: date) -> str:
    """The month of a day, ``YYYY-MM``."""
    return f"{day:%Y-%m}"


def committed(connection: Connection, execution_date: date, dt: date) -> Committed:
    """What the nights executed in the month of a day have committed, but for the night of ``dt``."""
    rows = connection.execute(
        _COMMITTED.columns(execution_date=Date), {"month": month_of(execution_date), "dt": dt}
    ).all()
    usd: dict[str, float] = {}
    for row in rows:
        usd[row.team] = usd.get(row.team, 0.0) + row.committed_usd
    return Committed(usd, frozenset(row.execution_date for row in rows))


def rows_of(connection: Connection, month: str) -> list[dict[str, Any]]:
    """The ledger of a month, by night and team."""
    return [dict(row) for row in connection.execute(_ROWS, {"month": month}).mappings()]
