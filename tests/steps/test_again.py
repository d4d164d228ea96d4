"""One stage of an ended DAG run run again: from what the run before left, or not at all."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from routing_core.errors import NotFoundError, RunStateError
from routing_core.settings import Settings
from routing_core.steps import prune, route
from routing_core.store.database import reading, writing

TONIGHT = date(2026, 11, 22)
FIGURES = "assigned, deferred, rejected, planned_spend_usd, objective, bound, expected_quality"


@pytest.fixture(params=["sqlite", "postgresql"])
def ended(request: pytest.FixtureRequest) -> Settings:
    """A night that the DAG run "a" has published as run 1."""
    settings: Settings = request.getfixturevalue({"sqlite": "world", "postgresql": "postgres_world"}[request.param])
    route.route(TONIGHT, settings, run_key="a")
    return settings


def fetch(settings: Settings, query: str) -> list:
    with reading(settings) as connection:
        return list(connection.execute(text(query)).all())


def decisions(settings: Settings, run_id: int) -> list:
    return fetch(settings, f"SELECT query_id, model, batch_no FROM assignments WHERE run_id = {run_id} ORDER BY 1")


def figures(settings: Settings, run_id: int) -> list:
    return fetch(settings, f"SELECT {FIGURES} FROM routing_runs WHERE run_id = {run_id}")


def shards(settings: Settings, run_id: int) -> list[str]:
    rows = fetch(settings, f"SELECT estimate_shard FROM run_chunks WHERE run_id = {run_id} ORDER BY chunk")
    return [row.estimate_shard for row in rows]


def open_again(settings: Settings, **options) -> int:
    """What Airflow does first with whatever task is cleared."""
    return route.open_run(TONIGHT, settings, run_key="a", options=route.RouteOptions(**options), attempt=2)


def from_solve_on(settings: Settings, run_id: int, attempt: int = 2) -> None:
    route.solve_night(run_id, settings, attempt=attempt)
    for chunk in range(len(shards(settings, run_id))):
        route.write_chunk(run_id, chunk, settings, attempt=attempt)
    route.compare_run(run_id, settings)
    route.check_run(run_id, settings)
    assert route.publish_run(run_id, settings)["status"] == "current"


def test_the_solve_run_again_decides_the_same_from_the_estimates_there_are(ended: Settings):
    again = open_again(ended)
    from_solve_on(ended, again)
    assert decisions(ended, again) == decisions(ended, 1)
    assert figures(ended, again) == figures(ended, 1)
    assert shards(ended, again) == [f"../00000001/{name}" for name in shards(ended, 1)]
    assert fetch(ended, "SELECT run_id FROM routing_runs WHERE status = 'superseded'") == [(1,)]


def test_the_solve_run_again_and_again_leads_to_the_estimates_where_they_were_made(ended: Settings):
    for attempt in (2, 3):
        again = route.open_run(TONIGHT, ended, run_key="a", attempt=attempt)
        from_solve_on(ended, again, attempt)
    assert shards(ended, again) == [f"../00000001/{name}" for name in shards(ended, 1)]
    assert decisions(ended, again) == decisions(ended, 1)


def test_the_solve_run_again_takes_another_budget(ended: Settings):
    (planned,) = fetch(ended, "SELECT planned_spend_usd FROM routing_runs")[0]
    again = open_again(ended, budget_usd=planned / 2)
    from_solve_on(ended, again)
    (spent,) = fetch(ended, f"SELECT planned_spend_usd FROM routing_runs WHERE run_id = {again}")[0]
    assert 0 < spent <= planned / 2


def test_one_chunk_estimated_again_leaves_the_others_as_they_are(ended: Settings):
    again = open_again(ended)
    route.estimate_chunk(again, 0, ended, attempt=2)
    from_solve_on(ended, again)
    assert [name.startswith("../") for name in shards(ended, again)] == [False, *[True] * (len(shards(ended, 1)) - 1)]
    assert decisions(ended, again) == decisions(ended, 1)


def test_estimates_of_other_means_are_not_taken_over(ended: Settings):
    again = open_again(ended, robust_level=0.3)
    with pytest.raises(RunStateError, match=r"chunks 0, 1.* have no estimates of this input by these means"):
        route.solve_night(again, ended, attempt=2)
    assert fetch(ended, "SELECT run_id FROM nights") == [(1,)]


def test_estimates_of_another_input_are_not_taken_over(ended: Settings):
    file = min((Path(ended.backlog_root) / f"dt={TONIGHT}").glob("*.parquet"))
    pq.write_table(pq.read_table(file, partitioning=None).slice(1), file)
    with pytest.raises(RunStateError, match="have no estimates of this input"):
        route.solve_night(open_again(ended), ended, attempt=2)


def test_a_task_that_needs_a_solve_is_refused_without_one(ended: Settings):
    again = open_again(ended)
    with pytest.raises(NotFoundError, match="clear the whole DAG run"):
        route.write_chunk(again, 0, ended, attempt=2)
    with pytest.raises(RunStateError, match=r"has not been solved[\s\S]*clear the whole DAG run"):
        route.compare_run(again, ended)
    with pytest.raises(RunStateError, match="clear the whole DAG run"):
        route.publish_run(again, ended)
    assert fetch(ended, "SELECT run_id FROM nights") == [(1,)]


def test_estimates_that_were_taken_over_are_not_pruned(ended: Settings):
    again = open_again(ended)
    from_solve_on(ended, again)
    with writing(ended) as connection:
        connection.execute(text("UPDATE routing_runs SET opened_at = '2020-01-01 00:00:00'"))
    assert prune.prune(ended, keep_days=1)["runs"] == []
    with writing(ended) as connection:
        connection.execute(text(f"UPDATE run_chunks SET estimate_shard = 'estimates/x' WHERE run_id = {again}"))
    assert prune.prune(ended, keep_days=1)["runs"] == [1]


def broken_off(settings: Settings) -> int:
    """A run whose second chunk could not be estimated, and that was closed as failed."""
    run_id = route.open_run(TONIGHT, settings, run_key="b", attempt=1)
    assert len(route.list_chunks(run_id, settings)) > 1
    route.estimate_chunk(run_id, 0, settings, attempt=1)
    route.fail_run(run_id, settings, reason="estimate did not succeed")
    return run_id


def test_when_only_what_failed_is_cleared_the_run_goes_on(ended: Settings):
    run_id = broken_off(ended)
    for chunk in range(1, len(shards(ended, run_id))):
        route.estimate_chunk(run_id, chunk, ended, attempt=2)
    from_solve_on(ended, run_id)
    assert decisions(ended, run_id) == decisions(ended, 1)
    assert fetch(ended, f"SELECT failure, failed_at FROM routing_runs WHERE run_id = {run_id}") == [(None, None)]


def test_a_solve_that_failed_goes_on_when_it_alone_is_cleared(ended: Settings):
    run_id = route.open_run(TONIGHT, ended, run_key="b", attempt=1)
    for chunk in route.list_chunks(run_id, ended):
        route.estimate_chunk(run_id, chunk, ended, attempt=1)
    route.fail_run(run_id, ended, reason="solve did not succeed")
    from_solve_on(ended, run_id)
    assert decisions(ended, run_id) == decisions(ended, 1)


def test_neither_an_old_attempt_nor_an_orphan_of_a_run_begun_again_takes_a_failed_run_up(ended: Settings):
    run_id = broken_off(ended)
    with pytest.raises(RunStateError, match="is failed"):
        route.estimate_chunk(run_id, 0, ended, attempt=1)
    assert route.open_run(TONIGHT, ended, run_key="b", attempt=2) != run_id
    with pytest.raises(RunStateError, match="is failed"):
        route.estimate_chunk(run_id, 1, ended, attempt=2)
    with pytest.raises(RunStateError, match="is failed"):
        route.solve_night(run_id, ended, attempt=2)
