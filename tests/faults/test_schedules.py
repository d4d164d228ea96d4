"""Random schedules of crashes, retries and orphans: they end as if undisturbed, and no reader sees a mixture."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import processes
import pytest
from results import NIGHTS, Results, current, current_of, differences, night_of
from schedules import DagRun, Schedule
from sqlalchemy import text

from routing_core.settings import Settings, load_settings
from routing_core.steps import route
from routing_core.store import database
from routing_core.store.database import reading

pytestmark = pytest.mark.faults

BUDGETS = (0.0003, 0.0005)
"""Every schedule plans what the one before has planned, with the other budget: there is always an old night to see."""

Wanted = dict[tuple[str, float], Results]


def options(budget: float, carry_over: str) -> route.RouteOptions:
    return replace(route.RouteOptions(budget_usd=budget), carry_over=carry_over)


@pytest.fixture(scope="session")
def undisturbed(tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Wanted:
    """The nights by themselves and chained, with either budget, and nothing in their way."""
    found = {}
    for carry_over in ("none", "chained"):
        for budget in BUDGETS:
            home = tmp_path_factory.mktemp("undisturbed") / "home"
            shutil.copytree(tiny_home, home)
            settings = load_settings(
                home=home, dsn="", catalog=None, outcomes="", backlog="", batch_minutes=240.0, chunks=3
            )
            for dt in NIGHTS:
                route.route(dt, settings, run_key="undisturbed", options=options(budget, carry_over))
            found[carry_over, budget] = current(settings)
            database.engine(settings).dispose()
    return found


def test_the_undisturbed_nights_differ_by_budget_and_by_chaining_and_decide_in_every_way(undisturbed: Wanted):
    for budget in BUDGETS:
        alone, chained = undisturbed["none", budget], undisturbed["chained", budget]
        assert night_of(alone, NIGHTS[0]) == night_of(chained, NIGHTS[0])
        assert night_of(alone, NIGHTS[1]) != night_of(chained, NIGHTS[1])
        assert all(alone[table] for table in ("assignments", "deferred_queries", "rejected_queries", "batches"))
    assert differences(undisturbed["none", BUDGETS[0]], undisturbed["none", BUDGETS[1]])


GLANCE = """
    SELECT n.dt, n.run_id, n.assigned, n.deferred, n.rejected, n.backlog_rows + n.carried_rows AS came,
        (SELECT count(*) FROM assignments a WHERE a.run_id = n.run_id) AS assignments,
        (SELECT count(*) FROM deferred_queries d WHERE d.run_id = n.run_id) AS waiting,
        (SELECT count(*) FROM rejected_queries r WHERE r.run_id = n.run_id) AS refused,
        (SELECT sum(u.assigned) FROM utilisation u WHERE u.dt = n.dt) AS used
    FROM nights n
"""


class Reader:
    """Somebody who asks the views at every instant, and knows the two nights there may be."""

    def __init__(self, settings: Settings, allowed: list[Results]) -> None:
        self._settings = settings
        self._allowed = allowed
        self._known: dict[tuple[date, int], Results] = {}
        self.seen: set[int] = set()

    def look(self) -> None:
        """See whole nights, and each run as it was when it was seen first."""
        with reading(self._settings) as connection:
            for night in connection.execute(text(GLANCE)):
                assert (night.assigned, night.deferred, night.rejected) == (
                    night.assignments,
                    night.waiting,
                    night.refused,
                )
                assert night.used == night.assigned
                assert night.came == night.assigned + night.deferred + night.rejected
                if night.run_id not in self.seen:
                    self.seen.add(night.run_id)
                    dt = date.fromisoformat(str(night.dt))
                    found = night_of(current_of(connection), dt)
                    assert any(found == night_of(one, dt) for one in self._allowed), "neither the old night nor the new"

    def look_again(self) -> None:
        """Nobody has written to what was current."""
        self.seen.clear()
        self.look()


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
