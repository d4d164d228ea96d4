"""What can be told of the results database without planning: is it there, may we write, what time is it there."""

from __future__ import annotations

import sqlite3
from datetime import date, timedelta
from pathlib import Path

from sqlalchemy import Connection, func, inspect, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError

from routing_core.settings import Settings
from routing_core.store.database import now, reading, said, view_files, view_name
from routing_core.store.tables import metadata
from routing_core.store.tables.runs import routing_runs

_LOCK_PATIENCE_SECONDS = 2.0


def sqlite_file(settings: Settings) -> Path | None:
    """The file of an SQLite results database; None where it is PostgreSQL, or in memory."""
    url = make_url(settings.database_url)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def missing_views(connection: Connection) -> list[str]:
    """Views of this code that the database does not have."""
    there = set(inspect(connection).get_view_names())
    return [name for name in map(view_name, view_files()) if name not in there]


def locked_by_another(file: Path) -> bool:
    """Whether somebody has kept the one place of a writer in an SQLite file for longer than a moment."""
    connection = sqlite3.connect(file, timeout=_LOCK_PATIENCE_SECONDS, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return True
    finally:
        connection.close()
    return False


def unwritable_tables(connection: Connection) -> list[str]:
    """Tables that the role of this connection may not write rows of; always none in SQLite."""
    if connection.dialect.name != "postgresql":
        return []
    may = text("SELECT has_table_privilege(:table, 'INSERT') AND has_table_privilege(:table, 'UPDATE')")
    return [table for table in metadata.tables if not connection.execute(may, {"table": table}).scalar_one()]


def seconds_ahead(connection: Connection) -> float:
    """How far the database's clock is ahead of this machine's, seconds; 0 in SQLite, which has none."""
    if connection.dialect.name != "postgresql":
        return 0.0
    there = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return float((there - now()).total_seconds())


def opened_in_the_future(connection: Connection) -> list[int]:
    """Runs that were opened later than now: a clock was wrong then, or is now."""
    later = routing_runs.c.opened_at > now() + timedelta(minutes=1)
    return list(connection.execute(select(routing_runs.c.run_id).where(later)).scalars())


def left_half_way(connection: Connection, hours: float) -> list[tuple[int, date]]:
    """Runs, with their dates, that were opened longer than ``hours`` ago and neither published nor failed."""
    table = routing_runs
    old = table.c.opened_at < now() - timedelta(hours=hours)
    open_ones = table.c.status.in_(("staged", "checked")) & table.c.dry_run.is_(False)
    rows = connection.execute(select(table.c.run_id, table.c.dt).where(open_ones, old).order_by(table.c.run_id))
    return [(row.run_id, row.dt) for row in rows]


def newest_current(connection: Connection) -> date | None:
    """The newest day that has a current run."""
    return connection.execute(
        select(func.max(routing_runs.c.dt)).where(routing_runs.c.status == "current")
    ).scalar_one_or_none()


def can_connect(settings: Settings) -> str | None:
    """What stands in the way of connecting; None if nothing does.

    Raises
    ------
    SettingsError
        If the DSN is no URL of a database we know.
    """
    try:
        with reading(settings) as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        return said(error)
    return None
