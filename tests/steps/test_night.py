"""The one function that decides which day a run is about."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

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
