"""A whole night through the steps: everything decided once, reproducibly, and published at once or not at all."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from routing_core.errors import (
    ChangedInputError,
    ContractError,
    MissingAllocationError,
    MissingPartitionError,
    MissingPredictorError,
    StaleAttemptError,
)
from routing_core.records.assignments import Reason
from routing_core.records.catalog import Catalog
from routing_core.settings import Settings
from routing_core.steps import read, route, settle
from routing_core.store.catalog import read_catalog, write_catalog
from routing_core.store.database import reading, writing

TONIGHT = date(2026, 11, 22)
TOTALS = ("assigned", "deferred", "rejected", "planned_spend_usd", "objective", "bound", "expected_quality")


def fetch(settings: Settings, query: str, **values) -> list:
    with reading(settings) as connection:
        return list(connection.execute(text(query), values).all())


def totals(settings: Settings) -> dict:
    status = read.status(TONIGHT, settings)
    return {name: status[name] for name in TOTALS}


@pytest.fixture(params=["sqlite", "postgresql"])
def any_world(request: pytest.FixtureRequest) -> Settings:
    chosen: Settings = request.getfixturevalue({"sqlite": "world", "postgresql": "postgres_world"}[request.param])
    return chosen


def test_a_night_decides_every_row_once_within_budget_and_capacity(any_world: Settings):
    settings = any_world
    published = route.route(TONIGHT, settings, run_key="a")
    assert published["status"] == "current"
    rows = fetch(
        settings, "SELECT backlog_rows, assigned, deferred, rejected, planned_spend_usd, budget_usd FROM nights"
    )
    assert len(rows) == 1
    backlog, assigned, deferred, rejected, spend, budget = rows[0]
    assert backlog == 400 == assigned + deferred + rejected
    assert assigned > 0
    assert rejected >= 9
    assert spend <= budget
    ids = fetch(settings, "SELECT query_id FROM assignments UNION ALL SELECT query_id FROM deferred_queries")
    assert len(ids) == len(set(ids)) == assigned + deferred
    over = fetch(
        settings,
        "SELECT a.batch_no, a.model FROM assignments a JOIN run_models m ON m.run_id = a.run_id AND m.model = a.model "
        "GROUP BY a.batch_no, a.model HAVING count(*) > max(m.capacity_per_batch)",
    )
    assert over == []


def test_broken_rows_are_rejected_with_file_row_and_reason(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    rows = fetch(world, "SELECT partition, row, reason, detail FROM rejected_queries")
    assert {row.reason for row in rows} >= {Reason.MALFORMED, Reason.DUPLICATE}
    for row in rows:
        assert row.partition.endswith(".parquet")
        assert row.row >= 0
        assert row.detail


def test_the_night_does_not_depend_on_partitions_or_chunks(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    first = totals(world)
    backlog = Path(world.backlog_root) / f"dt={TONIGHT}"
    files = sorted(backlog.glob("*.parquet"))
    rows = pa.concat_tables([pq.read_table(file) for file in files])
    for file in files:
        file.unlink()
    for k in range(7):
        pq.write_table(
            rows.slice(k * len(rows) // 7, (k + 1) * len(rows) // 7 - k * len(rows) // 7), backlog / f"x{k}.parquet"
        )
    route.route(TONIGHT, world.model_copy(update={"chunks": 5}), run_key="b")
    assert totals(world) == first


def test_the_same_seed_gives_the_same_assignments(world: Settings):
    query = (
        "SELECT query_id, model, batch_no, cost_usd FROM assignments a JOIN nights n ON n.run_id = a.run_id ORDER BY 1"
    )
    route.route(TONIGHT, world, run_key="a")
    first = fetch(world, query)
    route.route(TONIGHT, world, run_key="b")
    assert fetch(world, query) == first


def test_two_runs_of_a_date_leave_one_current_and_no_duplicate(any_world: Settings):
    first = route.route(TONIGHT, any_world, run_key="a")
    second = route.route(TONIGHT, any_world, run_key="b")
    assert (first["run_id"], second["run_id"]) == (1, 2)
    assert fetch(any_world, "SELECT run_id, status FROM routing_runs ORDER BY 1") == [(1, "superseded"), (2, "current")]
    assert fetch(any_world, "SELECT count(*) FROM nights") == [(1,)]


def test_a_tighter_budget_is_never_exceeded_and_never_serves_better(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    rich = read.status(TONIGHT, world)
    options = route.RouteOptions(budget_usd=0.01)
    route.route(TONIGHT, world, run_key="b", options=options)
    poor = read.status(TONIGHT, world)
    assert poor["planned_spend_usd"] <= poor["budget_usd"] == 0.01
    assert poor["objective"] <= rich["bound"]


def test_a_budget_of_nothing_still_ends_in_a_night(world: Settings):
    route.route(TONIGHT, world, run_key="a", options=route.RouteOptions(budget_usd=0.0))
    status = read.status(TONIGHT, world)
    assert status["planned_spend_usd"] == 0.0
    assert status["deferred"] > 0


def test_arrival_batches_each_keep_their_capacity(world: Settings):
    route.route(TONIGHT, world, run_key="a", options=route.RouteOptions(batching="arrival"))
    status = read.status(TONIGHT, world)
    assert status["batching"] == "arrival"
    assert status["assigned"] > 0
    assert status["planned_spend_usd"] <= status["budget_usd"]


def test_a_dry_run_publishes_nothing(world: Settings):
    published = route.route(TONIGHT, world, run_key="a", options=route.RouteOptions(dry_run=True))
    assert published["status"] == "checked"
    assert fetch(world, "SELECT count(*) FROM nights") == [(0,)]


def test_a_sealed_night_gets_shadows_until_it_is_replanned(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    settle.seal(TONIGHT, world)
    assert route.route(TONIGHT, world, run_key="b")["status"] == "shadow"
    assert read.status(TONIGHT, world)["sealed"]
    assert route.route(TONIGHT, world, run_key="c", options=route.RouteOptions(replan=True))["status"] == "current"


def test_a_day_without_partition_fails_and_names_it(world: Settings):
    shutil.rmtree(Path(world.backlog_root) / f"dt={TONIGHT}")
    with pytest.raises(MissingPartitionError, match=f"dt={TONIGHT}"):
        route.route(TONIGHT, world, run_key="a")
    assert fetch(world, "SELECT status FROM routing_runs") == [("failed",)]


def test_an_empty_day_is_a_night_with_nothing_in_it(world: Settings):
    for file in (Path(world.backlog_root) / f"dt={TONIGHT}").iterdir():
        file.unlink()
    assert route.route(TONIGHT, world, run_key="a")["status"] == "current"
    status = read.status(TONIGHT, world)
    assert (status["assigned"], status["deferred"], status["rejected"], status["gap"]) == (0, 0, 0, 0.0)


def test_an_unreadable_file_fails_the_run_by_name(world: Settings):
    broken = Path(world.backlog_root) / f"dt={TONIGHT}" / "zz.parquet"
    broken.write_bytes(b"PAR1 this is not one")
    with pytest.raises(ContractError, match=r"zz\.parquet"):
        route.route(TONIGHT, world, run_key="a")


def test_a_file_that_changes_after_listing_fails_the_run_by_name(world: Settings):
    run_id = route.open_run(TONIGHT, world, run_key="a")
    chunks = route.list_chunks(run_id, world)
    file = sorted((Path(world.backlog_root) / f"dt={TONIGHT}").glob("*.parquet"))[0]
    pq.write_table(pq.read_table(file).slice(1), file)
    with pytest.raises(ChangedInputError, match=file.name):
        route.estimate_chunk(run_id, chunks[0], world, attempt=1)


def test_an_orphan_that_opens_late_does_not_begin_its_own_retrys_run_again(any_world: Settings):
    settings = any_world
    run_id = route.open_run(TONIGHT, settings, run_key="a", attempt=2)
    route.list_chunks(run_id, settings)
    with pytest.raises(StaleAttemptError, match="attempt 1 at opening it is stale"):
        route.open_run(TONIGHT, settings, run_key="a", attempt=1)
    assert fetch(settings, "SELECT run_id, status FROM routing_runs") == [(run_id, "staged")]
    assert route.open_run(TONIGHT, settings, run_key="a", attempt=3) == run_id + 1


def test_a_night_without_predictor_or_allocation_says_what_to_type(world: Settings):
    with writing(world) as connection:
        connection.execute(text("UPDATE allocations SET superseded_at = created_at"))
    with pytest.raises(MissingAllocationError, match="routing allocate --dt 2026-11-21"):
        route.open_run(TONIGHT, world, run_key="a")
    with writing(world) as connection:
        connection.execute(text("UPDATE predictor_versions SET superseded_at = created_at"))
    with pytest.raises(MissingPredictorError, match="routing retrain --dt 2026-11-22"):
        route.open_run(TONIGHT, world, run_key="a")


def test_a_degraded_night_takes_the_last_allocation_and_says_so(world: Settings):
    with writing(world) as connection:
        connection.execute(text("UPDATE allocations SET for_date = '2026-11-20'"))
    route.route(TONIGHT, world, run_key="a", options=route.RouteOptions(degraded=("allocation",)))
    assert read.status(TONIGHT, world)["degraded"] == "allocation"


def test_every_step_can_be_repeated_without_changing_the_outcome(any_world: Settings):
    settings = any_world
    run_id = route.open_run(TONIGHT, settings, run_key="a")
    assert route.open_run(TONIGHT, settings, run_key="a") == run_id
    chunks = route.list_chunks(run_id, settings)
    assert route.list_chunks(run_id, settings) == chunks
    for attempt in (1, 2):
        for chunk in reversed(chunks):
            route.estimate_chunk(run_id, chunk, settings, attempt=attempt)
    with pytest.raises(StaleAttemptError):
        route.estimate_chunk(run_id, chunks[0], settings, attempt=1)
    assert route.solve_night(run_id, settings) == route.solve_night(run_id, settings)
    for attempt in (1, 2):
        for chunk in chunks:
            route.write_chunk(run_id, chunk, settings, attempt=attempt)
    with pytest.raises(StaleAttemptError):
        route.write_chunk(run_id, chunks[0], settings, attempt=1)
    assert route.check_run(run_id, settings) == route.check_run(run_id, settings)
    assert route.publish_run(run_id, settings) == route.publish_run(run_id, settings)
    once = totals(settings)
    route.route(TONIGHT, settings, run_key="b")
    assert totals(settings) == once


_DIE = """
import os, signal, sys
from datetime import date
from routing_core.settings import load_settings
from routing_core.steps import route
def die(*args): os.kill(os.getpid(), signal.SIGKILL)
setattr(route, sys.argv[1], die)
route.route(date(2026, 11, 22), load_settings(budget_usd=0.05, batch_minutes=240.0, chunks=3), run_key="doomed")
"""


@pytest.mark.parametrize("stage", ["solve_night", "compare_run", "check_run", "publish_run"])
def test_a_process_killed_before_publishing_leaves_the_earlier_run_current(world: Settings, stage: str):
    route.route(TONIGHT, world, run_key="a")
    before = totals(world)
    died = subprocess.run([sys.executable, "-c", _DIE, stage], check=False)
    assert died.returncode == -signal.SIGKILL
    assert totals(world) == before
    assert fetch(world, "SELECT run_id FROM nights") == [(1,)]
    route.route(TONIGHT, world, run_key="doomed")
    assert fetch(world, "SELECT run_id, status FROM routing_runs ORDER BY 1") == [
        (1, "superseded"),
        (2, "failed"),
        (3, "current"),
    ]
    assert totals(world) == before


def test_what_was_deferred_comes_back_the_next_night_and_is_never_routed_twice(world: Settings):
    poor = route.RouteOptions(budget_usd=0.005)
    route.route(TONIGHT, world, run_key="a", options=poor)
    waiting = {row.query_id for row in fetch(world, "SELECT query_id FROM deferred_queries")}
    assert waiting
    tomorrow = date(2026, 11, 23)
    (Path(world.backlog_root) / f"dt={tomorrow}").mkdir()
    with writing(world) as connection:
        connection.execute(text("UPDATE allocations SET for_date = '2026-11-23'"))
    chained = route.RouteOptions(carry_over="chained", budget_usd=10.0)
    second = route.route(tomorrow, world, run_key="a", options=chained)
    taken = fetch(world, "SELECT query_id, first_dt FROM assignments WHERE run_id = :r", r=second["run_id"])
    left = fetch(world, "SELECT query_id, first_dt FROM deferred_queries WHERE run_id = :r", r=second["run_id"])
    gone = fetch(world, "SELECT query_id, first_dt FROM rejected_queries WHERE run_id = :r", r=second["run_id"])
    assert {row.query_id for row in (*taken, *left, *gone)} == waiting
    assert {str(row.first_dt) for row in (*taken, *left, *gone)} == {"2026-11-22"}
    first = {row.query_id for row in fetch(world, "SELECT query_id FROM assignments WHERE run_id = 1")}
    assert not first & {row.query_id for row in taken}


def test_a_carried_file_that_changed_fails_the_run_by_name(world: Settings):
    route.route(TONIGHT, world, run_key="a", options=route.RouteOptions(budget_usd=0.005))
    for file in (Path(world.backlog_root) / f"dt={TONIGHT}").glob("*.parquet"):
        pq.write_table(pq.read_table(file).slice(1), file)
    tomorrow = date(2026, 11, 23)
    (Path(world.backlog_root) / f"dt={tomorrow}").mkdir()
    with writing(world) as connection:
        connection.execute(text("UPDATE allocations SET for_date = '2026-11-23'"))
    with pytest.raises(ChangedInputError, match=r"gone or changed.*part-0000"):
        route.route(tomorrow, world, run_key="a", options=route.RouteOptions(carry_over="chained"))


def test_models_are_known_by_name_whatever_their_order_in_the_catalog(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    first = totals(world)
    catalog = read_catalog(world.catalog_file)
    write_catalog(Catalog(tuple(reversed(catalog.models))), world.home / "config" / "catalog.yaml")
    route.route(TONIGHT, world, run_key="b")
    assert totals(world) == pytest.approx(first, rel=1e-5)


def test_a_model_the_predictor_does_not_know_yet_gets_no_query(world: Settings):
    catalog = read_catalog(world.catalog_file)
    newcomer = replace(catalog.models[0], name="newcomer")
    write_catalog(Catalog((newcomer, *catalog.models)), world.home / "config" / "catalog.yaml")
    route.route(TONIGHT, world, run_key="a")
    assert fetch(world, "SELECT assigned FROM utilisation WHERE model = 'newcomer'") == [(0,)]
    assert read.status(TONIGHT, world)["assigned"] > 0


def test_a_catalog_that_changes_while_a_run_is_under_way_does_not_reach_it(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    first = totals(world)
    run_id = route.open_run(TONIGHT, world, run_key="b")
    catalog = read_catalog(world.catalog_file)
    write_catalog(Catalog(catalog.models[1:]), world.home / "config" / "catalog.yaml")
    route.finish(run_id, world)
    assert totals(world) == first


def test_a_run_whose_catalog_is_known_nowhere_any_more_fails(world: Settings):
    run_id = route.open_run(TONIGHT, world, run_key="a")
    catalog = read_catalog(world.catalog_file)
    write_catalog(Catalog(catalog.models[1:]), world.home / "config" / "catalog.yaml")
    shutil.rmtree(world.catalogs_root)
    with pytest.raises(ChangedInputError, match="the catalog changed"):
        route.finish(run_id, world)


def test_a_robust_level_asked_for_is_planned_with_and_recorded(world: Settings):
    objectives = []
    for level in (0.05, 0.4):
        route.route(TONIGHT, world, run_key=str(level), options=route.RouteOptions(robust_level=level))
        status = read.status(TONIGHT, world)
        assert (status["robust_method"], status["robust_level"]) == ("quantile", level)
        objectives.append(status["objective"])
    assert objectives[0] < objectives[1]


def test_a_smaller_accepted_probability_of_overspending_plans_on_less_money(world: Settings):
    budgets = []
    for probability in (0.05, 0.01):
        cautious = world.model_copy(update={"overspend_probability": probability})
        route.route(TONIGHT, cautious, run_key=str(probability))
        budgets.append(read.status(TONIGHT, cautious)["planning_budget_usd"])
    assert budgets[1] <= budgets[0] <= world.budget_usd


def test_a_team_stays_within_its_own_budget(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    spent = dict(fetch(world, "SELECT team, sum(planned_spend_usd) FROM spend WHERE team <> '' GROUP BY team"))
    team, usd = max(spent.items(), key=lambda one: one[1])
    tight = world.model_copy(update={"team_budgets_usd": {team: usd / 3}})
    route.route(TONIGHT, tight, run_key="b")
    after = dict(fetch(tight, "SELECT team, sum(planned_spend_usd) FROM spend WHERE team <> '' GROUP BY team"))
    assert after.get(team, 0.0) <= usd / 3
    assert fetch(tight, "SELECT team FROM run_teams WHERE run_id = 2") == [(team,)]


@pytest.mark.parametrize("chunks", [1, 4])
def test_which_of_two_rows_with_an_id_counts_does_not_depend_on_chunks(world: Settings, chunks: int):
    backlog = Path(world.backlog_root) / f"dt={TONIGHT}"
    files = sorted(backlog.glob("*.parquet"))
    row = pq.read_table(files[0]).slice(3, 1).select(["query_id", "task", "prompt", "input_tokens"])
    twin = row.set_column(0, "query_id", [["twin"]])
    pq.write_table(twin.append_column("allowed_models", [[["nobody"]]]), backlog / "a.parquet")
    pq.write_table(twin, backlog / "zz.parquet")
    route.route(TONIGHT, world.model_copy(update={"chunks": chunks}), run_key="a")
    reasons = fetch(world, "SELECT partition, reason FROM rejected_queries WHERE query_id = 'twin' ORDER BY partition")
    assert reasons == [("a.parquet", "no_eligible_model"), ("zz.parquet", "duplicate")]


def test_status_is_flat_json(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    status = json.loads(json.dumps(read.status(TONIGHT, world)))
    assert all(not isinstance(value, dict | list) for value in status.values())
