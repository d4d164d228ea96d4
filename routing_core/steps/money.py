"""Money over time: what a night may spend of its month, and the month's ledger.

The rule: a night may spend its nightly budget, or its even share of what the month has left where that is less. What
is left is the month's budget less what its other nights have committed (spent, planned and at risk, as in the view
``budget_ledger``); it is shared among the days of the month, from the night's own execution date on, that no other
night is planned for. What a night leaves unspent falls to those after it. Nights opened at the same time cannot spend
the same dollar: each counts the others among those that still come.
"""

from __future__ import annotations

import calendar
import re
from datetime import date
from typing import Any

from sqlalchemy import Connection

from routing_core.errors import SettingsError
from routing_core.settings import Settings, execution_date
from routing_core.store import ledger
from routing_core.store.database import reading

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def within_month(connection: Connection, dt: date, settings: Settings, *, asked: bool = False) -> Settings:
    """The settings with the budgets of the night of ``dt`` held to what its month allows.

    Parameters
    ----------
    connection : Connection
    dt : date
    settings : Settings
    asked : bool
        Whether somebody asked for this budget: it is then held to all that is left, not to a share.
    """
    if settings.monthly_budget_usd is None and not settings.monthly_team_budgets_usd:
        return settings
    day = execution_date(dt)
    others = ledger.committed(connection, day, dt)
    nights = _nights_to_come(day, others.days)
    budget = settings.budget_usd
    if settings.monthly_budget_usd is not None:
        left = _left(settings.monthly_budget_usd, others, ledger.WHOLE)
        budget = min(budget, left if asked else left / nights)
    teams = dict(settings.team_budgets_usd)
    for team, month in settings.monthly_team_budgets_usd.items():
        share = _left(month, others, team) / nights
        teams[team] = min(teams.get(team, share), share)
    return settings.model_copy(update={"budget_usd": budget, "team_budgets_usd": teams})


def month_ledger(month: str, settings: Settings) -> dict[str, Any]:
    """The ledger of a month: its nights, and what they come to together.

    Returns
    -------
    dict
        month, budget_usd (None for none), planned_usd, settled_usd, outstanding_usd, at_risk_usd, committed_usd,
        left_usd (None without a budget), teams (the same of each team with a budget), nights (rows of budget_ledger).

    Raises
    ------
    SettingsError
        If ``month`` is not written YYYY-MM.
    """
    if not _MONTH.fullmatch(month):
        raise SettingsError(f"month must be written YYYY-MM, got {month!r}")
    with reading(settings) as connection:
        rows = ledger.rows_of(connection, month)
    names = sorted({row["team"] for row in rows} - {ledger.WHOLE} | set(settings.monthly_team_budgets_usd))
    teams = [
        {
            "team": name,
            **_sums([row for row in rows if row["team"] == name], settings.monthly_team_budgets_usd.get(name)),
        }
        for name in names
    ]
    whole = [row for row in rows if row["team"] == ledger.WHOLE]
    return {"month": month, **_sums(whole, settings.monthly_budget_usd), "teams": teams, "nights": rows}


_SUMMED = ("planned_usd", "settled_usd", "outstanding_usd", "at_risk_usd", "committed_usd")


def _sums(rows: list[dict[str, Any]], budget: float | None) -> dict[str, Any]:
    sums = {name: sum(row[name] for row in rows) for name in _SUMMED}
    left = None if budget is None else budget - sums["committed_usd"]
    return {"budget_usd": budget, **sums, "left_usd": left}


def _left(month: float, others: ledger.Committed, team: str) -> float:
    return max(month - others.usd.get(team, 0.0), 0.0)


def _nights_to_come(day: date, planned: frozenset[date]) -> int:
    """Days of the month from ``day`` on that no other night is planned for; ``day`` itself always counts."""
    last = calendar.monthrange(day.year, day.month)[1]
    days = (day.replace(day=number) for number in range(day.day, last + 1))
    return sum(one == day or one not in planned for one in days)
