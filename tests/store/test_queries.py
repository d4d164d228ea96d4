"""The queries under sql/queries: each answers a small night, worked out by hand, alike on both databases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, Date, DateTime, Double, Integer, Text, insert

from routing_core.errors import NotFoundError, SettingsError
from routing_core.settings import Settings
from routing_core.steps.ask import KINDS, ask, known
from routing_core.store import database, results
from routing_core.store.tables import metadata

MON, TUE, NEXT_MON = date(2026, 11, 2), date(2026, 11, 3), date(2026, 11, 9)
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
FILLING: list[tuple[type, Any]] = [
    (Boolean, False),
    (BigInteger, 0),
    (Integer, 0),
    (Double, 0.0),
    (DateTime, NOON),
    (Date, MON),
    (Text, "-"),
]
WEEKS = {"first": "2026-11-01", "last": "2026-11-30"}


def row(table: str, **values: Any) -> tuple[str, dict[str, Any]]:
    """A row; what the question at hand does not look at is filled with something of the column's type."""
    filled = dict(values)
    for column in metadata.tables[table].columns:
        if column.name in filled or column.nullable or column.server_default is not None:
            continue
        kind = getattr(column.type, "impl", column.type)
        filled[column.name] = next((value for type_, value in FILLING if isinstance(kind, type_)), {})
    return table, filled


def run(run_id: int, dt: date, status: str, **values: Any) -> tuple[str, dict[str, Any]]:
    return row(
        "routing_runs", run_id=run_id, dt=dt, status=status, attempt=run_id, run_key=str(run_id), batching="planned",
        **{"predictor_id": 1, "allocation_id": 1, "batches": 2, "degraded": "", "budget_usd": 0.2} | values,
    )  # fmt: skip


def assigned(run_id: int, query_id: str, model: str, cost: float, quality: float, **values: Any) -> Any:
    return row(
        "assignments", run_id=run_id, query_id=query_id, model=model, cost_usd=cost, mean_quality=quality,
        **{"batch_no": 1, "task": "a"} | values,
    )  # fmt: skip


ROWS = [
    row("predictor_versions", predictor_id=1, dt=MON, decision="promoted", trained_through=MON,
        challenger_quality=0.7, robust_method="bootstrap", robust_level=0.1),
    row("allocations", allocation_id=1, for_date=MON, predictor_id=1),
    row("instance_allocations", allocation_id=1, model="small", instances=2, previous_instances=1, gpu_type="h100",
        gpus=4),
    row("instance_allocations", allocation_id=1, model="idle", instances=0, previous_instances=0, gpus=0),
    run(1, MON, "superseded", assigned=2),
    run(2, MON, "current", assigned=3, planned_spend_usd=0.22),
    run(3, TUE, "current", assigned=1, planned_spend_usd=0.02),
    run(4, NEXT_MON, "current", assigned=2, planned_spend_usd=0.02, degraded="verdict"),
    run(5, NEXT_MON, "failed"),
    assigned(1, "q1", "big", 0.20, 0.8, team="x"),
    assigned(1, "q2", "big", 0.20, 0.9, team="y", task="b"),
    assigned(2, "q1", "small", 0.01, 0.5, team="x", runner_up="big", regret=0.10),
    assigned(2, "q2", "big", 0.20, 0.9, team="y", task="b", runner_up="small", regret=0.02),
    assigned(2, "q3", "small", 0.01, 0.6, team="x", batch_no=2, runner_up="big", regret=0.30),
    assigned(3, "q7", "small", 0.02, 0.5, team="x"),
    assigned(4, "q5", "small", 0.01, 0.5, team="x"),
    assigned(4, "q6", "small", 0.01, 0.5),
    row("deferred_queries", run_id=1, query_id="q3", cause="budget"),
    row("deferred_queries", run_id=2, query_id="q4", dt=MON, cause="budget", team="y", task="b", penalty=0.05,
        nights_waited=1, best_model="big"),
    row("deferred_queries", run_id=2, query_id="q8", dt=MON, cause="capacity", team="x", task="a", penalty=0.05,
        nights_waited=0, best_model="small"),
    row("deferred_queries", run_id=2, query_id="q9", dt=MON, cause="budget", team="y", task="b", penalty=0.07,
        nights_waited=1, best_model="big"),
    row("rejected_queries", run_id=2, first_dt=MON, partition="p.parquet", row=7, query_id=None, reason="malformed",
        detail="input_tokens: -1"),
    row("run_models", run_id=2, model="small", serving="self_hosted", instances=2, capacity_per_batch=4, assigned=2),
    row("run_models", run_id=2, model="big", serving="api", assigned=1, position=1),
    row("run_models", run_id=4, model="small", serving="self_hosted", instances=1, capacity_per_batch=1, assigned=2),
    row("batches", run_id=2, batch_no=1, model="small", assigned=1),
    row("batches", run_id=2, batch_no=1, model="big", assigned=1),
    row("batches", run_id=2, batch_no=2, model="small", assigned=1),
    row("shadow_prices", run_id=2, constraint_name="budget", subject="*", price=3.0, unit="USD", binding=True,
        words="one USD more would add 3"),
    row("shadow_prices", run_id=2, constraint_name="capacity", subject="small", price=0.25, binding=True),
    row("shadow_prices", run_id=4, constraint_name="budget", subject="*", price=0.0, binding=False),
    row("receipts", run_id=2, policy="nightshift", expected_quality=0.5),
    row("receipts", run_id=2, policy="greedy", expected_quality=0.4, gain=0.1, verdict="gain"),
    row("receipts", run_id=4, policy="nightshift", expected_quality=0.5),
    row("receipts", run_id=4, policy="greedy", expected_quality=0.5, gain=0.02, verdict="no gain"),
    row("settlements", run_id=2, model="small", task="a", dt=MON, settled=50, predicted_quality=0.8,
        realised_quality=0.6, optimism=0.2, optimism_stderr=0.05),
    row("settlements", run_id=2, model="big", task="b", dt=MON, settled=50, optimism=0.01, optimism_stderr=0.05),
    row("settlements", run_id=2, model="big", task="a", dt=MON, settled=2, optimism=0.5, optimism_stderr=0.05),
    row("settlements", run_id=2, model="*", task="*", dt=MON, settled=100, optimism=0.3, optimism_stderr=0.05),
    row("night_settlements", run_id=2, dt=MON, budget_usd=0.2, planned_spend_usd=0.22, settled_planned_usd=0.2,
        actual_spend_usd=0.3, projected_spend_usd=0.33, overspent=True, overspend_probability=0.05),
    row("mix_forecasts", forecast_id=1, task="*", for_date=TUE, expected=90.0, lower=80.0, upper=95.0, actual=100.0),
    row("mix_forecasts", forecast_id=1, task="a", for_date=TUE, expected=50.0, lower=40.0, upper=60.0, actual=60.0),
    row("mix_forecasts", forecast_id=1, task="b", for_date=TUE, expected=50.0, lower=40.0, upper=60.0),
]  # fmt: skip

WANTED: dict[str, tuple[dict[str, str], list[tuple[Any, ...]]]] = {
    "spend_by_team_and_week": (
        WEEKS,
        [(MON, "x", 2, 3, 0.04), (MON, "y", 1, 1, 0.20), (NEXT_MON, "", 1, 1, 0.01), (NEXT_MON, "x", 1, 1, 0.01)],
    ),
    "spend_against_budget": (
        {"first": "2026-11-02", "last": "2026-11-03"},
        [(MON, 0.2, 0.22, 1.1, 0.3, 0.33, True), (TUE, 0.2, 0.02, 0.1, None, None, None)],
    ),
    "who_was_deferred": (
        {"dt": "2026-11-02"},
        [
            ("q9", "y", "b", "budget", 1, None, "big", 0.07),
            ("q4", "y", "b", "budget", 1, None, "big", 0.05),
            ("q8", "x", "a", "capacity", 0, None, "small", 0.05),
        ],
    ),
    "deferrals_by_cause": (WEEKS, [(MON, "budget", 2, 1), (MON, "capacity", 1, 0)]),
    "where_prediction_failed": ({**WEEKS, "least": "10"}, [(MON, 2, "small", "a", 50, 0.8, 0.6, 0.2, 0.05)]),
    # 8 slots in the night at 0.25: 2.0, by 2 instances or 4 GPUs.
    "what_one_more_gpu_would_have_bought": ({"dt": "2026-11-02"}, [("small", 2, 0.25, 0.25, 1.0, 0.5)]),
    "what_one_more_dollar_would_have_bought": (WEEKS, [(MON, 0.2, 3.0, "one USD more would add 3")]),
    "compare_two_runs": (
        {"run_a": "1", "run_b": "2"},
        [
            ("only_in_b", 3, 0.0, 0.0),
            ("now_assigned", 1, 0.01, 0.6),
            ("other_model", 1, -0.19, -0.3),
            ("same_model", 1, 0.0, 0.0),
        ],
    ),
    "is_it_worth_it": (WEEKS, [("greedy", 2, 1, 1, 0, 0.06)]),
    "overspent_nights": (WEEKS, [(MON, 0.2, 0.22, 0.33, 0.13, 1.5, 0.05)]),
    # Night 2: 2 of 8; night 4: 2 of 2.
    "models_near_capacity": ({**WEEKS, "share": "0.9"}, [("small", 2, 1, 0.625)]),
    "use_through_the_batches": (
        {"dt": "2026-11-02"},
        [(1, "big", 1, None, None), (1, "small", 1, 4, 0.25), (2, "small", 1, 4, 0.25)],
    ),
    "who_predicted": (
        {"first": "2026-11-02", "last": "2026-11-02"},
        [(MON, 1, MON, 0.7, "bootstrap", 0.1)],
    ),
    "forecast_accuracy": (WEEKS, [("*", 1, 0.1, 0.0), ("a", 1, 1 / 6, 1.0)]),
    "what_broke": ({"dt": "2026-11-02"}, [(MON, "p.parquet", 7, None, "malformed", "input_tokens: -1")]),
    "what_quality_costs": (WEEKS, [("small", 5, 0.012, 0.52, 0.06 / 2.6), ("big", 1, 0.2, 0.9, 0.2 / 0.9)]),
    "degraded_nights": (WEEKS, [(MON, 2, "", 2, 0), (NEXT_MON, 4, "verdict", 2, 1)]),
    "history_of_a_query": (
        {"query_id": "q1"},
        [
            (MON, 1, "superseded", "assigned", "big", 1, 0.20, 0.8),
            (MON, 2, "current", "assigned", "small", 1, 0.01, 0.5),
        ],
    ),
    "close_calls": (
        {"dt": "2026-11-02", "most": "2"},
        [("q2", "b", "big", "small", 0.02, 0.9, 0.20), ("q1", "a", "small", "big", 0.10, 0.5, 0.01)],
    ),
    "fleet_changes": (WEEKS, [(MON, "small", 1, 2, 1, "h100", 4)]),
}


@pytest.fixture
def small_nights(settings: Settings) -> Settings:
    with database.writing(settings) as connection:
        for table, values in ROWS:
            connection.execute(insert(metadata.tables[table]).values(**values))
        # The forecast is the allocation's.
        connection.execute(metadata.tables["allocations"].update().values(forecast_id=1))
        for run_id in range(1, 6):
            results.total_assignments(connection, run_id)
    return settings


def plain(value: Any) -> Any:
    """Both databases' notion of a value as one: SQLite has no dates and no truth."""
    if isinstance(value, date):
        return value.isoformat()
    return float(value) if isinstance(value, bool | int | float | Decimal) else value


def test_every_query_answers_a_night_worked_out_by_hand(small_nights: Settings):
    for name, (values, wanted) in WANTED.items():
        got = [tuple(map(plain, answer.values())) for answer in ask(name, values, small_nights)]
        assert len(got) == len(wanted), (name, got)
        for seen, row in zip(got, wanted, strict=True):
            assert seen == pytest.approx(tuple(map(plain, row)), abs=1e-9), name


def test_each_of_the_twenty_says_its_question_grain_and_parameters():
    assert sorted(one.name for one in known()) == sorted(WANTED)
    assert len(WANTED) == 20
    for one in known():
        assert one.asks.endswith("?"), one.name
        assert one.grain.startswith("one row per "), one.name
        said = next(line for line in one.sql.splitlines() if line.startswith("-- Parameters: "))
        assert all(parameter in said for parameter in one.parameters), one.name
        assert set(one.parameters) <= set(KINDS), one.name


def test_a_calendar_week_begins_on_monday_also_across_a_year_and_a_leap_day(settings: Settings):
    days = [date(2024, 2, 29), date(2025, 12, 28), date(2025, 12, 29), date(2026, 1, 4), date(2026, 1, 5)]
    with database.writing(settings) as connection:
        for k, dt in enumerate(days, start=1):
            table, values = run(k, dt, "current", predictor_id=None, allocation_id=None)
            connection.execute(insert(metadata.tables[table]).values(**values))
        seen = connection.exec_driver_sql("SELECT dt, weekday, week, month FROM calendar ORDER BY dt").all()
    for dt, (_, weekday, week, month) in zip(days, seen, strict=True):
        assert (weekday, month) == (dt.isoweekday(), f"{dt:%Y-%m}")
        # Day 1 of the proleptic Gregorian calendar was a Monday; so was Julian day 0.
        assert week == (dt.toordinal() - 1) // 7 + (1721426 // 7)


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        (lambda s: ask("no_such", {}, s), NotFoundError),
        (lambda s: ask("who_was_deferred", {}, s), SettingsError),
        (lambda s: ask("close_calls", {"dt": "2026-11-02", "most": "many"}, s), SettingsError),
    ],
)
def test_a_wrong_question_is_refused_by_name(attempt: Callable[..., Any], error: type, sqlite_settings: Settings):
    with pytest.raises(error):
        attempt(sqlite_settings)
