"""Least privilege in PostgreSQL: the analyst reads every view and writes nothing, the writer plans and no more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import ProgrammingError

from routing_core.settings import Settings
from routing_core.steps import hand_out, route, settle
from routing_core.store import database
from routing_core.store.database import view_files, view_name
from routing_core.store.tables import metadata

pytestmark = pytest.mark.hostile

TONIGHT = date(2026, 11, 22)
VIEWS = [view_name(file) for file in view_files()]
MAKE = (
    "CREATE TABLE mine (a int)",
    "CREATE TEMP TABLE mine (a int)",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "DROP VIEW nights",
    "DROP TABLE assignments",
    "ALTER TABLE assignments ADD COLUMN mine int",
    "TRUNCATE assignments",
    "UPDATE alembic_version SET version_num = 'mine'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_read_file('/etc/passwd')",
    "GRANT nightshift_writer TO nightshift_analyst",
)


def _login(settings: Settings, role: str) -> Iterator[Settings]:
    """The same database as a login of its own that has the role, and nothing else."""
    name = f"{role}_{uuid4().hex[:8]}"
    with database.writing(settings) as connection:
        database.grant_roles(connection)
        connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'x' IN ROLE nightshift_{role}"))
    url = make_url(settings.database_url).set(username=name, password="x")
    theirs = settings.model_copy(update={"dsn": SecretStr(url.render_as_string(hide_password=False))})
    yield theirs
    database.engine(theirs).dispose()
    with database.writing(settings) as connection:
        connection.execute(text(f"DROP ROLE {name}"))


@pytest.fixture
def planned(postgres_world: Settings) -> Settings:
    """A night that the owner has planned."""
    route.route(TONIGHT, postgres_world, run_key="owner")
    return postgres_world


@pytest.fixture
def analyst(planned: Settings) -> Iterator[Settings]:
    yield from _login(planned, "analyst")


@pytest.fixture
def writer(postgres_world: Settings) -> Iterator[Settings]:
    yield from _login(postgres_world, "writer")


def _refused(connection: Connection, statement: str, values: Any = None) -> None:
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner|must have|cannot"), connection.begin():
        connection.execute(text(statement), values or {})


def test_the_analyst_reads_every_view(analyst: Settings) -> None:
    """Each view answers, and shows the night."""
    with database.reading(analyst) as connection:
        for view in VIEWS:
            connection.execute(text(f"SELECT * FROM {view} LIMIT 5")).all()
        assert connection.execute(text("SELECT count(*) FROM nights")).scalar_one() == 1
        assert connection.execute(text("SELECT sum(queries) FROM spend")).scalar_one() > 0


def test_the_analyst_writes_nothing(analyst: Settings) -> None:
    """No table or view takes a row, a change or a deletion, and nothing can be made; tables are not even read."""
    with database.engine(analyst).connect() as connection:
        for table in metadata.tables.values():
            first = next(iter(table.columns)).name
            _refused(connection, f"SELECT * FROM {table.name}")
            _refused(connection, f"INSERT INTO {table.name} ({first}) VALUES (NULL)")
            _refused(connection, f"UPDATE {table.name} SET {first} = NULL")
            _refused(connection, f"DELETE FROM {table.name}")
        for statement in MAKE:
            _refused(connection, statement)
        _refused(connection, "DELETE FROM nights")


def test_the_writer_does_what_a_night_needs_and_makes_nothing(writer: Settings) -> None:
    """A night is planned, handed out and settled; schema, views and roles stay the owner's."""
    database.check_schema(writer)
    assert route.route(TONIGHT, writer, run_key="writer")["status"] == "current"
    assert hand_out.export(TONIGHT, writer, to=None, form="parquet")["rows"] > 0
    settle.seal(TONIGHT, writer)
    with database.engine(writer).connect() as connection:
        for statement in MAKE:
            _refused(connection, statement)


def test_views_made_again_keep_their_readers(planned: Settings, analyst: Settings) -> None:
    """`routing init-db` drops and makes the views; the analyst's rights come back with them."""
    database.migrate(planned)
    with database.reading(analyst) as connection:
        assert connection.execute(text("SELECT count(*) FROM nights")).scalar_one() == 1
