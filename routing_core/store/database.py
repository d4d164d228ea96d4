"""The results database: connections, transactions and schema version, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from routing_core.errors import SchemaError, SettingsError, masked
from routing_core.settings import PROJECT_ROOT, Settings

# Alembic is imported where it is used: it is slow to import, and no task of a night needs it.
if TYPE_CHECKING:
    from alembic.config import Config

_SQL = PROJECT_ROOT / "sql"
_SQLITE_PRAGMAS = (
    "PRAGMA busy_timeout = 60000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
)


def now() -> datetime:
    """The moment, UTC."""
    return datetime.now(UTC)


@lru_cache(maxsize=8)
def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise SettingsError("dsn: it is not a database URL (its value is hidden)") from None
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.get_backend_name() in ("postgresql", "postgres"):
        engine = create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
        event.listen(engine, "connect", _tell_time_in_utc)
        return engine
    raise SettingsError(f"dsn: the results database must be sqlite or postgresql, got {parsed.get_backend_name()!r}")


def _tell_time_in_utc(connection: Any, _record: Any) -> None:
    connection.execute("SET timezone = 'UTC'")
    connection.commit()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own notion of transactions would commit before DDL; ours begins them explicitly.
    connection.isolation_level = None
    for pragma in _SQLITE_PRAGMAS:
        connection.execute(pragma)


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("nightshift_reading", False)
    connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if reading else 'OFF'}")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def engine(settings: Settings) -> Engine:
    """The engine of the results database, one per process and URL."""
    return _engine(settings.database_url)


@contextmanager
def writing(settings: Settings) -> Iterator[Connection]:
    """One transaction that may write: committed at the end, undone by any error."""
    with engine(settings).connect() as connection, connection.begin():
        yield connection


@contextmanager
def reading(settings: Settings) -> Iterator[Connection]:
    """One transaction that sees one state of the database throughout, and writes nothing."""
    options = {"nightshift_reading": True}
    if engine(settings).dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}  # type: ignore[dict-item]
    with engine(settings).connect().execution_options(**options) as connection, connection.begin():
        yield connection


def migrate(settings: Settings) -> str:
    """Bring the schema to this code's version, a transaction per migration, and renew the views.

    It gives way to nights in flight and to readers: what it cannot lock soon it lets go of, and tries again.

    Returns
    -------
    str
        The schema version reached.
    """
    giving_way = Retrying(
        retry=retry_if_exception(_is_in_the_way), wait=wait_random(0.1, 1.0), stop=stop_after_delay(300), reraise=True
    )
    giving_way(_migrate, _impatient(engine(settings)))
    return schema_head()


def _migrate(impatient: Engine) -> None:
    from alembic import command  # noqa: PLC0415

    command.upgrade(_alembic(impatient), "head")
    with impatient.connect() as connection, connection.begin():
        _renew_views(connection)
        _renew_roles(connection)


def _impatient(engine: Engine) -> Engine:
    """An engine that waits less for a lock than it takes PostgreSQL to call a wait a deadlock and end a reader."""
    if engine.dialect.name != "postgresql":
        return engine
    impatient = create_engine(engine.url, poolclass=NullPool)
    event.listen(impatient, "connect", _wait_little_for_locks)
    return impatient


def _wait_little_for_locks(connection: Any, _record: Any) -> None:
    connection.execute("SET lock_timeout = '300ms'")
    connection.commit()


def _is_in_the_way(error: BaseException) -> bool:
    """Whether another holds a lock (55P03), or waits for ours (40P01)."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in ("55P03", "40P01")


@cache
def schema_head() -> str:
    """The schema version this code needs."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    head = ScriptDirectory(str(_SQL / "migrations")).get_current_head()
    assert head is not None
    return head


def check_schema(settings: Settings) -> None:
    """Refuse a database that is not at this code's schema version.

    Raises
    ------
    SchemaError
        Naming both versions.
    """
    from alembic.migration import MigrationContext  # noqa: PLC0415

    file = make_url(settings.database_url).database if settings.database_url.startswith("sqlite") else None
    if file and file != ":memory:" and not Path(file).exists():
        raise SchemaError("there is no results database yet", remedy="routing init-db")
    with reading(settings) as connection:
        seen = MigrationContext.configure(connection).get_current_revision()
    if seen != schema_head():
        raise SchemaError(
            f"the results database is at schema {seen or 'none'}, this code needs {schema_head()}",
            remedy="routing init-db",
        )


def view_files() -> list[Path]:
    """The views, in the order they build on each other."""
    return sorted((_SQL / "views").glob("*.sql"))


def view_name(file: Path) -> str:
    """Name of the view a file defines: ``10_nights.sql`` defines ``nights``."""
    return file.stem.split("_", 1)[1]


def drop_views(connection: Connection) -> None:
    """Drop the views, until the next :func:`migrate`."""
    for file in reversed(view_files()):
        connection.execute(text(f"DROP VIEW IF EXISTS {view_name(file)}"))


@contextmanager
def without_foreign_keys(connection: Connection) -> Iterator[None]:
    """SQLite does not look at foreign keys meanwhile; a transaction must not have begun. PostgreSQL always does."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.dbapi_connection
    driver.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys = ON")


def _renew_views(connection: Connection) -> None:
    drop_views(connection)
    for file in view_files():
        connection.execute(text(file.read_text()))


def grant_roles(connection: Connection) -> None:
    """Make the roles of ``sql/roles.sql`` in PostgreSQL, or renew their rights."""
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute((_SQL / "roles.sql").read_text())


def _renew_roles(connection: Connection) -> None:
    """Renew the rights of roles that were made before: a view that is made again has lost them."""
    if connection.dialect.name == "postgresql":
        made = text("SELECT count(*) FROM pg_roles WHERE rolname IN ('nightshift_writer', 'nightshift_analyst')")
        if connection.execute(made).scalar_one() == 2:
            grant_roles(connection)


def _alembic(engine: Engine) -> Config:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_SQL / "migrations"))
    config.attributes["engine"] = engine
    return config


def said(error: SQLAlchemyError) -> str:
    """What the database said, in one line, without the statement and its values, secrets masked."""
    origin = getattr(error, "orig", None) or error
    return masked(" ".join(str(origin).split()))[:300]


def next_id(connection: Connection, table: str, column: str) -> int:
    """The next free number of an id column; nobody else takes one until the transaction ends."""
    lock_writers(connection, table)
    return int(connection.execute(text(f"SELECT coalesce(max({column}), 0) + 1 FROM {table}")).scalar_one())  # noqa: S608 — fixed names


def lock_writers(connection: Connection, table: str) -> None:
    """Keep other writers off a table until the transaction ends; readers are not kept off.

    A row lock would not do where rows are yet to be inserted. SQLite has one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
