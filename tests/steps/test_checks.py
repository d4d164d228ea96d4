"""The checks before publishing: each of them can fail, by name, and then the earlier night stays current."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import text

from routing_core.errors import ChecksFailedError
from routing_core.settings import Settings
from routing_core.steps import read, route
from routing_core.store import checks, results, runs
from routing_core.store.database import reading, writing

TONIGHT = date(2026, 11, 22)
ANY = "(SELECT min(query_id) FROM assignments WHERE run_id = 2)"

TAMPERING = {
    "each_row_is_decided_once": f"DELETE FROM assignments WHERE run_id = 2 AND query_id = {ANY}",
    "every_chunk_is_written": "UPDATE run_chunks SET written_at = NULL WHERE run_id = 2 AND chunk = 0",
    "spend_is_within_budget": f"UPDATE assignments SET cost_usd = 99 WHERE run_id = 2 AND query_id = {ANY}",
    "no_model_is_over_capacity": "UPDATE run_models SET capacity_per_batch = 0 WHERE run_id = 2 AND assigned > 0",
    "every_assignment_is_eligible": f"UPDATE assignments SET candidates = 0 WHERE run_id = 2 AND query_id = {ANY}",
    "objective_is_within_bound": "UPDATE routing_runs SET bound = objective - 1 WHERE run_id = 2",
    "every_team_is_within_its_budget": "INSERT INTO run_teams "
    "(run_id, team, budget_usd, cost_margin, assigned, planned_spend_usd) VALUES (2, 'red', 1.0, 1.0, 1, 2.0)",
    "carried_queries_are_carried_once": "INSERT INTO run_sources VALUES (2, 2, 1)",
    "the_next_night_still_follows": "INSERT INTO run_sources VALUES (1, 1, 1)",
    "nothing_is_sent_twice": "UPDATE routing_runs SET dt = '2026-11-23', sealed_at = opened_at, carried_rows = 1 "
    "WHERE run_id = 1; UPDATE run_inputs SET source = 'carried' WHERE run_id = 1",
    "what_was_sent_is_kept": "UPDATE routing_runs SET base_run_id = 1, sent_through_batch = 99 WHERE run_id = 2; "
    f"UPDATE assignments SET model = 'another' WHERE run_id = 1 AND query_id = {ANY}",
    "gpu_hours_are_within_budget": "UPDATE routing_runs SET gpu_usd = budget_usd + 1 WHERE run_id = 2",
    "few_are_deferred": "UPDATE routing_runs SET deferred = assigned + 1 WHERE run_id = 2",
}


def test_every_check_is_tampered_with_here_and_says_what_it_guards():
    files = checks.check_files()
    assert {file.stem for file in files} == set(TAMPERING)
    for file in files:
        severity, what = file.read_text().splitlines()[:2]
        assert severity in ("-- severity: fail", "-- severity: warn")
        assert what.startswith("-- what: ")


@pytest.fixture(params=["sqlite", "postgresql"])
def staged(request: pytest.FixtureRequest) -> Settings:
    """A current night, and a second run of it written but not checked."""
    settings: Settings = request.getfixturevalue({"sqlite": "world", "postgresql": "postgres_world"}[request.param])
    route.route(TONIGHT, settings, run_key="first")
    run_id = route.open_run(TONIGHT, settings, run_key="second")
    chunks = route.list_chunks(run_id, settings)
    for chunk in chunks:
        route.estimate_chunk(run_id, chunk, settings, attempt=1)
    route.solve_night(run_id, settings)
    for chunk in chunks:
        route.write_chunk(run_id, chunk, settings, attempt=1)
    with writing(settings) as connection:
        runs.update_run(connection, run_id, rejected=results.count_rejected(connection, run_id))
    return settings


def test_each_check_fails_by_name_when_what_it_guards_is_broken(staged: Settings):
    for name, statement in TAMPERING.items():
        with reading(staged) as connection:
            before = {found.name for found in checks.run_checks(connection, 2) if found.offending}
        assert name not in before
        with pytest.raises(UndoError), writing(staged) as connection:
            for one in statement.split("; "):
                connection.execute(text(one))
            broken = {found.name: found for found in checks.run_checks(connection, 2) if found.offending}
            assert name in broken, name
            raise UndoError


def test_a_query_that_was_sent_and_is_given_to_no_model_now_is_seen(staged: Settings):
    with pytest.raises(UndoError), writing(staged) as connection:
        said = """UPDATE routing_runs SET base_run_id = 1, sent_through_batch = 9, options = '{"after_batch": 9}'"""
        connection.execute(text(said + " WHERE run_id = 2"))
        assert not checks.run_check(connection, 2, "what_was_sent_is_kept").offending
        connection.execute(text(f"DELETE FROM assignments WHERE run_id = 2 AND query_id = {ANY}"))
        assert len(checks.run_check(connection, 2, "what_was_sent_is_kept").offending) == 1
        raise UndoError


def test_a_broken_run_is_not_published_and_the_error_shows_the_rows(staged: Settings):
    with writing(staged) as connection:
        connection.execute(text(TAMPERING["no_model_is_over_capacity"]))
    with pytest.raises(ChecksFailedError, match=r"run 2 of 2026-11-22.*no_model_is_over_capacity.*batch_no="):
        route.check_run(2, staged)
    assert read.status(TONIGHT, staged)["run_id"] == 1


class UndoError(Exception):
    """Takes the tampering back."""
