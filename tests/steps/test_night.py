"""The one function that decides which day a run is about."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from routing_core.errors import DateError
from routing_core.steps.night import parse_dt, resolve_dt

START = datetime(2026, 11, 22, tzinfo=UTC)


def test_the_parameter_wins_over_everything():
    for run_type in ("scheduled", "backfill", "manual", "asset_triggered"):
        assert resolve_dt("2026-01-31", run_type, START, dag_id="d") == date(2026, 1, 31)


@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
def test_a_run_of_the_schedule_is_about_the_start_of_its_interval(run_type):
    assert resolve_dt(None, run_type, START, dag_id="d") == date(2026, 11, 22)


@pytest.mark.parametrize("run_type", ["manual", "asset_triggered", "operator_triggered"])
def test_any_other_run_without_parameter_fails_with_the_command_to_type(run_type):
    with pytest.raises(DateError, match=r"airflow dags trigger route_backlog --conf '\{\"dt\": \"YYYY-MM-DD\"\}'"):
        resolve_dt(None, run_type, START, dag_id="route_backlog")


def test_a_scheduled_run_without_an_interval_fails_too():
    with pytest.raises(DateError):
        resolve_dt(None, "scheduled", None, dag_id="d")


def test_an_interval_in_another_zone_is_read_in_utc():
    west = timezone(timedelta(hours=-5))
    assert resolve_dt(None, "scheduled", datetime(2026, 11, 21, 19, tzinfo=west), dag_id="d") == date(2026, 11, 22)


@pytest.mark.parametrize(
    "text", ["2026-02-30", "20261122", "2026-11-22T00:00", "yesterday", " 2026-11-22", "2026-W47-7"]
)
def test_anything_but_a_plain_day_is_refused_with_what_was_seen(text):
    with pytest.raises(DateError, match="YYYY-MM-DD"):
        parse_dt(text)


CHANGES = {
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
    "Europe/Berlin": (date(2026, 3, 29), date(2026, 10, 25)),
    "Australia/Lord_Howe": (date(2026, 4, 5), date(2026, 10, 4)),
}


@pytest.mark.parametrize("zone", CHANGES)
def test_days_on_which_clocks_change_are_days_like_others(zone: str):
    """An interval's start is an instant; its day in UTC is the night, however it is written, and none is left out."""
    for changes in CHANGES[zone]:
        days = [changes + timedelta(days=k) for k in (-1, 0, 1)]
        for day in days:
            midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
            assert resolve_dt(None, "scheduled", midnight.astimezone(ZoneInfo(zone)), dag_id="d") == day
        last = datetime(changes.year, changes.month, changes.day, 23, 59, 59, tzinfo=UTC)
        assert resolve_dt(None, "backfill", last.astimezone(ZoneInfo(zone)), dag_id="d") == changes
