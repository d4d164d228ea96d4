"""Handing a night out: whole or not at all, sealed, proven, the same again; held back, taken back, compared."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from datetime import date
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from routing_core.errors import ChangedInputError, NotFoundError, RunStateError, SettingsError
from routing_core.settings import Settings
from routing_core.steps import compare, hand_out, read, route, settle
from routing_core.store import outbox
from routing_core.store.database import reading, writing

TONIGHT = date(2026, 11, 22)
POOR = route.RouteOptions(budget_usd=0.01)


def fetch(settings: Settings, query: str, **values) -> list:
    with reading(settings) as connection:
        return list(connection.execute(text(query), values).all())


@pytest.fixture(params=["sqlite", "postgresql"])
def planned(request: pytest.FixtureRequest) -> Settings:
    """A planned night on each kind of database."""
    settings: Settings = request.getfixturevalue({"sqlite": "world", "postgresql": "postgres_world"}[request.param])
    route.route(TONIGHT, settings, run_key="a")
    return settings


@pytest.fixture
def night(world: Settings) -> Settings:
    """A planned night on SQLite."""
    route.route(TONIGHT, world, run_key="a")
    return world


def prompts(settings: Settings) -> dict[str, set[str]]:
    """Every prompt that the backlog has under an id: broken rows may share one."""
    found: dict[str, set[str]] = {}
    for file in sorted((Path(settings.backlog_root) / f"dt={TONIGHT}").glob("*.parquet")):
        for row in pq.read_table(file, columns=["query_id", "prompt"]).to_pylist():
            found.setdefault(row["query_id"], set()).add(row["prompt"])
    return found


def contents(directory: str | Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(Path(directory).iterdir())}


def test_the_parquet_plan_holds_every_assignment_once_with_its_prompt_in_batch_order(planned: Settings):
    done = hand_out.export(TONIGHT, planned)
    table = pq.read_table(Path(done["directory"]) / "plan.parquet")
    rows = fetch(planned, "SELECT batch_no, model, query_id FROM assignments ORDER BY batch_no, query_id")
    seen = [(row["batch_no"], row["model"], row["query_id"]) for row in table.to_pylist()]
    assert sorted(seen) == sorted(map(tuple, rows))
    assert seen == sorted(seen)
    by_id = prompts(planned)
    assert all(row["prompt"] in by_id[row["query_id"]] for row in table.to_pylist())
    assert done["rows"] == len(rows) == read.status(TONIGHT, planned)["assigned"]
    assert read.status(TONIGHT, planned)["sealed"]
    assert fetch(planned, "SELECT run_id, format, rows, checksum FROM exports") == [
        (1, "parquet", done["rows"], done["checksum"])
    ]


def test_jsonl_is_one_batch_file_per_api_model_and_one_work_list_per_self_hosted_one(night: Settings):
    done = hand_out.export(TONIGHT, night, form="jsonl")
    rows = fetch(
        night,
        "SELECT a.query_id, a.model, a.batch_no, m.serving FROM assignments a "
        "JOIN run_models m ON m.run_id = a.run_id AND m.model = a.model ORDER BY a.model, a.batch_no, a.query_id",
    )
    assert {(one["model"], one["kind"]) for one in done["files"]} == {
        (row.model, "batch" if row.serving == "api" else "worklist") for row in rows
    }
    by_id = prompts(night)
    for one in done["files"]:
        lines = [json.loads(line) for line in (Path(done["directory"]) / one["name"]).read_text().splitlines()]
        wanted = [row for row in rows if row.model == one["model"]]
        assert one["rows"] == len(lines) == len(wanted)
        for line, row in zip(lines, wanted, strict=True):
            if row.serving == "api":
                message = line["body"]["messages"][0]
                assert line["custom_id"] == row.query_id
                assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
                assert (line["body"]["model"], message["role"]) == (row.model, "user")
                assert message["content"] in by_id[row.query_id]
            else:
                assert (line["query_id"], line["batch_no"], line["model"]) == (row.query_id, row.batch_no, row.model)
                assert line["prompt"] in by_id[row.query_id]


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_the_manifest_and_the_checksums_prove_every_file(night: Settings, form):
    done = hand_out.export(TONIGHT, night, form=form)
    files = contents(done["directory"])
    manifest = json.loads(files["manifest.json"])
    assert (manifest["run_id"], manifest["dt"], manifest["execution_date"]) == (1, "2026-11-22", "2026-11-23")
    assert manifest["rows"] == sum(one["rows"] for one in manifest["files"])
    sums = dict(reversed(line.split("  ")) for line in files["SHA256SUMS"].decode().splitlines())
    assert set(sums) == set(files) - {"SHA256SUMS"}
    assert all(sha256(files[name]).hexdigest() == digest for name, digest in sums.items())
    assert {one["name"]: one["sha256"] for one in manifest["files"]}.items() <= sums.items()
    assert sha256(files["manifest.json"]).hexdigest() == done["checksum"]


@pytest.mark.faults
@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_exporting_a_sealed_night_again_gives_the_same_bytes_wherever_and_after_shadows(
    night: Settings, form, tmp_path
):
    first = contents(hand_out.export(TONIGHT, night, form=form)["directory"])
    assert route.route(TONIGHT, night, run_key="b", options=POOR)["status"] == "shadow"
    assert contents(hand_out.export(TONIGHT, night, form=form)["directory"]) == first
    assert contents(hand_out.export(TONIGHT, night, form=form, to=tmp_path / "else" / "where")["directory"]) == first
    assert len(fetch(night, "SELECT 1 FROM exports")) == 3


@pytest.mark.faults
def test_a_plan_that_was_tampered_with_is_written_anew(night: Settings):
    done = hand_out.export(TONIGHT, night, form="jsonl")
    first = contents(done["directory"])
    (Path(done["directory"]) / done["files"][0]["name"]).write_text("{}\n")
    hand_out.export(TONIGHT, night, form="jsonl")
    assert contents(done["directory"]) == first


@pytest.mark.faults
def test_the_size_of_stretches_does_not_show(night: Settings, monkeypatch: pytest.MonkeyPatch):
    whole = {form: contents(hand_out.export(TONIGHT, night, form=form)["directory"]) for form in ("jsonl", "parquet")}
    plan = pq.read_table(pa.BufferReader(whole["parquet"]["plan.parquet"]))
    monkeypatch.setattr(outbox, "_STRETCH", 17)
    again = {form: contents(hand_out.export(TONIGHT, night, form=form)["directory"]) for form in ("jsonl", "parquet")}
    assert again["jsonl"] == whole["jsonl"]
    assert pq.read_table(pa.BufferReader(again["parquet"]["plan.parquet"])).equals(plan)


@pytest.mark.faults
def test_a_prompt_file_that_changed_is_refused_by_name_and_nothing_is_sealed(night: Settings):
    file = sorted((Path(night.backlog_root) / f"dt={TONIGHT}").glob("*.parquet"))[1]
    pq.write_table(pq.read_table(file).slice(1), file)
    with pytest.raises(ChangedInputError, match=file.name):
        hand_out.export(TONIGHT, night)
    assert not read.status(TONIGHT, night)["sealed"]
    assert not list(night.exports_root.rglob("plan.parquet"))


_DIE = """
import os, signal, sys
from datetime import date
from routing_core.settings import load_settings
from routing_core.steps import hand_out
from routing_core.store import handover, outbox, publishing
def die(*args, **named): os.kill(os.getpid(), signal.SIGKILL)
room = {"outbox": outbox, "handover": handover, "publishing": publishing}[sys.argv[1]]
assert hasattr(room, sys.argv[2])
setattr(room, sys.argv[2], die)
hand_out.export(date(2026, 11, 22), load_settings(), form="jsonl")
"""


@pytest.mark.faults
@pytest.mark.parametrize(
    "moment",
    [("outbox", "_by_model"), ("handover", "seal_files"), ("publishing", "seal"), ("handover", "put_in_place"),
     ("handover", "record")],
    ids="-".join,
)  # fmt: skip
def test_an_export_killed_at_any_moment_hands_nothing_out_and_is_simply_repeated(night: Settings, moment):
    died = subprocess.run([sys.executable, "-c", _DIE, *moment], check=False)
    assert died.returncode == -signal.SIGKILL
    assert not read.status(TONIGHT, night)["sealed"]
    final = night.exports_root / f"dt={TONIGHT}" / "run-00000001" / "jsonl"
    assert final.exists() == (moment == ("handover", "record"))
    route.route(TONIGHT, night, run_key="b", options=POOR)
    done = hand_out.export(TONIGHT, night, form="jsonl")
    assert done["run_id"] == 2
    assert [found.name for found in final.parent.parent.glob("run-*")] == ["run-00000002"]


@pytest.mark.faults
def test_a_plan_that_is_superseded_while_it_is_written_is_not_handed_out(night: Settings, monkeypatch):
    real = hand_out.handover.seal_files

    def overtaken(*arguments):
        monkeypatch.setattr(hand_out.handover, "seal_files", real)
        route.route(TONIGHT, night, run_key="b")
        return real(*arguments)

    monkeypatch.setattr(hand_out.handover, "seal_files", overtaken)
    with pytest.raises(RunStateError, match="run 1 of 2026-11-22 was superseded by run 2"):
        hand_out.export(TONIGHT, night)
    assert not read.status(TONIGHT, night)["sealed"]
    assert not list(night.exports_root.rglob("plan.parquet"))


def test_names_of_models_make_safe_and_distinct_file_names():
    names = ["a/b", "a-b", "../../etc", "ü", "x" * 300, "x" * 301, "llama-3.1-8b"]
    made = [outbox._file_name(name, "api") for name in names]
    assert len(set(made)) == len(names)
    assert all(len(name) < 120 and "/" not in name and name.startswith("batch-") for name in made)


@pytest.mark.faults
def test_a_url_is_refused_as_a_place_for_plans(night: Settings):
    with pytest.raises(SettingsError, match="s3://bucket"):
        hand_out.export(TONIGHT, night, to="s3://bucket/x")


@pytest.mark.faults
def test_a_night_without_a_plan_or_without_queries_is_a_clear_outcome(world: Settings):
    with pytest.raises(NotFoundError, match="routing route --dt 2026-11-22"):
        hand_out.export(TONIGHT, world)
    for file in (Path(world.backlog_root) / f"dt={TONIGHT}").iterdir():
        file.unlink()
    route.route(TONIGHT, world, run_key="a")
    assert hand_out.export(TONIGHT, world)["rows"] == 0
    assert hand_out.export(TONIGHT, world, form="jsonl")["files"] == []


def test_a_held_night_goes_out_neither_way_until_it_is_released(planned: Settings):
    held = hand_out.hold(TONIGHT, planned, reason="prices look odd")
    assert hand_out.hold(TONIGHT, planned, reason="another")["reason"] == held["reason"] == "prices look odd"
    for hand in (hand_out.export, settle.seal):
        with pytest.raises(RunStateError, match=r"prices look odd[\s\S]*routing hold --dt 2026-11-22 --release"):
            hand(TONIGHT, planned)
    assert route.route(TONIGHT, planned, run_key="b")["status"] == "current"
    with pytest.raises(RunStateError, match="held"):
        hand_out.export(TONIGHT, planned)
    hand_out.release(TONIGHT, planned)
    assert hand_out.export(TONIGHT, planned)["run_id"] == 2
    with pytest.raises(RunStateError, match="too late"):
        hand_out.hold(TONIGHT, planned, reason="late")
    with pytest.raises(NotFoundError, match="is not held"):
        hand_out.release(TONIGHT, planned)
    assert len(fetch(planned, "SELECT 1 FROM holds WHERE released_at IS NOT NULL")) == 1


def test_a_rollback_brings_the_run_before_back_and_leaves_its_trace(planned: Settings):
    first = read.status(TONIGHT, planned)
    with pytest.raises(NotFoundError, match="superseded no other"):
        hand_out.roll_back(TONIGHT, planned)
    route.route(TONIGHT, planned, run_key="b", options=POOR)
    back = hand_out.roll_back(TONIGHT, planned)
    assert (back["run_id"], back["rolled_back_run_id"]) == (1, 2)
    assert read.status(TONIGHT, planned) == first
    assert fetch(planned, "SELECT run_id FROM routing_runs WHERE rolled_back_at IS NOT NULL AND status = 'superseded'")
    third = route.route(TONIGHT, planned, run_key="c")
    assert fetch(planned, "SELECT run_id, supersedes_run_id FROM routing_runs WHERE status = 'current'") == [(3, 1)]
    settle.seal(TONIGHT, planned)
    with pytest.raises(RunStateError, match="was handed out"):
        hand_out.roll_back(TONIGHT, planned)
    assert read.status(TONIGHT, planned)["run_id"] == third["run_id"]


def test_diff_counts_every_query_once_by_what_became_of_it(planned: Settings):
    route.route(TONIGHT, planned, run_key="b", options=POOR)
    found = compare.diff(1, 2, planned)
    decided = {
        run: {
            row.query_id: row.model
            for row in fetch(planned, "SELECT query_id, model FROM assignments WHERE run_id = :r", r=run)
        }
        for run in (1, 2)
    }
    one, two = decided[1], decided[2]
    assert found["queries"]["same_model"] == sum(two.get(name) == model for name, model in one.items())
    assert found["queries"]["other_model"] == sum(two.get(name, model) != model for name, model in one.items())
    assert found["queries"]["now_deferred"] == len(one.keys() - two.keys()) > 0
    assert found["queries"]["now_assigned"] == len(two.keys() - one.keys())
    assert found["a"]["planned_spend_usd"] + found["difference"]["planned_spend_usd"] == pytest.approx(
        found["b"]["planned_spend_usd"]
    )
    for model in found["models"]:
        name = model["model"]
        assert model["assigned_a"] == list(one.values()).count(name)
        assert model["assigned_b"] == list(two.values()).count(name)
        assert model["kept"] == sum(two.get(query) == name for query, m in one.items() if m == name)
    assert sum(model["planned_spend_b_usd"] for model in found["models"]) == pytest.approx(
        found["b"]["planned_spend_usd"]
    )
    mirrored = compare.diff(2, 1, planned)["queries"]
    assert mirrored["now_assigned"] == found["queries"]["now_deferred"]
    itself = compare.diff(1, 1, planned)["queries"]
    assert itself["same_model"] == len(one)
    assert json.dumps(found)
    in_sql = fetch(planned, "SELECT change, count(*) FROM run_changes WHERE run_a = 1 AND run_b = 2 GROUP BY change")
    assert dict(map(tuple, in_sql)) == {change: count for change, count in found["queries"].items() if count}


@pytest.mark.faults
def test_diff_refuses_runs_that_cannot_be_compared(night: Settings):
    shutil.copytree(
        Path(night.backlog_root) / f"dt={TONIGHT}", Path(night.backlog_root) / "dt=2026-11-23", dirs_exist_ok=True
    )
    with writing(night) as connection:
        connection.execute(text("UPDATE allocations SET for_date = '2026-11-23'"))
    route.open_run(date(2026, 11, 23), night, run_key="x")
    with pytest.raises(RunStateError, match="two nights"):
        compare.diff(1, 2, night)
    with pytest.raises(NotFoundError, match="run 9"):
        compare.diff(1, 9, night)
