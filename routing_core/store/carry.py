"""Carry-over: which deferred queries a night takes up, and from whom.

A run is opened with its sources: the current runs of the nights before it, as far back as a query may have waited when
the newest of them was planned, and those of later nights that were handed out, or planned without it. It takes up what
a source of an earlier night deferred and no source of a later one has decided.
Published runs do not change, so neither does what this gives, whenever it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, func, insert, select, update

from routing_core.store.tables.decisions import assignments, deferred_queries, rejected_queries
from routing_core.store.tables.runs import routing_runs, run_inputs, run_sources


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a file holds of the queries that are taken up.

    Attributes
    ----------
    queries : int
    sha256 : str
        Of the file, as the night that deferred them listed it.
    """

    queries: int
    sha256: str


def find_sources(connection: Connection, dt: date, before: date, nights: int) -> list[int]:
    """The runs that the night of ``dt`` has to know of to take up what waits: see the module's description.

    Parameters
    ----------
    connection : Connection
    dt : date
    before : date
        The newest night before it that was planned. After an outage it is further back than a query may wait; what it
        left is taken up all the same, to be rejected as expired rather than lost.
    nights : int
        How many nights a query may wait.
    """
    runs = routing_runs.c
    has_taken_up = exists().where(
        run_inputs.c.run_id == runs.run_id, run_inputs.c.source == "carried", run_inputs.c.partition_dt < dt
    )
    near = (runs.dt >= before - timedelta(days=nights)) & ((runs.dt < dt) | ((runs.dt > dt) & has_taken_up))
    found = connection.execute(select(runs.run_id, runs.dt).where(near, runs.status == "current")).all()
    follow = _runs_that_follow(connection, dt)
    return sorted(row.run_id for row in found if row.dt < dt or row.run_id not in follow or is_sent(connection, row.dt))


def is_sent(connection: Connection, dt: date) -> bool:
    """Whether a run of the date was sealed, or is said to have been sent in part."""
    published = routing_runs.c.status.in_(("current", "superseded"))
    sent = routing_runs.c.sealed_at.is_not(None) | (published & (routing_runs.c.sent_through_batch > 0))
    found = select(routing_runs.c.run_id).where(routing_runs.c.dt == dt, sent)
    return connection.execute(found.limit(1)).first() is not None


def record_sources(connection: Connection, run_id: int, sources: Sequence[int]) -> None:
    """Record the sources of a run that has just been opened."""
    if sources:
        rows = [{"run_id": run_id, "source_run_id": source, "queries": 0} for source in sources]
        connection.execute(insert(run_sources), rows)


def copy_sources(connection: Connection, run_id: int, base_run_id: int) -> None:
    """Give a run the sources of another, whose input it plans again."""
    rows = connection.execute(select(run_sources).where(run_sources.c.run_id == base_run_id)).mappings().all()
    connection.execute(run_sources.delete().where(run_sources.c.run_id == run_id))
    if rows:
        connection.execute(insert(run_sources), [{**row, "run_id": run_id} for row in rows])


def count_taken(connection: Connection, run_id: int) -> None:
    """Record how many queries a run takes up from each of its sources."""
    counts = _waiting(run_id, deferred_queries.c.run_id, func.count()).group_by(deferred_queries.c.run_id)
    for source, queries in connection.execute(counts).all():
        one = (run_sources.c.run_id == run_id) & (run_sources.c.source_run_id == source)
        connection.execute(update(run_sources).where(one).values(queries=queries))


def outdated_source(connection: Connection, run_id: int) -> Row[Any] | None:
    """A run that ``run_id`` took queries up from and that is no longer current, or None."""
    outdated = (
        select(routing_runs)
        .join_from(run_sources, routing_runs, run_sources.c.source_run_id == routing_runs.c.run_id)
        .where(run_sources.c.run_id == run_id, run_sources.c.queries > 0, routing_runs.c.status != "current")
    )
    return connection.execute(outdated.limit(1)).one_or_none()


def dropped(connection: Connection, run_id: int, reigning: Row[Any], most: int = 5) -> list[str]:
    """Queries of earlier nights that ``reigning`` gave to models and that another run of its date does not decide."""
    given = assignments.alias("given")
    decided = [
        exists().where(t.c.run_id == run_id, t.c.query_id == given.c.query_id, t.c.first_dt == given.c.first_dt)
        for t in (assignments, deferred_queries, rejected_queries)
    ]
    lost = select(given.c.query_id).where(
        given.c.run_id == reigning.run_id, given.c.first_dt < reigning.dt, *(~one for one in decided)
    )
    return list(connection.execute(lost.order_by(given.c.query_id).limit(most)).scalars())


def takers(connection: Connection, dt: date) -> list[date]:
    """Nights whose current run took up queries from a run of ``dt``."""
    later, source = routing_runs.alias("later"), routing_runs.alias("source")
    took = (
        select(later.c.dt)
        .join_from(run_sources, later, run_sources.c.run_id == later.c.run_id)
        .join(source, run_sources.c.source_run_id == source.c.run_id)
        .where(source.c.dt == dt, later.c.dt > dt, later.c.status == "current", run_sources.c.queries > 0)
    )
    return list(connection.execute(took.distinct()).scalars())


def carried_files(connection: Connection, run_id: int) -> dict[tuple[date, str], Waiting]:
    """Files that hold the queries a run takes up, by day and name."""
    deferred, listed = deferred_queries.c, run_inputs.c
    same_file = (
        (deferred.run_id == listed.run_id)
        & (deferred.first_dt == listed.partition_dt)
        & (deferred.partition == listed.partition)
    )
    counts = _waiting(run_id, deferred.first_dt, deferred.partition, func.count(), func.max(listed.sha256))
    counts = counts.join(run_inputs, same_file).group_by(deferred.first_dt, deferred.partition)
    return {(day, name): Waiting(int(count), sha256) for day, name, count, sha256 in connection.execute(counts)}


def carried_rows(connection: Connection, run_id: int) -> dict[date, dict[str, list[int]]]:
    """Rows of the queries a run takes up, by day and file."""
    rows: dict[date, dict[str, list[int]]] = {}
    waiting = deferred_queries.c
    for day, name, row in connection.execute(_waiting(run_id, waiting.first_dt, waiting.partition, waiting.row)):
        rows.setdefault(day, {}).setdefault(name, []).append(int(row))
    return rows


def _waiting(run_id: int, *columns: Any) -> Select[Any]:
    """What of its sources' deferred queries waits for the run."""
    sources, taker, deferred = run_sources, routing_runs, deferred_queries
    return (
        select(*columns)
        .select_from(sources)
        .join(taker, sources.c.run_id == taker.c.run_id)
        .join(deferred, (sources.c.source_run_id == deferred.c.run_id) & (deferred.c.dt < taker.c.dt))
        .where(
            sources.c.run_id == run_id,
            ~_decided_later(run_id, assignments, "query_id", "first_dt"),
            ~_decided_later(run_id, deferred_queries.alias("later_deferred"), "query_id", "first_dt"),
            ~_decided_later(run_id, rejected_queries, "first_dt", "partition", "row"),
        )
    )


def _decided_later(run_id: int, table: Any, *same: str) -> Any:
    """Whether a source of a later night has the query in ``table``, known by the columns ``same``."""
    other = run_sources.alias(f"source_of_{table.name}")
    the_query = [table.c[name] == deferred_queries.c[name] for name in same]
    return exists(
        select(table.c.run_id)
        .select_from(table)
        .join(other, (other.c.source_run_id == table.c.run_id) & (other.c.run_id == run_id))
        .where(*the_query, table.c.dt > deferred_queries.c.dt)
        .correlate(deferred_queries)
    )


def _runs_that_follow(connection: Connection, dt: date) -> set[int]:
    """Runs that know a run of ``dt`` as a source: those of later nights are planned again when that night is."""
    rows = (
        select(run_sources.c.run_id)
        .join_from(run_sources, routing_runs, run_sources.c.source_run_id == routing_runs.c.run_id)
        .where(routing_runs.c.dt == dt)
    )
    return set(connection.execute(rows.distinct()).scalars())
