"""Allocation: a forecast and instances for the day after, recorded, and known by the day they serve."""

from __future__ import annotations

import shutil
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import text

from routing_core.cli.nights import _value_lines
from routing_core.errors import (
    MissingAllocationError,
    MissingPredictorError,
    ProblemError,
    SettingsError,
    SolverError,
)
from routing_core.settings import Settings, load_settings
from routing_core.steps import route
from routing_core.steps.allocate import allocate, value_of_gpus
from routing_core.store import history
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


def test_clusters_of_prompts_are_forecast_and_scored_when_their_backlog_is_read(world: Settings):
    query = "SELECT for_date, sum(expected), sum(actual), count(*) FROM cluster_forecast_errors GROUP BY for_date"
    ((day, expected, actual, clusters),) = rows(world, query)
    assert (str(day), actual, clusters) == ("2026-11-22", None, world.prompt_clusters)
    assert expected == pytest.approx(rows(world, "SELECT expected FROM mix_forecasts WHERE task = '*'")[0][0], rel=0.1)
    allocate(TONIGHT, world, run_key="next")
    scored = {str(row[0]): row[2] for row in rows(world, query)}
    came = rows(world, "SELECT count(*) FROM cluster_forecasts WHERE scored_at IS NOT NULL")[0][0]
    assert came == world.prompt_clusters
    assert scored["2026-11-22"] == pytest.approx(391, abs=world.prompt_clusters)
    assert scored["2026-11-23"] is None


def test_pins_lengths_and_batches_that_arrive_are_obeyed(world: Settings):
    asked = {"min_instances": {"llama-3.1-8b-instruct": 1}, "gpu_budget": {"h100": 8}, "prompt_clusters": 0}
    planned = allocate(BEFORE, world.model_copy(update=asked), run_key="a", dry_run=True)
    assert planned["instances"]["llama-3.1-8b-instruct"] >= 1
    more = asked | {"slots_by_length": {10: 3.0}, "batching": "arrival", "worst_case_share": 0.5}
    arriving = allocate(BEFORE, world.model_copy(update=more), run_key="b", dry_run=True)
    assert arriving["objective"] < planned["objective"]


def test_pins_that_cannot_be_kept_say_why(world: Settings):
    pinned = world.model_copy(update={"min_instances": {"llama-3.1-8b-instruct": 99}, "prompt_clusters": 0})
    with pytest.raises(SolverError, match=r"llama-3\.1-8b-instruct is pinned to at least 99, but"):
        allocate(BEFORE, pinned, run_key="a")
    stranger = world.model_copy(update={"max_instances": {"nobody": 1}, "prompt_clusters": 0})
    with pytest.raises(ProblemError, match="maximum must name self-hosted models, got nobody"):
        allocate(BEFORE, stranger, run_key="b")


def test_the_value_of_gpus_rises_from_nothing_to_the_budget(world: Settings):
    small = world.model_copy(update={"gpu_budget": {"h100": 4}, "prompt_clusters": 0})
    found = value_of_gpus(BEFORE, small, upto=4)
    assert [row["gpus"] for row in found["gpus"]] == [0, 1, 2, 3, 4]
    worth = [row["objective"] for row in found["gpus"]]
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(worth))
    assert found["gpus"][0]["deferred"] >= found["gpus"][-1]["deferred"]
    assert set(found["shadow_price"]) == {"h100"}
    assert len(_value_lines(found).splitlines()) > 5
    assert rows(world, "SELECT count(*) FROM allocations") == [(1,)]
    with pytest.raises(SettingsError, match="gpu_type must be one of h100, got tpu"):
        value_of_gpus(BEFORE, small, gpu_type="tpu")


def test_the_last_allocation_stands_in_where_the_setting_allows_and_the_run_says_so(world: Settings):
    after = date(2026, 11, 23)
    with pytest.raises(MissingAllocationError, match="no allocation serves 2026-11-23"):
        route.open_run(after, world, run_key="a")
    run_id = route.open_run(after, world.model_copy(update={"accept_last_allocation": True}), run_key="b")
    assert rows(world, f"SELECT degraded, allocation_id FROM routing_runs WHERE run_id = {run_id}") == [
        ("allocation", 1)
    ]


def test_queries_the_predictor_learnt_from_do_not_stand_for_the_mix(world: Settings):
    drawn = history.sample_queries(world.backlog_root, [BEFORE], 50, world.seed)
    without = frozenset(drawn.query_id[:20])
    again = history.sample_queries(world.backlog_root, [BEFORE], 50, world.seed, without=without)
    assert not without & set(again.query_id)
    assert history.answered(world.outcomes_root, [BEFORE, date(2020, 1, 1)])


def test_a_day_before_any_predictor_says_what_to_type(world: Settings):
    with pytest.raises(MissingPredictorError, match="routing retrain --dt 2026-11-01"):
        allocate(date(2026, 11, 1), world, run_key="x")
