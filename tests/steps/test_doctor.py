"""The doctor: a sound home passes, and each fault planted in it is named with its remedy."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import text, update
from typer.testing import CliRunner

from routing_core import plain_yaml
from routing_core.cli import app
from routing_core.settings import PROJECT_ROOT, Settings
from routing_core.steps import doctor
from routing_core.steps.doctor import ground, software
from routing_core.store import database, files, openings
from routing_core.store.tables.learning import predictor_versions
from routing_core.store.tables.runs import routing_runs

TONIGHT = date(2026, 11, 22)


@dataclass
class Ward:
    """A sound home, and the means to spoil it."""

    settings: Settings
    set: Callable[[str, str], None]
    patch: pytest.MonkeyPatch
    kept: list[Any] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.settings.home

    @property
    def results(self) -> Path:
        return self.home / "results.db"

    def sql(self, statement: str) -> None:
        with database.writing(self.settings) as connection:
            connection.execute(text(statement))

    def catalog(self, change: Callable[[list[dict[str, Any]]], Any]) -> None:
        content = yaml.safe_load((PROJECT_ROOT / "config" / "catalog.yaml").read_text())
        change(content["models"])
        (self.home / "config").mkdir(exist_ok=True)
        (self.home / "config" / "catalog.yaml").write_text(plain_yaml.dump(content))

    def settings_file(self, content: str, mode: int = 0o600) -> None:
        file = self.home / "config" / "settings.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
        file.chmod(mode)


@pytest.fixture
def ward(world: Settings, monkeypatch: pytest.MonkeyPatch) -> Ward:
    for name in [name for name in os.environ if name.startswith("AIRFLOW__")]:
        monkeypatch.delenv(name)
    return Ward(world, lambda name, value: monkeypatch.setenv(f"NIGHTSHIFT_{name}", value), monkeypatch)


def _lock(ward: Ward) -> None:
    connection = sqlite3.connect(ward.results, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    ward.kept.append(connection)


def _open_run(ward: Ward, opened_at: Any) -> None:
    values = {
        "execution_date": TONIGHT, "degraded": "", "code_version": "x", "settings": {}, "options": {}, "seed": 1,
        "batching": "planned", "batches": 1, "budget_usd": 1.0, "replan": False, "dry_run": False, "shadow": False,
    }  # fmt: skip
    with database.writing(ward.settings) as connection:
        run_id = openings.open_run(connection, TONIGHT, "x", values)
        connection.execute(update(routing_runs).where(routing_runs.c.run_id == run_id).values(opened_at=opened_at))


def _age_champions(ward: Ward) -> None:
    with database.writing(ward.settings) as connection:
        connection.execute(update(predictor_versions).values(trained_through=TONIGHT - timedelta(days=40)))


def _spoil_artifacts(ward: Ward) -> None:
    for file in (ward.home / "predictors").glob("*/0000.npy"):
        file.write_bytes(b"not an array")


def _newer_backlog(ward: Ward, day: date, content: bytes | None = None) -> None:
    directory = ward.home / "backlog" / f"dt={day}"
    directory.mkdir()
    if content is not None:
        (directory / "part-0.parquet").write_bytes(content)


def _release(name: str, version: str) -> Callable[[Ward], None]:
    real = software._version
    told = {name: version}
    return lambda ward: ward.patch.setattr(software, "_version", lambda asked: told.get(asked) or real(asked))


def _disk_of(gib: float) -> Callable[[Ward], None]:
    usage = namedtuple("usage", "total used free")(2**40, 2**40, int(gib * 2**30))
    return lambda ward: ward.patch.setattr(ground.shutil, "disk_usage", lambda place: usage)


FAULTS: dict[str, tuple[Callable[[Ward], Any], str, str, str]] = {
    # what is planted: (how, status, what the doctor says, the remedy it gives)
    "a setting out of range": (lambda w: w.set("BUDGET_USD", "-1"), "fail", "budget_usd", "fields named"),
    "settings that are no YAML": (lambda w: w.settings_file("a: [1"), "fail", "cannot be read", "mapping of field"),
    "a variable nobody hears": (
        lambda w: w.set("BUGDET_USD", "3"),
        "fail",
        "NIGHTSHIFT_BUGDET_USD",
        "correct its name",
    ),
    "a DSN others can read": (
        lambda w: w.settings_file(f"dsn: sqlite:///{w.results}\n", 0o644),
        "fail",
        "can be read by others",
        "chmod 600",
    ),
    "a home that is a file": (
        lambda w: (w.home / "exports").write_text(""),
        "fail",
        "exports cannot be written",
        "directory",
    ),
    "a full disk": (_disk_of(0.2), "fail", "0.2 GiB free", "routing prune"),
    "a small disk": (_disk_of(3), "warn", "3.0 GiB free", "routing prune"),
    "no database": (lambda w: w.results.unlink(), "fail", "no results database", "routing init-db"),
    "a file that is no database": (lambda w: w.results.write_bytes(b"x" * 9000), "fail", "does not answer", "restore"),
    "a database that is away": (
        lambda w: w.set("DSN", "postgresql://u:hunter2@127.0.0.1:1/x"),
        "fail",
        "does not answer",
        "NIGHTSHIFT_DSN",
    ),
    "a DSN of another kind": (
        lambda w: w.set("DSN", "mysql://u:hunter2@h/x"),
        "fail",
        "sqlite or postgresql",
        "correct",
    ),
    "a database locked by another": (_lock, "fail", "locked for writing", "fuser"),
    "an old schema": (
        lambda w: w.sql("UPDATE alembic_version SET version_num = '0001'"),
        "fail",
        "schema 0001",
        "routing init-db",
    ),
    "a view that is lost": (lambda w: w.sql("DROP VIEW nights"), "fail", "nights are missing", "routing init-db"),
    "a clock that went back": (
        lambda w: _open_run(w, database.now() + timedelta(days=9)),
        "fail",
        "later than now",
        "NTP",
    ),
    "a run left half-way": (
        lambda w: _open_run(w, database.now() - timedelta(days=9)),
        "warn",
        "left half-way",
        "routing route",
    ),
    "a catalog that contradicts itself": (
        lambda w: w.catalog(lambda models: models.append(models[0])),
        "fail",
        "in the catalog twice",
        "correct",
    ),
    "a catalog that is away": (
        lambda w: w.set("CATALOG", "/nowhere.yaml"),
        "fail",
        "cannot be opened",
        "NIGHTSHIFT_CATALOG",
    ),
    "a price that begins too late": (
        lambda w: w.catalog(lambda models: models[1]["prices"][0].update(valid_from=date(2099, 1, 1))),
        "fail",
        "no price valid",
        "valid_from",
    ),
    "a model without GPUs": (lambda w: w.set("GPU_BUDGET", '{"h100": 0}'), "warn", "can never run", "gpu_budget"),
    "GPUs nobody has a model for": (
        lambda w: w.set("GPU_BUDGET", '{"h100": 16, "h10": 2}'),
        "warn",
        "gpu_budget has h10",
        "correct its name",
    ),
    "a pin on nobody": (lambda w: w.set("MIN_INSTANCES", '{"nobody": 1}'), "fail", "'nobody'", "correct the name"),
    "a pin beyond the GPUs": (
        lambda w: w.set("MIN_INSTANCES", '{"llama-3.1-8b-instruct": 99}'),
        "fail",
        "99",
        "lower",
    ),
    "no budget": (lambda w: w.set("BUDGET_USD", "0"), "warn", "budget_usd is 0", "NIGHTSHIFT_BUDGET_USD"),
    "teams promised more": (
        lambda w: w.set("TEAM_BUDGETS_USD", '{"search": 900}'),
        "warn",
        "add up to 900",
        "raise budget_usd",
    ),
    "no backlog": (lambda w: shutil.rmtree(w.home / "backlog"), "fail", "no partition", "NIGHTSHIFT_BACKLOG"),
    "a backlog never complete": (lambda w: w.set("BACKLOG_MARKER", "_DONE"), "fail", "has no _DONE", "put _DONE"),
    "a backlog that is no Parquet": (
        lambda w: (w.home / "backlog" / f"dt={TONIGHT}" / "rows.csv").write_text("query_id\n"),
        "warn",
        "not read: rows.csv",
        "*.parquet",
    ),
    "a day that there is not": (
        lambda w: (w.home / "outcomes" / "dt=2026-02-30").mkdir(),
        "warn",
        "dt=2026-02-30",
        "dt=YYYY-MM-DD",
    ),
    "a backlog that is a file": (
        lambda w: (shutil.rmtree(w.home / "backlog"), (w.home / "backlog").write_text("")),
        "fail",
        "cannot be listed",
        "make it a directory",
    ),
    "a truncated backlog": (
        lambda w: _newer_backlog(w, TONIGHT + timedelta(days=1), b"PAR1"),
        "fail",
        "not readable Parquet",
        "write it again",
    ),
    "a backlog from the future": (lambda w: _newer_backlog(w, date(2099, 1, 1)), "warn", "a day to come", "clock"),
    "outcomes that stopped": (
        lambda w: _newer_backlog(w, TONIGHT + timedelta(days=30)),
        "fail",
        "behind the backlog",
        "no longer logged",
    ),
    "no outcomes": (lambda w: shutil.rmtree(w.home / "outcomes"), "fail", "no partition", "NIGHTSHIFT_OUTCOMES"),
    "no champion": (
        lambda w: w.sql("UPDATE predictor_versions SET decision = 'refused'"),
        "fail",
        "no predictor",
        "routing retrain",
    ),
    "an old champion": (_age_champions, "warn", "40 days", "routing retrain"),
    "an altered artifact": (_spoil_artifacts, "fail", "incomplete or not data", "correct"),
    "a model nobody learnt": (
        lambda w: w.catalog(lambda models: models.append({**models[0], "name": "newcomer"})),
        "warn",
        "newcomer",
        "routing retrain",
    ),
    "no allocation": (
        lambda w: _newer_backlog(w, TONIGHT + timedelta(days=1)),
        "warn",
        "no allocation",
        "routing allocate --dt 2026-11-22",
    ),
    "a Celery that breaks": (_release("celery", "5.7.0"), "fail", "celery is 5.7.0", "pip install 'celery"),
    "another Airflow": (_release("apache-airflow", "2.10.1"), "fail", "apache-airflow is 2.10.1", "pip install"),
    "an old scikit-learn": (_release("scikit-learn", "1.2"), "fail", "scikit-learn is 1.2", "pip install"),
    "Airflow pointed elsewhere": (
        lambda w: w.patch.setenv("AIRFLOW__CORE__PLUGINS_FOLDER", "/elsewhere"),
        "fail",
        "nightshift_waits.py",
        "plugins/",
    ),
    "Celery on SQLite": (
        lambda w: w.patch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor"),
        "warn",
        "not in PostgreSQL",
        "NIGHTSHIFT_DSN",
    ),
}


def test_a_sound_home_passes(ward: Ward) -> None:
    """Nothing fails where nothing is wrong, and nothing was changed by looking."""
    before = sorted(str(path) for path in ward.home.rglob("*") if not path.name.startswith("results.db"))
    found = doctor.examine()
    assert [one for one in found if one.status == "fail"] == []
    assert sorted(str(path) for path in ward.home.rglob("*") if not path.name.startswith("results.db")) == before


@pytest.mark.hostile
@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_is_named_with_its_remedy(fault: str, ward: Ward) -> None:
    """What was spoilt is among the findings, as what it is, with what to do, and without a secret."""
    plant, status, what, remedy = FAULTS[fault]
    plant(ward)
    found = doctor.examine()
    assert [one for one in found if one.status == status and what in one.what and remedy in (one.remedy or "")], found
    assert "hunter2" not in repr(found)


def test_the_exit_status_says_whether_something_must_be_fixed(ward: Ward) -> None:
    """0 and one JSON document where all is well; 1 where something fails, with the remedy in words."""
    sound = CliRunner().invoke(app, ["doctor", "--json"])
    assert sound.exit_code == 0, sound.output
    assert json.loads(sound.output)["ok"] is True
    ward.results.unlink()
    ill = CliRunner().invoke(app, ["doctor"])
    assert ill.exit_code == 1
    assert "remedy: routing init-db" in ill.output


def test_a_reader_is_told_that_it_may_not_write(postgres_settings: Settings, postgres_url: str) -> None:
    """In PostgreSQL the doctor asks for the rights that a night needs."""
    from routing_core.store import health

    with database.writing(postgres_settings) as connection:
        assert health.unwritable_tables(connection) == []
        connection.execute(text("CREATE ROLE onlooker"))
        connection.execute(text("SET LOCAL ROLE onlooker"))
        assert "assignments" in health.unwritable_tables(connection)
        connection.execute(text("RESET ROLE"))
        connection.execute(text("DROP ROLE onlooker"))


def test_the_newest_backlog_stands_for_the_next_night(ward: Ward) -> None:
    """Ages and dates are judged against the data, not against the day the doctor is asked."""
    from routing_core.steps.doctor.inputs import next_night

    assert next_night(ward.settings) == files.partition_dates(ward.settings.backlog_root)[-1] == TONIGHT
