"""The month's money: shares, what falls to later nights, what is at risk, teams, and the ledger that adds up."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import insert
from typer.testing import CliRunner

from routing_core.cli import app
from routing_core.errors import SettingsError
from routing_core.settings import Settings, load_settings
from routing_core.steps import money, route
from routing_core.store import database, ledger
from routing_core.store.tables.proof import night_settlements
from routing_core.store.tables.runs import routing_runs, run_teams

NOVEMBER = [date(2026, 10, 31) + timedelta(days=k) for k in range(30)]
"""Nights executed in November: the month has 30 days."""


def night(settings: Settings, dt: date, planned: float, *, margin: float = 1.0, team: float | None = None) -> int:
    """A current run of ``dt`` that plans to spend so much, and of it the team "search" so much."""
    values = {
        "dt": dt,
        "execution_date": dt + timedelta(days=1),
        "attempt": 1,
        "run_key": "x",
        "status": "current",
        "opened_at": database.now(),
        "replan": False,
        "shadow": False,
        "solve_attempt": 1,
        "dry_run": False,
        "degraded": "",
        "code_version": "x",
        "settings": {},
        "options": {},
        "seed": 1,
        "batching": "planned",
        "batches": 1,
        "budget_usd": 10.0,
        "planned_spend_usd": planned,
        "cost_margin": margin,
        "month_budget_usd": settings.monthly_budget_usd,
    }
    with database.writing(settings) as connection:
        run_id = database.next_id(connection, "routing_runs", "run_id")
        connection.execute(insert(routing_runs).values(run_id=run_id, **values))
        if team is not None:
            about = {"run_id": run_id, "team": "search", "budget_usd": 5.0, "cost_margin": 1.0, "assigned": 1}
            connection.execute(insert(run_teams).values(**about, planned_spend_usd=team))
    return run_id


def settle(settings: Settings, run_id: int, dt: date, planned: float, settled_planned: float, actual: float) -> None:
    values = {
        "dt": dt,
        "execution_date": dt + timedelta(days=1),
        "assigned": 10,
        "settled": 5,
        "missing": 5,
        "rejected_outcomes": 0,
        "budget_usd": 10.0,
        "planned_spend_usd": planned,
        "settled_planned_usd": settled_planned,
        "actual_spend_usd": actual,
        "overspend_probability": 0.05,
        "settled_through": dt,
        "settled_at": database.now(),
    }
    for column in night_settlements.columns:
        if column.name not in values and not column.nullable and column.name != "run_id":
            values[column.name] = 0
    with database.writing(settings) as connection:
        connection.execute(insert(night_settlements).values(run_id=run_id, **values))


def budgets(settings: Settings, dt: date, **options: Any) -> Settings:
    with database.reading(settings) as connection:
        return money.within_month(connection, dt, settings, **options)


def monthly(settings: Settings, usd: float | None = 30.0, **update: Any) -> Settings:
    return settings.model_copy(update={"monthly_budget_usd": usd, "budget_usd": 10.0, **update})


def test_without_a_month_s_budget_nothing_changes(settings: Settings) -> None:
    """A deployment that sets none plans as before."""
    assert budgets(monthly(settings, None), NOVEMBER[0]).budget_usd == 10.0


def test_a_night_gets_its_even_share_and_never_more_than_its_own(settings: Settings) -> None:
    """30 USD over 30 nights is 1 a night; on the last one all of it, but for the nightly budget."""
    ours = monthly(settings)
    assert budgets(ours, NOVEMBER[0]).budget_usd == pytest.approx(1.0)
    assert budgets(ours, NOVEMBER[-1]).budget_usd == 10.0
    assert budgets(ours, NOVEMBER[0], asked=True).budget_usd == 10.0


def test_what_is_left_unspent_falls_to_later_nights(settings: Settings) -> None:
    """Ten nights at 0.4 leave 26 for twenty: 1.3 each. The night's own earlier plan does not count against it."""
    ours = monthly(settings)
    for dt in NOVEMBER[:10]:
        night(ours, dt, 0.4)
    assert budgets(ours, NOVEMBER[10]).budget_usd == pytest.approx(26 / 20)
    assert budgets(ours, NOVEMBER[9]).budget_usd == pytest.approx((30 - 9 * 0.4) / 21)


def test_nights_of_other_months_do_not_count(settings: Settings) -> None:
    """The night of 30 November is executed, and paid, in December."""
    ours = monthly(settings)
    night(ours, date(2026, 11, 30), 25.0)
    night(ours, date(2026, 10, 30), 25.0)
    assert budgets(ours, NOVEMBER[0]).budget_usd == pytest.approx(1.0)


def test_what_is_at_risk_is_held_back_until_it_is_settled(settings: Settings) -> None:
    """A plan of 10 with a margin of 1.2 holds 12; half of it settled at 1.5 times its plan, 7.5 + 5 + 2.5 = 15."""
    ours = monthly(settings)
    run_id = night(ours, NOVEMBER[0], 10.0, margin=1.2)
    assert budgets(ours, NOVEMBER[-1], asked=True).budget_usd == 10.0
    assert row(ours)["committed_usd"] == pytest.approx(12.0)
    assert row(ours)["month_left_usd"] == pytest.approx(18.0)
    settle(ours, run_id, NOVEMBER[0], 10.0, 5.0, 7.5)
    found = row(ours)
    assert (found["settled_usd"], found["outstanding_usd"]) == pytest.approx((7.5, 5.0))
    assert (found["at_risk_usd"], found["committed_usd"]) == pytest.approx((2.5, 15.0))


def test_a_month_that_is_overdrawn_leaves_nothing(settings: Settings) -> None:
    """No budget is ever negative; what costs nothing is still planned."""
    ours = monthly(settings)
    night(ours, NOVEMBER[0], 40.0)
    assert budgets(ours, NOVEMBER[1]).budget_usd == 0.0


def test_teams_share_their_own_months(settings: Settings) -> None:
    """A team's month binds beside the night's, with or without a nightly budget of the team."""
    ours = monthly(settings, None, monthly_team_budgets_usd={"search": 6.0, "ads": 3.0}, team_budgets_usd={"ads": 0.05})
    night(ours, NOVEMBER[0], 2.0, team=0.2)
    found = budgets(ours, NOVEMBER[1])
    assert found.team_budgets_usd == pytest.approx({"search": 5.8 / 29, "ads": 0.05})
    assert found.budget_usd == 10.0


def row(settings: Settings) -> dict[str, Any]:
    with database.reading(settings) as connection:
        return ledger.rows_of(connection, "2026-11")[0]


@examples(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=30, max_size=30), st.randoms(use_true_random=False))
def test_however_nights_are_planned_the_month_is_never_overspent(shares: list[float], random: Any) -> None:
    """Nights in any order, each spending any share of what it was given: together within the month's budget."""
    order = list(NOVEMBER)
    random.shuffle(order)
    spent: dict[date, float] = {}
    for dt, share in zip(order, shares, strict=True):
        day = dt + timedelta(days=1)
        planned = frozenset(one + timedelta(days=1) for one in spent)
        left = 30.0 - sum(spent.values())
        spent[dt] = share * min(10.0, left / money._nights_to_come(day, planned))
        assert left >= -1e-9
    assert sum(spent.values()) <= 30.0 + 1e-9


def test_a_night_is_planned_within_its_month(world: Settings) -> None:
    """Opening a run takes the share, records the month's budget, and the plan stays within; the command shows it."""
    ours = world.model_copy(update={"monthly_budget_usd": 0.18, "monthly_team_budgets_usd": {}})
    run = route.route(date(2026, 11, 22), ours, run_key="k")
    found = row(ours)
    assert found["budget_usd"] == pytest.approx(0.18 / 8)
    assert 0 < found["planned_usd"] <= found["budget_usd"]
    assert found["month_left_usd"] == pytest.approx(0.18 - found["committed_usd"])
    assert found["run_id"] == run["run_id"]
    shown = CliRunner().invoke(
        app, ["budget", "--month", "2026-11", "--json"], env={"NIGHTSHIFT_MONTHLY_BUDGET_USD": "0.18"}
    )
    assert shown.exit_code == 0, shown.output
    told = json.loads(shown.output)
    assert told["left_usd"] == pytest.approx(found["month_left_usd"])
    with pytest.raises(SettingsError, match="YYYY-MM"):
        money.month_ledger("2026-13", ours)


def test_a_negative_month_is_refused(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every budget."""
    monkeypatch.setenv("NIGHTSHIFT_MONTHLY_BUDGET_USD", "-1")
    with pytest.raises(SettingsError, match="monthly_budget_usd"):
        load_settings()
