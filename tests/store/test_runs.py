"""The life of a run: keyed opening, fenced writers, publishing, sealing, failing."""

from __future__ import annotations

import threading
from datetime import date

import pyarrow as pa
import pytest
from sqlalchemy import select, text

from routing_core.errors import NotFoundError, RunStateError, StaleAttemptError
from routing_core.settings import Settings
from routing_core.store import chunks, decisions, openings, publishing, runs
from routing_core.store.database import reading, writing
from routing_core.store.tables.decisions import assignments
from routing_core.store.tables.runs import routing_runs

DT = date(2026, 11, 22)


def open_run(settings: Settings, key: str = "a", dt: date = DT, **values) -> int:
    columns = {
        "execution_date": dt,
        "replan": False,
        "dry_run": False,
        "degraded": "",
        "code_version": "test",
        "settings": {},
        "options": {},
        "seed": 1,
        "batching": "planned",
        "batches": 1,
        "budget_usd": 1.0,
    }
    with writing(settings) as connection:
        return openings.open_run(connection, dt, key, columns | values)


def published(settings: Settings, run_id: int) -> str:
    with writing(settings) as connection:
        runs.mark_checked(connection, run_id)
    with writing(settings) as connection:
        return publishing.publish(connection, run_id)


def status(settings: Settings, run_id: int) -> str:
    with reading(settings) as connection:
        return str(runs.get_run(connection, run_id).status)


def add_chunk(settings: Settings, run_id: int) -> None:
    with writing(settings) as connection:
        chunks.record(connection, run_id, [{"chunk": 0, "source": "backlog", "partitions": [["2026-11-22", "a"]]}])


def rows_of(ids: list[str], run_id: int) -> decisions.ChunkRows:
    n = len(ids)
    table = pa.table(
        {
            "run_id": [run_id] * n,
            "query_id": pa.array(ids, pa.string()),
            "dt": [DT] * n,
            "first_dt": [DT] * n,
            "partition": ["a"] * n,
            "chunk": [0] * n,
            "batch_no": [1] * n,
            "model": ["m"] * n,
            "task": ['t, with "quotes"\nand lines'] * n,
            "team": pa.nulls(n, pa.string()),
            "mean_quality": [0.5] * n,
            "planned_quality": [0.4] * n,
            "cost_usd": [1e-9] * n,
            "propensity": [1.0] * n,
        }
    )
    return decisions.ChunkRows(table, pa.table({}), pa.table({}))


def write(settings: Settings, run_id: int, attempt: int, ids: list[str]) -> None:
    with writing(settings) as connection:
        claim = chunks.claim_rows(connection, run_id, 0, attempt)
        chunks.mark_written(connection, claim, len(ids), decisions.write_rows(connection, claim, rows_of(ids, run_id)))


def written(settings: Settings) -> list[str]:
    with reading(settings) as connection:
        return sorted(connection.execute(select(assignments.c.query_id)).scalars())


def test_a_retry_with_the_same_key_gets_the_same_run(settings: Settings):
    assert open_run(settings, "dag/1") == open_run(settings, "dag/1")


def test_another_key_or_another_date_gets_another_run(settings: Settings):
    assert len({open_run(settings, "a"), open_run(settings, "b"), open_run(settings, "a", date(2026, 11, 23))}) == 3


def test_a_key_whose_run_has_failed_begins_again_with_a_new_run(settings: Settings):
    run_id = open_run(settings)
    with writing(settings) as connection:
        assert runs.fail(connection, run_id, "power cut")
    again = open_run(settings)
    assert again != run_id
    assert [status(settings, run_id), status(settings, again)] == ["failed", "staged"]


def test_work_left_half_way_is_begun_again_as_a_new_run_and_the_old_one_takes_no_more_rows(settings: Settings):
    run_id = open_run(settings)
    add_chunk(settings, run_id)
    again = open_run(settings)
    assert again != run_id
    assert status(settings, run_id) == "failed"
    with pytest.raises(RunStateError, match="is failed"):
        write(settings, run_id, 1, ["orphan"])


def test_a_dry_run_that_has_ended_is_left_as_it_is_when_its_key_begins_again(settings: Settings):
    run_id = open_run(settings, dry_run=True)
    add_chunk(settings, run_id)
    with writing(settings) as connection:
        runs.mark_checked(connection, run_id)
    assert open_run(settings, dry_run=True) != run_id
    assert status(settings, run_id) == "checked"


@pytest.mark.parametrize("key", ["dag/manual#7", "dag/a#2.1", "dag/x\ny"])
def test_a_key_of_any_letters_is_found_again(settings: Settings, key: str):
    run_id = open_run(settings, key)
    assert open_run(settings, key) == run_id
    add_chunk(settings, run_id)
    again = open_run(settings, key)
    assert again != run_id
    assert open_run(settings, key) == again


def test_a_solve_that_is_stale_is_refused(settings: Settings):
    run_id = open_run(settings)
    with writing(settings) as connection:
        runs.claim_solve(connection, run_id, 2)
    with pytest.raises(StaleAttemptError, match="attempt 1 at solving it is stale"), writing(settings) as connection:
        runs.claim_solve(connection, run_id, 1)


def test_a_date_stays_sealed_after_a_replan(settings: Settings):
    published(settings, open_run(settings, "a"))
    with writing(settings) as connection:
        publishing.seal(connection, DT)
    assert published(settings, open_run(settings, "b", replan=True)) == "current"
    assert published(settings, open_run(settings, "c")) == "shadow"


def test_deferred_queries_are_taken_up_from_the_newest_night_that_was_planned(settings: Settings):
    published(settings, open_run(settings, "a", date(2026, 11, 19)))
    newest = open_run(settings, "a", date(2026, 11, 20))
    published(settings, newest)
    with reading(settings) as connection:
        assert runs.take_up_from(connection, DT).run_id == newest
        assert runs.take_up_from(connection, date(2026, 11, 19)) is None


def test_a_published_run_is_never_rewritten_by_its_own_key(settings: Settings):
    run_id = open_run(settings)
    assert published(settings, run_id) == "current"
    again = open_run(settings)
    assert again != run_id
    assert status(settings, run_id) == "current"
    assert open_run(settings) == again


def test_publishing_supersedes_the_predecessor_and_leaves_one_current(settings: Settings):
    first, second = open_run(settings, "a"), open_run(settings, "b")
    assert [published(settings, first), published(settings, second)] == ["current", "current"]
    assert [status(settings, first), status(settings, second)] == ["superseded", "current"]


def test_of_two_runs_the_one_opened_last_wins_whatever_order_they_end_in(settings: Settings):
    first, second = open_run(settings, "a"), open_run(settings, "b")
    assert [published(settings, second), published(settings, first)] == ["current", "superseded"]
    assert status(settings, second) == "current"


def test_two_current_runs_of_a_date_are_refused_by_the_database_itself(settings: Settings):
    from sqlalchemy.exc import IntegrityError

    first, second = open_run(settings, "a"), open_run(settings, "b")
    with pytest.raises(IntegrityError), writing(settings) as connection:
        for run_id in (first, second):
            connection.execute(routing_runs.update().where(routing_runs.c.run_id == run_id).values(status="current"))


def test_publishing_twice_is_publishing_once(settings: Settings):
    run_id = open_run(settings)
    published(settings, run_id)
    with writing(settings) as connection:
        assert publishing.publish(connection, run_id) == "current"


def test_an_unchecked_run_is_not_published(settings: Settings):
    run_id = open_run(settings)
    with pytest.raises(RunStateError, match="is staged; this step needs it checked"), writing(settings) as connection:
        publishing.publish(connection, run_id)


def test_a_sealed_night_is_replaced_only_by_a_replan(settings: Settings):
    first = open_run(settings, "a")
    published(settings, first)
    with writing(settings) as connection:
        assert publishing.seal(connection, DT).sealed_at is not None
    shadow = open_run(settings, "b")
    assert published(settings, shadow) == "shadow"
    assert status(settings, first) == "current"
    replan = open_run(settings, "c", replan=True)
    assert published(settings, replan) == "current"
    with reading(settings) as connection:
        assert runs.get_run(connection, replan).supersedes_run_id == first
        assert runs.get_run(connection, first).sealed_at is not None


def test_a_date_without_a_current_run_cannot_be_sealed(settings: Settings):
    open_run(settings)
    with pytest.raises(NotFoundError, match="2026-11-22"), writing(settings) as connection:
        publishing.seal(connection, DT)


def test_a_published_run_cannot_fail(settings: Settings):
    run_id = open_run(settings)
    published(settings, run_id)
    with writing(settings) as connection:
        assert not runs.fail(connection, run_id, "too late")
    assert status(settings, run_id) == "current"


def test_a_later_attempt_replaces_a_chunk_even_by_fewer_rows(settings: Settings):
    run_id = open_run(settings)
    add_chunk(settings, run_id)
    write(settings, run_id, 1, ["a", "b", "c"])
    write(settings, run_id, 2, ["b"])
    assert written(settings) == ["b"]


def test_a_stale_attempt_writes_nothing(settings: Settings):
    run_id = open_run(settings)
    add_chunk(settings, run_id)
    write(settings, run_id, 2, ["b"])
    with pytest.raises(StaleAttemptError, match="attempt 1 is stale"):
        write(settings, run_id, 1, ["a"])
    assert written(settings) == ["b"]


def test_a_writer_that_dies_in_the_middle_leaves_what_was_there(settings: Settings):
    run_id = open_run(settings)
    add_chunk(settings, run_id)
    write(settings, run_id, 1, ["a"])
    with pytest.raises(ZeroDivisionError), writing(settings) as connection:
        claim = chunks.claim_rows(connection, run_id, 0, 2)
        decisions.write_rows(connection, claim, rows_of(["b"], run_id))
        raise ZeroDivisionError
    assert written(settings) == ["a"]


def test_nothing_is_written_to_a_run_that_is_no_longer_staged(settings: Settings):
    run_id = open_run(settings)
    add_chunk(settings, run_id)
    published(settings, run_id)
    with pytest.raises(RunStateError, match="is current"):
        write(settings, run_id, 9, ["z"])


def test_a_stale_estimate_is_refused(settings: Settings):
    run_id = open_run(settings)
    add_chunk(settings, run_id)
    with writing(settings) as connection:
        chunks.claim_estimate(connection, run_id, 0, 2)
    with pytest.raises(StaleAttemptError), writing(settings) as connection:
        chunks.mark_estimated(connection, run_id, 0, 1, "old")


def test_other_inputs_under_the_same_run_are_refused(settings: Settings):
    run_id = open_run(settings)
    add_chunk(settings, run_id)
    with pytest.raises(RunStateError, match="not those it listed before"), writing(settings) as connection:
        chunks.record(connection, run_id, [{"chunk": 0, "source": "backlog", "partitions": [["2026-11-22", "b"]]}])


def test_many_publishers_at_once_leave_exactly_the_last_opened_current(settings: Settings):
    ids = [open_run(settings, str(k)) for k in range(6)]
    for run_id in ids:
        with writing(settings) as connection:
            runs.mark_checked(connection, run_id)
    barrier = threading.Barrier(len(ids))

    def publish(run_id: int) -> None:
        barrier.wait()
        with writing(settings) as connection:
            publishing.publish(connection, run_id)

    threads = [threading.Thread(target=publish, args=(run_id,)) for run_id in ids]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    with reading(settings) as connection:
        current = text("SELECT run_id FROM routing_runs WHERE status = 'current'")
        assert connection.execute(current).scalars().all() == [ids[-1]]


def test_opening_at_once_gives_everyone_a_run_of_their_own(settings: Settings):
    opened: list[int] = []
    barrier = threading.Barrier(6)

    def go(key: str) -> None:
        barrier.wait()
        opened.append(open_run(settings, key))

    threads = [threading.Thread(target=go, args=(str(k),)) for k in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(set(opened)) == 6
