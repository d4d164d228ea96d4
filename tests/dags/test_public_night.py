"""A night on the public RouterBench outcomes ends the same by hand, by hand on other files, and by DAG."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from routing_core.cli import app

TONIGHT, BEFORE = date(2026, 11, 22), date(2026, 11, 21)
TOTALS = (
    "assigned",
    "deferred",
    "rejected",
    "budget_usd",
    "planned_spend_usd",
    "objective",
    "bound",
    "expected_quality",
)


def command(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def learn_by_hand() -> None:
    command("init-db")
    for dt in (BEFORE, TONIGHT):
        command("retrain", "--dt", str(dt))


def plan_by_hand() -> dict[str, Any]:
    command("allocate", "--dt", str(BEFORE))
    command("route", "--dt", str(TONIGHT))
    return totals()


def totals() -> dict[str, Any]:
    status = command("status", "--dt", str(TONIGHT))
    return {name: status[name] for name in TOTALS}


@pytest.fixture(scope="module")
def imported(routerbench_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The public table laid out as a home."""
    home = tmp_path_factory.mktemp("public") / "home"
    report = command("import-routerbench", str(routerbench_file), "--to", str(home), "--dt", str(TONIGHT))
    assert report["n_missing_scores"] > 0
    return home


def test_the_public_night_is_one_night_however_it_is_run(
    imported: Path, home: Path, monkeypatch: pytest.MonkeyPatch, run_dag: Callable[..., Any]
):
    def move_to(name: str, start: Path) -> Path:
        shutil.copytree(start, home / name)
        monkeypatch.setenv("NIGHTSHIFT_HOME", str(home / name))
        return home / name

    learnt = move_to("learnt", imported)
    learn_by_hand()
    move_to("by_hand", learnt)
    by_hand = plan_by_hand()
    assert by_hand["assigned"] > 0
    assert by_hand["planned_spend_usd"] <= by_hand["budget_usd"]

    recut(move_to("on_other_files", learnt) / "backlog" / f"dt={TONIGHT}", parts=3)
    monkeypatch.setenv("NIGHTSHIFT_CHUNKS", "2")
    assert plan_by_hand() == by_hand

    monkeypatch.delenv("NIGHTSHIFT_CHUNKS")
    move_to("by_dag", imported)
    assert night_by_dags(run_dag) == by_hand


def night_by_dags(run_dag: Callable[..., Any]) -> dict[str, Any]:
    command("init-db")
    for dag_id, dt in (
        ("retrain_predictors", BEFORE),
        ("allocate_instances", BEFORE),
        ("retrain_predictors", TONIGHT),
        ("route_backlog", TONIGHT),
    ):
        run = run_dag(dag_id, {"dt": str(dt)})
        assert str(run.state) == "success", dag_id
    return totals()


def recut(partition: Path, parts: int) -> None:
    """The same rows in the same order, in other files."""
    files = sorted(partition.glob("*.parquet"))
    rows = pa.concat_tables([pq.read_table(file) for file in files])
    for file in files:
        file.unlink()
    edges = [len(rows) * k // parts for k in range(parts + 1)]
    for k in range(parts):
        pq.write_table(rows.slice(edges[k], edges[k + 1] - edges[k]), partition / f"cut-{k}.parquet")
