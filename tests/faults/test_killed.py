"""Real processes killed with SIGKILL, or left running beside their own retry."""

from __future__ import annotations

import contextlib
import signal
from typing import Any

import pytest
from children import Child, night
from readers import Reader, looking
from results import NIGHTS, current, differences, night_of
from undisturbed import BUDGETS, Wanted, options

from routing_core.errors import RunStateError, StaleAttemptError
from routing_core.settings import Settings
from routing_core.steps import route

pytestmark = pytest.mark.faults

TONIGHT = NIGHTS[-1]
OLD, NEW = (options(budget, "none") for budget in BUDGETS)

AT_BOUNDARIES = ["before the transaction", "before the commit", "after the commit"]
INSIDE = {
    "estimate_chunk": "half of the files",
    "solve_night": "half of the files",
    "write_chunk": "assignments copied",
}


def with_one_death(settings: Settings, where: dict[str, str], default: str) -> Any:
    """Make each step happen in a child that is killed on its first try, and tried again."""

    def attempt(stage: str, fenced: bool, **arguments: Any) -> Any:
        tries = [arguments | ({"attempt": k} if fenced else {}) for k in (1, 2)]
        assert Child(settings, stage, where.get(stage, default), **tries[0]).died(), f"{stage} was not killed"
        return Child(settings, stage, **tries[1]).result()

    return attempt


@pytest.mark.parametrize("point", [*AT_BOUNDARIES, "inside"])
def test_every_task_killed_once_leaves_the_old_night_and_then_the_new_one(
    point: str, any_tiny_world: Settings, undisturbed: Wanted
):
    settings = any_tiny_world
    for dt in NIGHTS:
        route.route(dt, settings, run_key="old", options=OLD)
    where = INSIDE if point == "inside" else {}
    attempt = with_one_death(settings, where, "before the commit" if point == "inside" else point)
    reader = Reader(settings, [undisturbed["none", budget] for budget in BUDGETS])
    with looking(reader):
        assert night(settings, TONIGHT, "new", attempt, NEW)["status"] == "current"
    assert len(reader.seen) == len(NIGHTS) + 1
    found, wanted = (night_of(one, TONIGHT) for one in (current(settings), undisturbed["none", BUDGETS[1]]))
    assert differences(found, wanted) == []


STAGES = {
    "open_run": "before the transaction",
    "list_chunks": "before the transaction",
    "estimate_chunk": "half of the files",
    "solve_night": "half of the files",
    "write_chunk": "before the transaction",
    "compare_run": "before the transaction",
    "check_run": "before the transaction",
    "publish_run": "before the transaction",
}


def test_orphans_of_every_task_that_wake_long_after_their_retries_change_nothing(
    any_tiny_world: Settings, undisturbed: Wanted
):
    settings, orphans = any_tiny_world, []

    def attempt(stage: str, fenced: bool, **arguments: Any) -> Any:
        tries = [arguments | ({"attempt": k} if fenced else {}) for k in (1, 2)]
        orphan = Child(settings, stage, STAGES[stage], signal.SIGSTOP, **tries[0])
        orphan.wait_until_stopped()
        orphans.append(orphan)
        return Child(settings, stage, **tries[1]).result()

    try:
        night(settings, TONIGHT, "new", attempt, NEW)
        wanted = night_of(undisturbed["none", BUDGETS[1]], TONIGHT)
        for orphan in orphans:
            orphan.go_on()
            with contextlib.suppress(StaleAttemptError, RunStateError):
                orphan.result()
            assert differences(night_of(current(settings), TONIGHT), wanted) == []
    finally:
        for orphan in orphans:
            orphan.end()


def test_an_orphan_inside_its_transaction_and_its_retry_write_the_chunk_once(
    any_tiny_world: Settings, undisturbed: Wanted
):
    settings = any_tiny_world

    def attempt(stage: str, fenced: bool, **arguments: Any) -> Any:
        if stage != "write_chunk":
            return Child(settings, stage, **arguments, **({"attempt": 1} if fenced else {})).result()
        orphan = Child(settings, stage, "assignments copied", signal.SIGSTOP, **arguments, attempt=1)
        orphan.wait_until_stopped()
        retry = Child(settings, stage, **arguments, attempt=2)
        orphan.go_on()
        assert orphan.result()["chunk"] == arguments["chunk"]
        return retry.result()

    night(settings, TONIGHT, "new", attempt, NEW)
    wanted = night_of(undisturbed["none", BUDGETS[1]], TONIGHT)
    assert differences(night_of(current(settings), TONIGHT), wanted) == []


def test_two_runs_of_one_date_at_the_same_time_leave_one_of_them_current(any_tiny_world: Settings, undisturbed: Wanted):
    settings = any_tiny_world
    pair = [Child(settings, "route", dt=TONIGHT, run_key=key, options=NEW) for key in ("one", "two")]
    reached = {published["run_id"]: published["status"] for published in (one.result() for one in pair)}
    assert reached[max(reached)] == "current"
    assert reached[min(reached)] in {"superseded", "current"}
    wanted = night_of(undisturbed["none", BUDGETS[1]], TONIGHT)
    assert differences(night_of(current(settings), TONIGHT), wanted) == []
