"""What has not been sent, planned anew: what was sent is kept, what is gone is not used, what is left is enough."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text

from routing_core.errors import CatalogError, NotFoundError, RunStateError, SettingsError
from routing_core.records.catalog import Catalog, Serving
from routing_core.settings import Settings
from routing_core.steps import compare, hand_out, read, replan, route, settle
from routing_core.steps.replan import Change
from routing_core.store.catalog import read_catalog, write_catalog
from routing_core.store.database import reading

TONIGHT = date(2026, 11, 22)


def fetch(settings: Settings, query: str, **values) -> list:
    with reading(settings) as connection:
        return list(connection.execute(text(query), values).all())


def rows_of(settings: Settings, run_id: int) -> dict[str, tuple]:
    columns = "query_id, model, batch_no, mean_quality, planned_quality, cost_usd, runner_up, regret, candidates"
    rows = fetch(settings, f"SELECT {columns} FROM assignments WHERE run_id = :r", r=run_id)
    return {row.query_id: tuple(row)[1:] for row in rows}


def slow_models(settings: Settings) -> Settings:
    """The same world with models that take few queries a batch, so that a night takes all of its eight batches."""
    slow = [
        replace(model, rate_limit_per_minute=0.15)
        if model.serving is Serving.API
        else replace(model, concurrency_per_instance=4)
        for model in read_catalog(settings.catalog_file)
    ]
    write_catalog(Catalog(tuple(slow)), settings.home / "config" / "catalog.yaml")
    return settings.model_copy(update={"batch_minutes": 60.0, "gap": 1e-2})


@pytest.fixture(params=["sqlite", "postgresql"])
def sent(request: pytest.FixtureRequest) -> Settings:
    """A night of eight batches, planned and handed out."""
    settings: Settings = request.getfixturevalue({"sqlite": "world", "postgresql": "postgres_world"}[request.param])
    settings = slow_models(settings)
    route.route(TONIGHT, settings, run_key="a")
    settle.seal(TONIGHT, settings)
    return settings


@pytest.fixture
def night(world: Settings) -> Settings:
    """The same on SQLite alone, with a team that has a budget of its own."""
    settings = slow_models(world)
    route.route(TONIGHT, settings, run_key="x")
    team = fetch(settings, "SELECT team FROM spend WHERE team <> '' ORDER BY planned_spend_usd DESC")[0][0]
    settings = settings.model_copy(update={"team_budgets_usd": {team: 0.004}})
    route.route(TONIGHT, settings, run_key="a")
    settle.seal(TONIGHT, settings)
    return settings


def favourite(settings: Settings, serving: str, run_id: int) -> str:
    query = (
        "SELECT a.model FROM assignments a JOIN run_models m ON m.run_id = a.run_id AND m.model = a.model "
        "WHERE m.serving = :serving AND a.run_id = :r AND a.batch_no > 2 GROUP BY a.model ORDER BY count(*) DESC"
    )
    return str(fetch(settings, query, serving=serving, r=run_id)[0][0])


def test_what_was_sent_is_kept_and_a_withdrawn_model_gets_nothing_more(sent: Settings):
    first, gone = rows_of(sent, 1), favourite(sent, "api", 1)
    done = replan.replan(TONIGHT, sent, Change(withdraw=(gone,), after_batch=2), run_key="r")
    assert (done["status"], done["run_id"], done["replaced_run_id"], done["sent_through_batch"]) == ("current", 2, 1, 2)
    second = rows_of(sent, 2)
    early = {name: row for name, row in first.items() if row[1] <= 2}
    assert early
    assert {name: row for name, row in second.items() if row[1] <= 2} == early
    assert done["kept"] == len(early)
    assert all(row[0] != gone for row in second.values() if row[1] > 2)
    assert any(row[0] == gone for row in first.values() if row[1] > 2)
    night = read.status(TONIGHT, sent)
    assert night["planned_spend_usd"] <= night["budget_usd"]
    assert night["assigned"] + night["deferred"] + night["rejected"] == 400
    assert 0 <= night["gap"] < 1e-2
    trace = fetch(sent, "SELECT replan, supersedes_run_id, base_run_id, sealed_at FROM routing_runs WHERE run_id = 2")
    assert [tuple(row) for row in trace] == [(True, 1, 1, None)]
    assert not compare.diff(1, 2, sent)["queries"]["only_in_b"]


@pytest.mark.faults
def test_lost_instances_bind_only_the_batches_to_come(sent: Settings):
    model = favourite(sent, "self_hosted", 1)
    before = fetch(
        sent, "SELECT instances, capacity_per_batch FROM run_models WHERE run_id = 1 AND model = :m", m=model
    )
    instances, capacity = before[0]
    replan.replan(TONIGHT, sent, Change(lose={model: 1}, after_batch=1), run_key="r")
    after = fetch(
        sent,
        "SELECT instances, capacity_per_batch, capacity_left_per_batch FROM run_models WHERE run_id = 2 AND model = :m",
        m=model,
    )
    left = capacity * (instances - 1) // instances
    assert [tuple(row) for row in after] == [(instances - 1, capacity, left)]
    loads = fetch(
        sent, "SELECT batch_no, assigned FROM batches WHERE run_id = 2 AND model = :m AND batch_no > 1", m=model
    )
    assert all(row.assigned <= left for row in loads)


@pytest.mark.faults
def test_queries_named_as_sent_are_kept_and_their_batches_are_over(night: Settings, tmp_path):
    first = rows_of(night, 2)
    partly = sorted(name for name, row in first.items() if row[1] == 2)[::2]
    files = [tmp_path / "sent.txt", tmp_path / "sent.jsonl"]
    files[0].write_text("\n".join(partly[1:]) + "\n")
    files[1].write_text(json.dumps({"custom_id": partly[0]}))
    done = replan.replan(TONIGHT, night, Change(after_batch=1, sent=tuple(files)), run_key="r")
    second = rows_of(night, 3)
    stays = {name: row for name, row in first.items() if row[1] == 1 or name in partly}
    assert done["sent_through_batch"] == 2
    assert {name: row for name, row in second.items() if row[1] <= 2} == stays


@pytest.mark.faults
def test_an_exported_file_says_what_was_sent(night: Settings):
    exported = hand_out.export(TONIGHT, night, form="jsonl")
    one = next(file for file in exported["files"] if file["kind"] == "batch")
    path = Path(exported["directory"]) / one["name"]
    before = rows_of(night, 2)
    replan.replan(TONIGHT, night, Change(withdraw=(one["model"],), sent=(path,)), run_key="r")
    after = rows_of(night, 3)
    mine = {name for name, row in before.items() if row[0] == one["model"]}
    assert {name for name, row in after.items() if row[0] == one["model"]} == mine
    assert all(after[name] == before[name] for name in mine)


@pytest.mark.faults
def test_only_the_rest_is_exported_after_a_replan(night: Settings):
    replan.replan(TONIGHT, night, Change(after_batch=3), run_key="r")
    assert not fetch(night, "SELECT 1 FROM routing_runs WHERE run_id = 3 AND sealed_at IS NOT NULL")
    exported = hand_out.export(TONIGHT, night)
    later = fetch(night, "SELECT count(*) FROM assignments WHERE run_id = 3 AND batch_no > 3")
    assert exported["rows"] == later[0][0] < read.status(TONIGHT, night)["assigned"]
    assert read.status(TONIGHT, night)["sealed"]


@pytest.mark.faults
def test_nothing_lost_and_nothing_sent_gives_the_plan_again(night: Settings):
    first = read.status(TONIGHT, night)
    replan.replan(TONIGHT, night, Change(), run_key="r")
    again = read.status(TONIGHT, night)
    for name in ("assigned", "deferred", "rejected"):
        assert again[name] == first[name]
    assert again["objective"] == pytest.approx(first["objective"], rel=1e-9)


@pytest.mark.faults
def test_losses_add_up_from_replan_to_replan(night: Settings):
    gone, model = favourite(night, "api", 2), favourite(night, "self_hosted", 2)
    replan.replan(TONIGHT, night, Change(withdraw=(gone,), after_batch=1), run_key="r")
    replan.replan(TONIGHT, night, Change(lose={model: 1}, after_batch=4), run_key="s")
    second, third = rows_of(night, 3), rows_of(night, 4)
    assert {n: row for n, row in third.items() if row[1] <= 4} == {n: row for n, row in second.items() if row[1] <= 4}
    assert all(row[0] != gone for row in third.values() if row[1] > 1)
    options = fetch(night, "SELECT options FROM routing_runs WHERE run_id = 4")[0][0]
    options = json.loads(options) if isinstance(options, str) else options
    assert (options["withdraw"], options["lose"]) == ([gone], {model: 1})
    replan.replan(TONIGHT, night, Change(after_batch=0), run_key="t")
    assert {n: r for n, r in rows_of(night, 5).items() if r[1] <= 4} == {n: r for n, r in third.items() if r[1] <= 4}


@pytest.mark.faults
def test_after_the_last_batch_all_that_was_not_sent_waits(night: Settings):
    replan.replan(TONIGHT, night, Change(after_batch=8), run_key="r")
    assert rows_of(night, 3) == rows_of(night, 2)


@pytest.mark.faults
def test_estimates_that_are_gone_are_made_again_and_change_nothing(night: Settings):
    replan.replan(TONIGHT, night, Change(after_batch=2), run_key="r")
    first = rows_of(night, 3)
    for run_id in (1, 2, 3):
        shutil.rmtree(night.run_directory(run_id) / "estimates", ignore_errors=True)
    replan.replan(TONIGHT, night, Change(after_batch=2), run_key="s")
    assert rows_of(night, 4) == first


def test_what_cannot_be_is_refused_by_name_and_changes_nothing(night: Settings, tmp_path):
    model = favourite(night, "self_hosted", 2)
    api = favourite(night, "api", 2)
    (tmp_path / "sent").write_text("nobody\n")
    for change, error, said in (
        (Change(withdraw=("nobody",)), CatalogError, "nobody"),
        (Change(lose={api: 1}), SettingsError, "no instances"),
        (Change(lose={model: 99}), SettingsError, "cannot lose 99"),
        (Change(after_batch=9), SettingsError, "from 0 to 8"),
        (Change(sent=(tmp_path / "sent",)), NotFoundError, "nobody"),
    ):
        with pytest.raises(error, match=said):
            replan.replan(TONIGHT, night, change, run_key="r")
    assert read.status(TONIGHT, night)["run_id"] == 2
    with pytest.raises(NotFoundError, match="nothing is left"):
        replan.replan(date(2026, 1, 1), night, Change(), run_key="r")


@pytest.mark.faults
def test_a_rest_planned_from_a_run_that_was_replaced_meanwhile_is_not_published(night: Settings, monkeypatch):
    real = route.check_run

    def overtaken(run_id, settings):
        monkeypatch.setattr(route, "check_run", real)
        route.route(TONIGHT, settings, run_key="b", options=route.RouteOptions(replan=True))
        return real(run_id, settings)

    monkeypatch.setattr(route, "check_run", overtaken)
    with pytest.raises(RunStateError, match="no longer current"):
        replan.replan(TONIGHT, night, Change(after_batch=1), run_key="r")
    assert read.status(TONIGHT, night)["run_id"] == 4
