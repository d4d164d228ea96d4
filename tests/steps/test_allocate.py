"""Allocation: a forecast and instances for the day after, recorded, and known by the day they serve."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text

from routing_core.errors import MissingPredictorError
from routing_core.settings import Settings, load_settings
from routing_core.steps import route
from routing_core.steps.allocate import allocate
from routing_core.store.database import reading

BEFORE, TONIGHT = date(2026, 11, 21), date(2026, 11, 22)


def rows(settings: Settings, query: str) -> list:
    with reading(settings) as connection:
        return list(connection.execute(text(query)).all())


def test_an_allocation_is_known_by_the_day_it_serves_and_keeps_to_the_gpus(world: Settings):
    found = rows(world, "SELECT for_date, sum(gpus) AS gpus, count(*) AS models FROM fleet GROUP BY for_date")
    assert [str(row.for_date) for row in found] == ["2026-11-22"]
    assert 0 < found[0].gpus <= sum(world.gpu_budget.values())


def test_the_forecast_is_kept_by_task_and_its_total_lies_in_its_interval(world: Settings):
    forecast = rows(world, "SELECT task, expected, lower, upper, actual FROM mix_forecasts ORDER BY task")
    assert forecast[0].task == "*"
    assert forecast[0].expected == pytest.approx(sum(row.expected for row in forecast[1:]))
    assert all(row.lower <= row.expected <= row.upper for row in forecast)
    assert all(row.actual is None for row in forecast)


def test_the_forecast_is_scored_once_the_backlog_has_come(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    came = rows(world, "SELECT actual FROM mix_forecasts WHERE task = '*'")[0].actual
    routed = rows(world, "SELECT assigned + deferred FROM nights")[0][0]
    assert came == routed


def test_the_same_day_again_supersedes_and_changes_nothing_without_news(world: Settings):
    second = allocate(BEFORE, load_settings(home=world.home), run_key="again")
    (first,) = rows(world, "SELECT superseded_at FROM allocations WHERE allocation_id = 1")
    assert first.superseded_at is not None
    kept = dict(rows(world, "SELECT model, instances FROM instance_allocations WHERE allocation_id = 1"))
    assert second["instances"] == kept


def test_a_dry_run_records_nothing(world: Settings):
    assert allocate(BEFORE, world, run_key="dry", dry_run=True)["allocation_id"] is None
    assert rows(world, "SELECT count(*) FROM allocations") == [(1,)]


def test_no_history_and_no_gpus_still_end_in_a_defined_allocation(world: Settings):
    shutil.rmtree(Path(world.backlog_root))
    assert allocate(TONIGHT, world, run_key="x")["status"] == "no_demand"
    poor = world.model_copy(update={"gpu_budget": {}})
    assert set(allocate(BEFORE, poor, run_key="y")["instances"].values()) == {0}


def test_a_day_before_any_predictor_says_what_to_type(world: Settings):
    with pytest.raises(MissingPredictorError, match="routing retrain --dt 2026-11-01"):
        allocate(date(2026, 11, 1), world, run_key="x")
