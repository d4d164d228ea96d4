"""What a night stands on gives way: the database restarts, the disk fills up, inputs change, the schema moves on."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from readers import Reader, looking
from results import NIGHTS, copy_rows, current, differences, night_of
from services import own_postgres
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from undisturbed import BUDGETS, Wanted, options

from routing_core.errors import ChangedInputError
from routing_core.settings import Settings, load_settings
from routing_core.steps import prepare, route
from routing_core.store import database, decisions, files
from routing_core.store.database import reading, writing

pytestmark = pytest.mark.faults

TONIGHT = NIGHTS[-1]
OLD, NEW = (options(budget, "none") for budget in BUDGETS)


def finish(run: int, settings: Settings, chunks: list[int], *, attempt: int = 1) -> None:
    """From the solve on."""
    route.solve_night(run, settings, attempt=attempt)
    for chunk in chunks:
        route.write_chunk(run, chunk, settings, attempt=attempt)
    route.compare_run(run, settings)
    route.check_run(run, settings)
    route.publish_run(run, settings)


def as_undisturbed(settings: Settings, wanted: Wanted) -> list[str]:
    return differences(night_of(current(settings), TONIGHT), night_of(wanted["none", BUDGETS[1]], TONIGHT))


def test_a_database_that_restarts_in_the_middle_of_a_chunk_keeps_the_old_night_and_takes_the_retry(
    tiny_world: Settings, undisturbed: Wanted, monkeypatch: pytest.MonkeyPatch
):
    with own_postgres() as server:
        settings = load_settings(**tiny_world.model_dump() | {"dsn": server.url("postgres")})
        prepare.init_db(settings)
        copy_rows(tiny_world, settings)
        route.route(TONIGHT, settings, run_key="old", options=OLD)
        before = current(settings)
        run = route.open_run(TONIGHT, settings, run_key="new", options=NEW)
        chunks = route.list_chunks(run, settings)
        for chunk in chunks:
            route.estimate_chunk(run, chunk, settings, attempt=1)
        route.solve_night(run, settings)
        insert_rows = decisions.insert_rows

        def lose_the_server(connection: Any, table: Any, rows: Any) -> str:
            checksum = insert_rows(connection, table, rows)
            monkeypatch.setattr(decisions, "insert_rows", insert_rows)
            server.stop()
            server.start()
            return checksum

        for chunk in chunks:
            monkeypatch.setattr(decisions, "insert_rows", lose_the_server)
            with pytest.raises(DBAPIError):
                route.write_chunk(run, chunk, settings, attempt=1)
            assert differences(current(settings), before) == []
            route.write_chunk(run, chunk, settings, attempt=2)
        route.compare_run(run, settings)
        route.check_run(run, settings)
        assert route.publish_run(run, settings)["status"] == "current"
        assert as_undisturbed(settings, undisturbed) == []
        database.engine(settings).dispose()


@contextmanager
def small_disk(at: Path, size: str) -> Iterator[None]:
    """A file system of its own, of ``size``, under a directory."""
    at.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def test_a_disk_that_is_full_under_the_estimates_fails_the_attempt_and_leaves_nothing_half_written(
    tiny_world: Settings, undisturbed: Wanted
):
    settings = tiny_world
    route.route(TONIGHT, settings, run_key="old", options=OLD)
    before = current(settings)
    run = route.open_run(TONIGHT, settings, run_key="new", options=NEW)
    chunks = route.list_chunks(run, settings)
    directory = settings.run_directory(run)
    with small_disk(directory, "16k"):
        with pytest.raises(OSError, match=r"No space left on device|written"):
            for chunk in chunks:
                route.estimate_chunk(run, chunk, settings, attempt=1)
        named = [row.estimate_shard for row in chunk_rows(settings, run) if row.estimate_shard]
        whole = sorted(f"estimates/{one.name}" for one in (directory / "estimates").iterdir())
        assert whole == sorted(named), "only whole shards are there, and the database knows each"
        assert differences(current(settings), before) == []
    for chunk in chunks:
        route.estimate_chunk(run, chunk, settings, attempt=2)
    finish(run, settings, chunks, attempt=2)
    assert as_undisturbed(settings, undisturbed) == []


def chunk_rows(settings: Settings, run: int) -> list[Any]:
    with reading(settings) as connection:
        rows = connection.execute(text("SELECT * FROM run_chunks WHERE run_id = :run"), {"run": run})
        return list(rows)


def test_a_file_that_is_overwritten_while_it_is_read_is_refused_by_name(
    any_tiny_world: Settings, monkeypatch: pytest.MonkeyPatch
):
    settings = any_tiny_world
    route.route(TONIGHT, settings, run_key="old", options=OLD)
    before = current(settings)
    run = route.open_run(TONIGHT, settings, run_key="new", options=NEW)
    chunk = route.list_chunks(run, settings)[0]
    file = min((Path(settings.backlog_root) / f"dt={TONIGHT}").glob("*.parquet"))
    other = pq.read_table(file, partitioning=None).slice(1)
    read_bytes = files.read_bytes

    def torn(root: Any, dt: Any, name: str) -> pa.Buffer:
        """The first half as it was, the second as it is written meanwhile."""
        content = read_bytes(root, dt, name).to_pybytes()
        if name != file.name:
            return pa.py_buffer(content)
        pq.write_table(other, file)
        half = len(content) // 2
        return pa.py_buffer(content[:half] + file.read_bytes()[half:])

    monkeypatch.setattr(files, "read_bytes", torn)
    with pytest.raises(ChangedInputError, match=file.name):
        route.estimate_chunk(run, chunk, settings, attempt=1)
    assert differences(current(settings), before) == []


def test_a_partition_replaced_between_two_listings_of_one_run_is_refused(any_tiny_world: Settings):
    settings = any_tiny_world
    run = route.open_run(TONIGHT, settings, run_key="new", options=NEW)
    route.list_chunks(run, settings)
    file = min((Path(settings.backlog_root) / f"dt={TONIGHT}").glob("*.parquet"))
    pq.write_table(pq.read_table(file, partitioning=None).slice(1), file)
    with pytest.raises(ChangedInputError, match=file.name):
        route.list_chunks(run, settings)


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Migrations with one more than there are: a column that the code in flight does not know."""
    head = database.schema_head()
    shutil.copytree(database._SQL, tmp_path / "sql")
    (tmp_path / "sql" / "migrations" / "versions" / "9999_next.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f'revision, down_revision = "9999", "{head}"\n'
        'def upgrade():\n    op.add_column("routing_runs", sa.Column("note", sa.Text(), nullable=True))\n'
        '    op.add_column("assignments", sa.Column("note", sa.Text(), nullable=True))\n'
        'def downgrade():\n    op.drop_column("assignments", "note")\n    op.drop_column("routing_runs", "note")\n'
    )
    monkeypatch.setattr(database, "_SQL", tmp_path / "sql")
    database.schema_head.cache_clear()
    yield "9999"
    database.schema_head.cache_clear()


@pytest.mark.parametrize("after", ["list", "estimate", "solve", "write", "check"])
def test_a_schema_upgrade_with_a_night_in_flight_stops_no_reader_and_no_step(
    after: str, any_tiny_world: Settings, undisturbed: Wanted, next_version: str
):
    settings = any_tiny_world
    route.route(TONIGHT, settings, run_key="old", options=OLD)
    reader = Reader(settings, [undisturbed["none", budget] for budget in BUDGETS])

    def maybe_upgrade(stage: str) -> None:
        if stage == after:
            assert prepare.init_db(settings)["schema"] == next_version

    with looking(reader):
        run = route.open_run(TONIGHT, settings, run_key="new", options=NEW)
        chunks = route.list_chunks(run, settings)
        maybe_upgrade("list")
        for chunk in chunks:
            route.estimate_chunk(run, chunk, settings, attempt=1)
        maybe_upgrade("estimate")
        route.solve_night(run, settings)
        maybe_upgrade("solve")
        for chunk in chunks:
            route.write_chunk(run, chunk, settings, attempt=1)
        maybe_upgrade("write")
        route.compare_run(run, settings)
        route.check_run(run, settings)
        maybe_upgrade("check")
        route.publish_run(run, settings)
    assert as_undisturbed(settings, undisturbed) == []


def test_a_schema_upgrade_waits_for_a_chunk_that_is_being_written(
    any_tiny_world: Settings, undisturbed: Wanted, next_version: str, monkeypatch: pytest.MonkeyPatch
):
    settings = any_tiny_world
    upgraded = threading.Event()

    def upgrade() -> None:
        prepare.init_db(settings)
        upgraded.set()

    insert_rows, thread = decisions.insert_rows, threading.Thread(target=upgrade)

    def upgrade_meanwhile(connection: Any, table: Any, rows: Any) -> str:
        if not thread.ident:
            thread.start()
            assert not upgraded.wait(0.5)
        return insert_rows(connection, table, rows)

    monkeypatch.setattr(decisions, "insert_rows", upgrade_meanwhile)
    assert route.route(TONIGHT, settings, run_key="new", options=NEW)["status"] == "current"
    thread.join()
    assert upgraded.is_set()
    assert as_undisturbed(settings, undisturbed) == []


ZONES = {
    "behind UTC": "America/New_York",
    "a day ahead of UTC": "Pacific/Kiritimati",
    "an hour twice in the last night": "EST5EDT,M3.2.0,M11.4.0/1",
    "no midnight in the last night": "AEST-10AEDT,M11.4.0/0,M4.1.0/3",
}
"""Two where clocks are turned on the fourth Sunday of November, which is the last night of the tiny world."""


@pytest.mark.parametrize("zone", ZONES.values(), ids=ZONES)
def test_the_night_is_the_same_wherever_workers_and_database_think_they_are(
    zone: str, any_tiny_world: Settings, undisturbed: Wanted, monkeypatch: pytest.MonkeyPatch
):
    settings = any_tiny_world
    assert NIGHTS[-1].strftime("%A %d") == "Sunday 22"
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        if database.engine(settings).dialect.name == "postgresql":
            with writing(settings) as connection:
                name = connection.execute(text("SELECT current_database()")).scalar_one()
                connection.execute(text(f"ALTER DATABASE {name} SET timezone TO '{zone}'"))
            database.engine(settings).dispose()
        for dt in NIGHTS:
            route.route(dt, settings, run_key="abroad", options=NEW)
        assert differences(current(settings), undisturbed["none", BUDGETS[1]]) == []
    finally:
        os.environ.pop("TZ")
        time.tzset()
