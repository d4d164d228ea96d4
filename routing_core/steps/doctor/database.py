"""The results database: can it be reached and written, is it ours, is its clock, is anything left half-way."""

from __future__ import annotations

from sqlalchemy import Connection

from routing_core.errors import SchemaError
from routing_core.settings import Settings
from routing_core.steps.doctor.finding import Checks, ill, odd, well
from routing_core.store import health
from routing_core.store.database import check_schema, reading

_MOST_SECONDS_APART = 60.0
_HALF_WAY_HOURS = 24.0


def database(settings: Settings) -> Checks:
    """Connection, lock, schema, views, rights, clock and runs, as far as each lets the next be looked at."""
    file = health.sqlite_file(settings)
    if file is not None and not file.exists():
        yield ill("connection", f"there is no results database at {file}", "routing init-db")
        return
    if why := health.can_connect(settings):
        yield ill(
            "connection",
            f"the results database does not answer: {why}",
            "start it, or correct NIGHTSHIFT_DSN"
            if file is None
            else f"restore {file} from a backup, or move it away and type routing init-db",
        )
        return
    yield well("connection", "the results database answers")
    if file is not None and health.locked_by_another(file):
        yield ill(
            "lock",
            f"another process keeps {file} locked for writing",
            f"end it (fuser {file} tells which), or use PostgreSQL where many write at once",
        )
    try:
        check_schema(settings)
    except SchemaError as error:
        yield ill("schema", error.message, error.remedy or "routing init-db")
        return
    yield well("schema", "at the version this code needs")
    with reading(settings) as connection:
        yield from _views(connection)
        yield from _rights(connection)
        yield from _clock(connection)
        yield from _runs(connection)


def _views(connection: Connection) -> Checks:
    if missing := health.missing_views(connection):
        yield ill("views", f"{', '.join(missing)} are missing", "routing init-db")
    else:
        yield well("views", "all there")


def _rights(connection: Connection) -> Checks:
    if tables := health.unwritable_tables(connection):
        yield ill(
            "rights",
            f"this role may not write {len(tables)} tables, among them {', '.join(sorted(tables)[:3])}",
            "connect as a writer: psql -f sql/roles.sql, then GRANT nightshift_writer TO the role of the DSN",
        )
    else:
        yield well("rights", "every table can be written")


def _clock(connection: Connection) -> Checks:
    ahead = health.seconds_ahead(connection)
    remedy = "set the clocks by NTP; times in the database are written by both"
    if abs(ahead) > _MOST_SECONDS_APART:
        yield ill("clock", f"the database's clock is {ahead:+.0f} seconds from this machine's", remedy)
    elif runs := health.opened_in_the_future(connection):
        yield ill("clock", f"run {runs[0]} was opened later than now, as {len(runs)} were", remedy)
    else:
        yield well("clock", "agrees with this machine's")


def _runs(connection: Connection) -> Checks:
    left = health.left_half_way(connection, _HALF_WAY_HOURS)
    if left:
        run_id, dt = left[0]
        yield odd(
            "runs",
            f"run {run_id} of {dt} was left half-way more than {_HALF_WAY_HOURS:g} hours ago, as {len(left)} were",
            f"routing route --dt {dt}, then routing prune",
        )
    else:
        yield well("runs", "none left half-way")
