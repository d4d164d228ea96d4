"""Planted secrets: a night is run with them, once well and once badly, and they turn up nowhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, make_url, select, text

from routing_core.errors import MissingPartitionError, NightshiftError
from routing_core.settings import Settings, load_settings
from routing_core.store import database
from routing_core.store.tables import metadata

pytestmark = pytest.mark.hostile

ASK = {"dt": "2026-11-22", "predictor_policy": "latest"}
PASSWORD = "correct-horse/battery@staple"
QUOTED = "correct-horse%2Fbattery%40staple"
PARTS = ("correct-horse", "battery", "staple")
"""No part of the password, in whatever form it is written, may be found."""


@pytest.fixture
def guarded(tonight_home: Settings, postgres_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Tonight's home with its results in PostgreSQL, whose DSN has a password."""
    with database.reading(tonight_home) as source, database.writing(postgres_settings) as target:
        for table in metadata.sorted_tables:
            if rows := source.execute(select(table)).mappings().all():
                target.execute(insert(table), [dict(row) for row in rows])
    url = make_url(postgres_settings.database_url).set(password=PASSWORD).render_as_string(hide_password=False)
    assert QUOTED in url
    monkeypatch.setenv("NIGHTSHIFT_DSN", url)
    return load_settings()


def test_a_night_leaves_no_secret_in_logs_xcoms_templates_or_tables(
    guarded: Settings,
    run_dag: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """One night that is published, one whose database is gone in the middle: the DSN's password is in neither."""
    well = run_dag("route_backlog", ASK)
    assert str(well.state) == "success"
    gone = make_url(guarded.database_url).set(database="no-such-database").render_as_string(hide_password=False)
    monkeypatch.setenv("NIGHTSHIFT_DSN", gone)
    with caplog.at_level("DEBUG"):
        badly = run_dag("route_backlog", ASK)
    assert str(badly.state) == "failed"
    monkeypatch.setenv("NIGHTSHIFT_DSN", guarded.database_url)

    out, err = capfd.readouterr()
    said = {"standard output": out.encode(), "standard error": err.encode(), "log records": caplog.text.encode()}
    kept = dict(_kept_by_airflow()) | dict(_kept_at_home(guarded.home)) | dict(_kept_in_tables(guarded))
    assert any(b"no-such-database" in content for content in {**said, **kept}.values()), "the bad night said nothing"
    assert any(name.endswith("airflow.db") and b"open_run" in content for name, content in kept.items())
    assert b"current" in kept["table routing_runs"]
    for name, content in {**said, **kept}.items():
        for part in PARTS:
            assert part.encode() not in content, f"{part} of the password is in {name}"


@pytest.mark.parametrize(
    "url",
    [
        f"s3://key:{PASSWORD}@bucket/backlog",
        f"s3://key:{QUOTED}@bucket/backlog",
        f"s3://bucket/backlog?secret_key={QUOTED}",
        f"abfs://box@account/x?sas_token={QUOTED}&sig={QUOTED}",
    ],
)
def test_a_named_error_masks_what_its_paths_carry(url: str) -> None:
    """Whatever path or URL a message is made of, the secret in it is not said."""
    error = MissingPartitionError(f"there is no partition {url}/dt=2026-11-22", remedy=f"write it to {url}")
    assert isinstance(error, NightshiftError)
    assert not [part for part in PARTS if part in str(error) + error.message + repr(error)]
    assert "dt=2026-11-22" in str(error) or "?" in url


def test_settings_are_shown_and_stored_without_secrets(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings' own words nor what is stored with a run has the password."""
    monkeypatch.setenv("NIGHTSHIFT_DSN", f"postgresql://writer:{QUOTED}@database/nightshift")
    monkeypatch.setenv("NIGHTSHIFT_BACKLOG", f"s3://key:{QUOTED}@bucket/backlog")
    settings = load_settings()
    assert not [part for part in PARTS if part in repr(settings.public())]
    assert not [part for part in PARTS if part in repr(settings.dsn)]


def _kept_by_airflow() -> Iterator[tuple[str, bytes]]:
    """Its database (XComs and rendered templates are rows of it) and its logs."""
    for path in Path(os.environ["AIRFLOW_HOME"]).rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()


def _kept_at_home(home: Path) -> Iterator[tuple[str, bytes]]:
    for path in home.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()


def _kept_in_tables(settings: Settings) -> Iterator[tuple[str, bytes]]:
    with database.reading(settings) as connection:
        for name in metadata.tables:
            rows = connection.execute(text(f"SELECT CAST(t AS text) FROM {name} AS t")).scalars().all()
            yield f"table {name}", "\n".join(rows).encode()
