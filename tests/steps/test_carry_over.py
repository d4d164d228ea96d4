"""Carry-over across nights: what is deferred comes back, ages, expires with a reason, and goes out once."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import text

from routing_core.errors import RunStateError
from routing_core.records.assignments import Reason
from routing_core.settings import Settings
from routing_core.steps import hand_out, replan, route, settle
from routing_core.store.database import reading, writing
from routing_core.store.tables import metadata

FIRST = date(2026, 11, 22)
RICH, POOR = 10.0, 5e-5


def fetch(settings: Settings, query: str, **values) -> list:
    with reading(settings) as connection:
        return list(connection.execute(text(query), values).all())


def night(k: int) -> date:
    return FIRST + timedelta(days=k)


def ids(k: int, n: int = 12) -> list[str]:
    return [f"n{k}-{i:02d}" for i in range(n)]


def backlog(settings: Settings, k: int, names: list[str], **columns) -> None:
    """The backlog of the k-th night, in one small file, with prompts that the predictor knows the like of."""
    directory = Path(settings.backlog_root) / f"dt={night(k)}"
    directory.mkdir(parents=True, exist_ok=True)
    for file in directory.iterdir():
        file.unlink()
    n = len(names)
    table = {"query_id": names, "task": ["qa"] * n, "prompt": [f"explain {name} at length" for name in names]}
    pq.write_table(pa.table({**table, "input_tokens": [300] * n, **columns}), directory / "part.parquet")


def plan(settings: Settings, k: int, usd: float, carry: str = "chained", *, again: bool = False) -> dict:
    plan.count += 1
    options = route.RouteOptions(
        budget_usd=usd, carry_over=carry, replan=again, allocation_policy="latest", predictor_policy="latest"
    )
    return route.route(night(k), settings, run_key=f"run-{plan.count}", options=options)


plan.count = 0


def current(settings: Settings, table: str, k: int) -> list:
    of_night = f"SELECT x.* FROM {table} x JOIN nights n ON n.run_id = x.run_id WHERE n.dt = :d"
    return fetch(settings, of_night, d=str(night(k)))


def names_in(settings: Settings, table: str, k: int) -> set[str]:
    return {row.query_id for row in current(settings, table, k)}


@pytest.fixture
def nights(world: Settings) -> Settings:
    """Nights of a dozen queries each, planned in one chunk."""
    for k in range(5):
        backlog(world, k, ids(k))
    return world.model_copy(update={"chunks": 1, "carry_over_days": 3})


def test_a_deferred_query_ages_and_expires_with_the_reason(nights: Settings):
    for k in range(5):
        plan(nights, k, 0.0)
        waited = {row.nights_waited for row in current(nights, "deferred_queries", k)}
        assert waited == set(range(min(k, 3) + 1))
    gone = current(nights, "rejected_queries", 4)
    assert {row.query_id for row in gone} == set(ids(0))
    assert {row.reason for row in gone} == {Reason.EXPIRED}
    assert all("4 nights" in row.detail for row in gone)
    penalty = {row.nights_waited: row.penalty for row in current(nights, "deferred_queries", 4)}
    assert penalty[0] < penalty[1] < penalty[2] < penalty[3]


@pytest.mark.faults
def test_a_carried_query_past_its_deadline_expires_with_the_reason(nights: Settings):
    soon = datetime.combine(night(1), datetime.min.time(), tzinfo=UTC) + timedelta(hours=20)
    backlog(nights, 0, ids(0), deadline=pa.array([soon] * 12, pa.timestamp("us", "UTC")))
    plan(nights, 0, 0.0)
    assert names_in(nights, "deferred_queries", 0) == set(ids(0))
    plan(nights, 1, RICH)
    gone = [row for row in current(nights, "rejected_queries", 1) if row.query_id in ids(0)]
    assert {row.query_id for row in gone} == set(ids(0))
    assert all(row.reason == Reason.EXPIRED and "deadline is 2026-11-23" in row.detail for row in gone)


@pytest.mark.faults
def test_of_an_id_that_waits_and_comes_again_the_waiting_one_counts(nights: Settings):
    plan(nights, 0, 0.0)
    backlog(nights, 1, [*ids(0)[:3], *ids(1)])
    plan(nights, 1, RICH)
    first = {row.query_id: str(row.first_dt) for row in current(nights, "assignments", 1)}
    assert all(first[name] == str(night(0)) for name in ids(0))
    again = [row for row in current(nights, "rejected_queries", 1) if row.query_id in ids(0)]
    assert {(row.query_id, str(row.first_dt), row.reason) for row in again} == {
        (name, str(night(1)), Reason.DUPLICATE) for name in ids(0)[:3]
    }


def test_a_night_planned_by_itself_in_between_loses_nobody(nights: Settings):
    plan(nights, 0, 0.0)
    plan(nights, 1, 0.0, "none")
    plan(nights, 2, RICH)
    assert names_in(nights, "assignments", 2) == {*ids(0), *ids(1), *ids(2)}


@pytest.mark.faults
def test_a_night_that_comes_late_takes_up_what_is_free_and_is_taken_up_itself(nights: Settings):
    plan(nights, 0, 0.0)
    plan(nights, 2, 0.0)
    assert names_in(nights, "deferred_queries", 2) == {*ids(0), *ids(2)}
    settle.seal(night(2), nights)
    plan(nights, 1, 0.0)
    assert names_in(nights, "deferred_queries", 1) == set(ids(1))
    plan(nights, 3, RICH)
    assert names_in(nights, "assignments", 3) == {name for k in range(4) for name in ids(k)}


def test_a_night_whose_deferred_queries_went_out_later_only_gets_shadows(nights: Settings):
    plan(nights, 0, 0.0)
    plan(nights, 1, 0.0)
    plan(nights, 2, RICH)
    settle.seal(night(2), nights)
    assert plan(nights, 0, RICH)["status"] == plan(nights, 1, RICH)["status"] == "shadow"
    with pytest.raises(RunStateError, match="handed out, has sent or taken up: query_id=n0-00"):
        plan(nights, 0, RICH, again=True)
    assert names_in(nights, "assignments", 0) == set()


def test_a_plan_on_top_of_one_that_was_replaced_does_not_go_out(nights: Settings):
    plan(nights, 0, 0.0)
    plan(nights, 1, RICH)
    plan(nights, 0, RICH)
    with pytest.raises(RunStateError, match="took up queries of run 1 of 2026-11-22, which is superseded"):
        settle.seal(night(1), nights)
    plan(nights, 1, RICH, "as_before")
    settle.seal(night(1), nights)
    assert names_in(nights, "assignments", 0) == set(ids(0))
    assert names_in(nights, "assignments", 1) == set(ids(1))


@pytest.mark.faults
def test_planning_the_rest_leaves_alone_what_the_next_night_has_taken_up(nights: Settings):
    plan(nights, 0, POOR)
    waiting = names_in(nights, "deferred_queries", 0)
    assert waiting
    settle.seal(night(0), nights)
    plan(nights, 1, RICH)
    settle.seal(night(1), nights)
    replan.replan(night(0), nights, replan.Change(), run_key="rest")
    assert names_in(nights, "deferred_queries", 0) >= waiting


def test_a_night_handed_out_is_not_forgotten_when_its_rest_is_planned_anew(nights: Settings):
    plan(nights, 0, 0.0)
    plan(nights, 1, RICH)
    settle.seal(night(1), nights)
    replan.replan(night(1), nights, replan.Change(after_batch=2), run_key="rest")
    with pytest.raises(RunStateError, match="handed out, has sent or taken up: query_id=n0-00"):
        plan(nights, 0, RICH, again=True)


def test_what_is_said_to_be_sent_of_an_unsealed_plan_counts_as_handed_out(nights: Settings):
    plan(nights, 0, 0.0)
    plan(nights, 1, RICH)
    replan.replan(night(1), nights, replan.Change(after_batch=1), run_key="rest")
    with pytest.raises(RunStateError, match="was handed out"):
        hand_out.roll_back(night(1), nights)
    assert plan(nights, 1, RICH)["status"] == plan(nights, 0, RICH)["status"] == "shadow"
    with pytest.raises(RunStateError, match="handed out, has sent or taken up: query_id=n0-00"):
        plan(nights, 0, RICH, again=True)


def test_a_replan_by_itself_does_not_forget_what_a_sealed_night_took_up(nights: Settings):
    plan(nights, 0, 0.0)
    plan(nights, 1, RICH)
    settle.seal(night(1), nights)
    with pytest.raises(RunStateError, match=r"that run 2 took up from nights before, .*: n0-00"):
        plan(nights, 1, RICH, "none", again=True)
    assert plan(nights, 1, RICH, "as_before", again=True)["status"] == "current"


def test_what_a_night_handed_out_has_taken_up_is_left_to_it_by_a_night_in_between(nights: Settings):
    plan(nights, 0, 0.0)
    plan(nights, 2, RICH)
    plan(nights, 1, RICH)
    plan(nights, 2, RICH)
    plan(nights, 1, 0.0)
    settle.seal(night(2), nights)
    plan(nights, 1, RICH, "as_before", again=True)
    settle.seal(night(1), nights)
    assert names_in(nights, "assignments", 1) == set(ids(1))


def test_after_an_outage_longer_than_queries_wait_they_expire_with_the_reason(nights: Settings):
    nights = nights.model_copy(update={"carry_over_days": 1})
    plan(nights, 0, 0.0)
    plan(nights, 3, RICH)
    gone = {row.query_id: row.reason for row in current(nights, "rejected_queries", 3)}
    assert gone == dict.fromkeys(ids(0), Reason.EXPIRED)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["plan", "plan", "plan", "again", "seal", "rest"]),
        st.integers(0, 3),
        st.sampled_from([0.0, POOR, RICH]),
        st.sampled_from(["chained", "chained", "none", "as_before"]),
    ),
    min_size=4,
    max_size=10,
)


def act(settings: Settings, what: str, k: int, usd: float, carry: str) -> None:
    """One thing that somebody does; what is refused by name has changed nothing."""
    try:
        if what in ("plan", "again"):
            plan(settings, k, usd, carry, again=what == "again")
        elif what == "seal":
            settle.seal(night(k), settings)
        else:
            plan.count += 1
            replan.replan(night(k), settings, replan.Change(), run_key=f"rest-{plan.count}")
    except Exception as error:
        if type(error).__name__ not in ("RunStateError", "NotFoundError", "ChecksFailedError"):
            raise


def wipe(settings: Settings) -> None:
    """Forget every run."""
    of_runs = [table for table in metadata.sorted_tables if "run_id" in table.c]
    with writing(settings) as connection:
        for table in reversed(of_runs):
            connection.execute(table.delete())


@pytest.mark.faults
@seed(20261122)
@hypothesis_settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(ACTIONS)
def test_whatever_is_done_in_whatever_order_nothing_handed_out_is_sent_twice_or_lost(nights: Settings, actions):
    nights = nights.model_copy(update={"carry_over_days": 7})
    wipe(nights)
    for action in actions:
        act(nights, *action)
        out = fetch(
            nights,
            "SELECT a.query_id, a.first_dt FROM assignments a JOIN routing_runs r ON r.run_id = a.run_id "
            "WHERE r.status = 'current' "
            "AND EXISTS (SELECT 1 FROM routing_runs z WHERE z.dt = r.dt AND z.sealed_at IS NOT NULL)",
        )
        assert max(Counter(map(tuple, out)).values(), default=1) == 1, action
        for row in fetch(nights, "SELECT dt, backlog_rows, carried_rows, assigned, deferred, rejected FROM nights"):
            assert row.backlog_rows + row.carried_rows == row.assigned + row.deferred + row.rejected
    # A last night, chained and rich enough for all: whatever still waited comes out of it.
    plan(nights, 4, RICH)
    for k in range(4):
        for name in names_in(nights, "deferred_queries", k):
            later = [
                names_in(nights, table, j) for table in ("assignments", "rejected_queries") for j in range(k + 1, 5)
            ]
            assert any(name in names for names in later), (name, k)
