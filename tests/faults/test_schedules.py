"""Random schedules of crashes, retries and orphans: they end as if undisturbed, and no reader sees a mixture."""

from __future__ import annotations

import random

import processes
import pytest
from readers import Reader
from results import NIGHTS, current, differences, night_of
from schedules import DagRun, Schedule
from sqlalchemy import text
from undisturbed import BUDGETS, Wanted, options

from routing_core.settings import Settings
from routing_core.steps import route
from routing_core.store.database import reading

pytestmark = pytest.mark.faults


def test_the_undisturbed_nights_differ_by_budget_and_by_chaining_and_decide_in_every_way(undisturbed: Wanted):
    for budget in BUDGETS:
        alone, chained = undisturbed["none", budget], undisturbed["chained", budget]
        assert night_of(alone, NIGHTS[0]) == night_of(chained, NIGHTS[0])
        assert night_of(alone, NIGHTS[1]) != night_of(chained, NIGHTS[1])
        assert all(alone[table] for table in ("assignments", "deferred_queries", "rejected_queries", "batches"))
    assert differences(undisturbed["none", BUDGETS[0]], undisturbed["none", BUDGETS[1]])


def dag_runs_of(seed: int, settings: Settings, how: route.RouteOptions) -> list[list[DagRun]]:
    """For each night one run, and now and then a second one beside it, as when two people start it by hand."""
    chance = random.Random(f"runs {seed}")
    return [
        [DagRun(dt, f"schedule/{seed}/{k}", settings, how) for k in range(1 + (chance.random() < 0.25))]
        for dt in NIGHTS
    ]


def disturb(seed: int, settings: Settings, wanted: Wanted, carry_over: str) -> Schedule:
    budget = BUDGETS[seed % 2]
    how = options(budget, carry_over)
    reader = Reader(settings, [wanted[carry_over, one] for one in BUDGETS])
    schedule = Schedule(seed, reader.look)
    nights = dag_runs_of(seed, settings, how)
    if carry_over == "none":
        schedule.run([run for night in nights for run in night])
    else:
        for night in nights:
            schedule.run(night)
    reader.look_again()
    assert differences(current(settings), wanted[carry_over, budget]) == [], (seed, schedule.story)
    return schedule


def statuses(settings: Settings) -> dict[str, int]:
    with reading(settings) as connection:
        return {
            row[0]: row[1] for row in connection.execute(text("SELECT status, count(*) FROM routing_runs GROUP BY 1"))
        }


PER_BLOCK = 25


def run_block(block: int, settings: Settings, wanted: Wanted, carry_over: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for dt in NIGHTS:
        route.route(dt, settings, run_key="before", options=options(BUDGETS[1], carry_over))
    processes.install(monkeypatch)
    stories = [
        disturb(seed, settings, wanted, carry_over).story for seed in range(block * PER_BLOCK, (block + 1) * PER_BLOCK)
    ]
    assert sum(map(bool, stories)) > PER_BLOCK * 0.8, "most schedules must have met a fault"
    found = statuses(settings)
    assert found["current"] == len(NIGHTS)
    assert set(found) <= {"current", "superseded", "failed"}, "nothing is left half-way"


@pytest.mark.parametrize("block", range(8))
def test_nights_by_themselves_end_as_undisturbed_in_any_order(
    block: int, any_tiny_world: Settings, undisturbed: Wanted, monkeypatch: pytest.MonkeyPatch
):
    run_block(block, any_tiny_world, undisturbed, "none", monkeypatch)


@pytest.mark.parametrize("block", range(8, 10))
def test_chained_nights_end_as_undisturbed_in_their_order(
    block: int, any_tiny_world: Settings, undisturbed: Wanted, monkeypatch: pytest.MonkeyPatch
):
    run_block(block, any_tiny_world, undisturbed, "chained", monkeypatch)
