"""The log of a night by command: every line of ours has its run, and its chunk where it is about one."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from routing_core.cli import app
from routing_core.settings import Settings

NIGHT = ["--dt", "2026-11-22"]


@pytest.fixture(autouse=True)
def left_as_it_was() -> Iterator[None]:
    """The logger is the process's own: other tests must not write into this one's stream."""
    ours = logging.getLogger("nightshift")
    handlers, level = list(ours.handlers), ours.level
    yield
    ours.handlers[:] = handlers
    ours.setLevel(level)


def test_every_line_of_a_night_by_command_has_its_run_and_chunk(world: Settings):
    """From when the run is opened on: what lists, estimates, solves, writes, checks and publishes."""
    done = CliRunner().invoke(app, ["--log-format", "json", "route", *NIGHT, "--json"])
    assert done.exit_code == 0, done.output
    told = [json.loads(line) for line in done.stderr.splitlines()]
    begun = [line["event"].removesuffix(" begins") for line in told if line["event"].endswith(" begins")]
    ends = [line for line in told if line["event"].endswith(" done")]
    assert {"route", "open_run", "list_chunks", "solve_night", "compare_run", "check_run", "publish_run"} <= set(begun)
    assert sorted(begun) == sorted(line["event"].removesuffix(" done") for line in ends)
    assert all(line["seconds"] >= 0 for line in ends)

    opened = next(k for k, line in enumerate(told) if line["event"] == "open_run done")
    assert {line["run_id"] for line in told[opened:]} == {json.loads(done.stdout)["run_id"]}
    assert {line["dt"] for line in told} == {"2026-11-22"}
    (listed,) = [line for line in ends if line["event"] == "list_chunks done"]
    for name in ("estimate_chunk", "write_chunk"):
        lines = [line for line in told if line["event"].startswith(name)]
        assert sorted(line["chunk"] for line in lines) == sorted([*range(listed["chunks"])] * 2)
    (estimated,) = [line for line in ends if line["event"] == "estimate_chunk done" and line["chunk"] == 0]
    assert estimated["queries"] > 0


def test_a_night_that_breaks_off_says_where_and_which_run(world: Settings):
    (world.home / "predictors").rename(world.home / "elsewhere")
    done = CliRunner().invoke(app, ["--log-format", "json", "route", *NIGHT])
    assert done.exit_code != 0
    failed = [line for line in map(json.loads, done.stderr.splitlines()) if line["level"] == "error"]
    assert [line["event"] for line in failed] == ["estimate_chunk failed", "route failed"]
    assert all(line["run_id"] and line["error"] for line in failed)
    assert failed[0]["chunk"] == 0


def test_without_being_asked_a_command_logs_warnings_alone(world: Settings):
    """What lies in the partition and is not read is told; nothing is where there is nothing to tell."""
    done = CliRunner().invoke(app, ["route", *NIGHT, "--dry-run"])
    assert done.exit_code == 0
    assert done.stderr == ""
    (world.home / "backlog" / "dt=2026-11-22" / "more.csv").write_text("query_id\nq1\n")
    done = CliRunner().invoke(app, ["route", *NIGHT, "--dry-run"])
    assert done.exit_code == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: 1 entries of ")
    assert "not read: more.csv" in line


def test_outcomes_that_are_not_learnt_from_are_told_by_file_and_row(world: Settings):
    directory = world.home / "outcomes" / "dt=2026-11-22"
    good = pq.read_table(next(directory.glob("*.parquet"))).slice(0, 3)
    for name, values in {"quality": [0.5, 85.0, float("nan")], "model": ["a-stranger"] * 3}.items():
        good = good.set_column(good.schema.get_field_index(name), name, pa.array(values))
    pq.write_table(good, directory / "percent.parquet")
    done = CliRunner().invoke(app, ["retrain", *NIGHT, "--json"])
    assert done.exit_code == 0, done.output
    line, stranger = done.stderr.splitlines()
    assert "1 outcomes are of models that the catalog does not have, and are not learnt from: a-stranger" in stranger
    assert "2 outcomes of dt=2026-11-22/percent.parquet are not learnt from; the first, row 1: quality must" in line
    assert json.loads(done.stdout)["rejected_outcomes"] == 2
