"""The receipt has a task of its own: it is that of the decisions that stand, however often either task runs."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import text

from routing_core.errors import StaleAttemptError
from routing_core.settings import Settings
from routing_core.steps import route
from routing_core.store import runs
from routing_core.store.database import reading, writing

TONIGHT = date(2026, 11, 22)


@pytest.fixture
def solved(world: Settings) -> int:
    """A run whose night is solved, and not compared."""
    run = route.open_run(TONIGHT, world, run_key="a")
    for chunk in route.list_chunks(run, world):
        route.estimate_chunk(run, chunk, world, attempt=1)
    route.solve_night(run, world, attempt=1)
    return run


def receipt(settings: Settings) -> list:
    with reading(settings) as connection:
        return list(connection.execute(text("SELECT * FROM receipts ORDER BY policy")).all())


def test_comparing_twice_leaves_one_receipt_with_every_rival(world: Settings, solved: int):
    assert receipt(world) == []
    told = route.compare_run(solved, world)
    first = receipt(world)
    assert route.compare_run(solved, world) == told
    assert receipt(world) == first
    assert told["rivals"] == len(first) == 5
    assert {row.policy for row in first if row.verdict} == set(told) - {"rivals"}


def test_solving_again_takes_the_receipt_away_until_it_is_compared_again(world: Settings, solved: int):
    route.compare_run(solved, world)
    route.solve_night(solved, world, attempt=2)
    assert receipt(world) == []


def test_what_was_compared_before_another_solve_is_not_kept(world: Settings, solved: int):
    route.solve_night(solved, world, attempt=2)
    stale = r"attempt 1 at solving it .*attempt 2 has solved it again"
    with pytest.raises(StaleAttemptError, match=stale), writing(world) as connection:
        runs.claim_receipt(connection, solved, 1)
