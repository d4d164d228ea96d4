"""Pruning: what nobody needs goes, what anybody leans on stays, and the house stays as large as its nights."""

from __future__ import annotations

import json
import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from typer.testing import CliRunner

from routing_core.cli import app
from routing_core.errors import RunStateError, SettingsError
from routing_core.settings import Settings
from routing_core.steps import compare, hand_out, route, settle
from routing_core.steps.prune import prune
from routing_core.store import database, retention, runs
from routing_core.store.tables.decisions import assignments
from routing_core.store.tables.handing_out import exports
from routing_core.store.tables.learning import predictor_versions
from routing_core.store.tables.runs import routing_runs

TONIGHT = date(2026, 11, 22)


def plan(settings: Settings, budget: float, **options: Any) -> int:
    made = route.route(TONIGHT, settings, run_key=f"k{budget}{options}", options=route.RouteOptions(budget, **options))
    return int(made["run_id"])


def age(settings: Settings, *run_ids: int, days: int = 90) -> None:
    """Let runs, or all of them, and what was exported, have happened so many days ago."""
    then = database.now() - timedelta(days=days)
    with database.writing(settings) as connection:
        aged = routing_runs.c.run_id.in_(run_ids) if run_ids else routing_runs.c.run_id > 0
        connection.execute(update(routing_runs).where(aged).values(opened_at=then))
        connection.execute(update(exports).values(exported_at=then))


def rows(settings: Settings, run_id: int) -> int:
    with database.reading(settings) as connection:
        return retention.rows_of(connection, run_id)


def status(settings: Settings, run_id: int) -> Any:
    with database.reading(settings) as connection:
        return runs.get_run(connection, run_id)


def test_superseded_runs_go_and_the_current_one_stays(world: Settings) -> None:
    """Rows and shards of the old run go, its row stays and says so; the current night reads as before."""
    first, second = plan(world, 0.03), plan(world, 0.05)
    age(world)
    kept = rows(world, second)
    done = prune(world, keep_days=30)
    assert done["runs"] == [first]
    assert done["rows"] > 0
    assert (rows(world, first), rows(world, second)) == (0, kept)
    assert not world.run_directory(first).exists()
    assert world.run_directory(second).exists()
    assert (status(world, first).status, status(world, first).pruned_at is None) == ("superseded", False)
    assert prune(world, keep_days=30)["runs"] == []


def test_a_dry_run_says_the_same_and_touches_nothing(world: Settings) -> None:
    """What it counts is what pruning then takes out."""
    first = plan(world, 0.03)
    plan(world, 0.05)
    age(world)
    said = prune(world, keep_days=30, dry_run=True)
    assert rows(world, first) == said["rows"] > 0
    assert world.run_directory(first).exists()
    done = prune(world, keep_days=30)
    assert {**said, "dry_run": False, "before": 0} == {**done, "before": 0}


def test_what_is_young_stays(world: Settings) -> None:
    """A run of this week can still be gone back to."""
    plan(world, 0.03)
    plan(world, 0.05)
    assert prune(world, keep_days=7)["runs"] == []
    assert hand_out.roll_back(TONIGHT, world)["run_id"] == 1


def test_sealed_and_settled_runs_stay(world: Settings) -> None:
    """What went out is never taken out, even when a replan has superseded it; nor what was settled."""
    first = plan(world, 0.03)
    settle.seal(TONIGHT, world)
    second = plan(world, 0.05, replan=True)
    age(world)
    assert prune(world, keep_days=1)["runs"] == []
    assert rows(world, first) > 0 < rows(world, second)


def test_runs_that_others_lean_on_stay(world: Settings) -> None:
    """The base of a run that stays is needed to plan what is left of it again."""
    first, second = plan(world, 0.03), plan(world, 0.05)
    with database.writing(world) as connection:
        connection.execute(update(routing_runs).where(routing_runs.c.run_id == second).values(base_run_id=first))
    age(world)
    assert prune(world, keep_days=1)["runs"] == []


def test_a_run_left_half_way_is_failed_and_goes(world: Settings) -> None:
    """Nobody will go on with it."""
    run_id = route.open_run(TONIGHT, world, run_key="left")
    route.list_chunks(run_id, world)
    age(world)
    assert prune(world, keep_days=1)["runs"] == [run_id]
    assert status(world, run_id).status == "failed"


def test_a_pruned_run_is_not_gone_back_to_nor_compared(world: Settings) -> None:
    """Its decisions are gone, and whoever asks for them is told, with what to do."""
    first, second = plan(world, 0.03), plan(world, 0.05)
    age(world)
    prune(world, keep_days=1)
    with pytest.raises(RunStateError, match="pruned"):
        hand_out.roll_back(TONIGHT, world)
    with pytest.raises(RunStateError, match="pruned"):
        compare.diff(first, second, world)


def test_old_exports_and_unused_predictors_go(world: Settings) -> None:
    """Prompts handed out long ago are not kept; the champion and what runs planned with are."""
    plan(world, 0.05)
    out = Path(hand_out.export(TONIGHT, world)["directory"])
    elsewhere = Path(hand_out.export(TONIGHT, world, to=world.home / "elsewhere")["directory"])
    stray = world.predictors_root / ("0" * 64)
    stray.mkdir()
    os.utime(stray, (0, 0))
    age(world)
    with database.writing(world) as connection:
        connection.execute(update(predictor_versions).values(created_at=database.now() - timedelta(days=90)))
    done = prune(world, keep_days=30)
    assert (done["exports"], out.exists(), elsewhere.exists()) == (1, False, True)
    assert not stray.exists()
    with database.reading(world) as connection:
        champion = connection.execute(
            select(predictor_versions.c.content_hash).order_by(predictor_versions.c.trained_through.desc()).limit(1)
        ).scalar_one()
    assert (world.predictors_root / champion).exists()
    assert plan(world, 0.04) > 0


def test_attempts_do_not_make_the_house_grow(world: Settings) -> None:
    """However often a night is planned again, after pruning it holds one plan."""
    for k in range(4):
        plan(world, 0.02 + k / 100)
    age(world)
    prune(world, keep_days=1)
    with database.reading(world) as connection:
        per_run = connection.execute(select(assignments.c.run_id, func.count()).group_by(assignments.c.run_id)).all()
    assert len(per_run) == 1
    assert len(list((world.home / "runs").iterdir())) == 1


def test_by_command(world: Settings) -> None:
    """`routing prune --json` prints what went; less than a day is refused."""
    done = CliRunner().invoke(app, ["prune", "--keep-days", "3", "--dry-run", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["runs"] == []
    with pytest.raises(SettingsError, match="at least 1"):
        prune(world, keep_days=0)


def test_on_postgresql(postgres_world: Settings) -> None:
    """The same, with its locks and types."""
    first, _ = plan(postgres_world, 0.03), plan(postgres_world, 0.05)
    age(postgres_world)
    assert prune(postgres_world, keep_days=30)["runs"] == [first]
    assert rows(postgres_world, first) == 0
