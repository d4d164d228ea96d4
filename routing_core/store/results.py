"""What a run leaves beside its decisions: batches, models, prices and receipts; and the questions asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, text, union_all

from routing_core.store import tables
from routing_core.store.tables import (
    assignments,
    deferred_queries,
    rejected_queries,
    routing_runs,
    run_models,
    run_teams,
)

Rows = Sequence[Mapping[str, Any]]


def replace_night(connection: Connection, run_id: int, rows: Mapping[str, Rows]) -> None:
    """Replace a run's rows in each of the tables named."""
    for name, new in rows.items():
        table = tables.metadata.tables[name]
        connection.execute(delete(table).where(table.c.run_id == run_id))
        if new:
            connection.execute(insert(table), [{"run_id": run_id, **row} for row in new])


def count_rejected(connection: Connection, run_id: int) -> int:
    """Rows of a run that cannot be routed."""
    rows = select(func.count()).select_from(rejected_queries).where(rejected_queries.c.run_id == run_id)
    return int(connection.execute(rows).scalar_one())


def models_of(connection: Connection, run_id: int) -> Sequence[Row[Any]]:
    """Rows of ``run_models`` of a run, in the catalog's order."""
    rows = select(run_models).where(run_models.c.run_id == run_id).order_by(run_models.c.position)
    return connection.execute(rows).all()


def teams_of(connection: Connection, run_id: int) -> Sequence[Row[Any]]:
    """Rows of ``run_teams`` of a run, by name."""
    rows = connection.execute(select(run_teams).where(run_teams.c.run_id == run_id)).all()
    # By code point, as Python sorts: databases collate otherwise.
    return sorted(rows, key=lambda row: str(row.team))


def tasks_of(connection: Connection, run_id: int) -> dict[str, float]:
    """Routable queries of a run's own day, by task family: what a forecast for it is scored against."""
    own = [
        select(table.c.task).where(table.c.run_id == run_id, table.c.first_dt == table.c.dt)
        for table in (assignments, deferred_queries)
    ]
    came = union_all(*own).subquery()
    rows = connection.execute(select(came.c.task, func.count()).group_by(came.c.task))
    return {task: float(count) for task, count in rows}


def night(connection: Connection, dt: date) -> Row[Any] | None:
    """The row of the view ``nights`` for a date, or None."""
    query = select(routing_runs).where(routing_runs.c.dt == dt, routing_runs.c.status == "current")
    return connection.execute(query).one_or_none()


def view_rows(connection: Connection, view: str, dt: date, order: str) -> list[dict[str, Any]]:
    """Rows of one of our own views for a date."""
    query = text(f"SELECT * FROM {view} WHERE dt = :dt ORDER BY {order}")  # noqa: S608 — fixed names
    return [dict(row) for row in connection.execute(query.bindparams(dt=dt)).mappings()]


def decision_of(connection: Connection, query_id: str, dt: date | None) -> tuple[str, Row[Any]] | None:
    """What the current run of a night (None: of the newest that has it) decided of a query, and the row that says so.

    A row that repeats an identifier is rejected beside the one that is not: the latter speaks for the query.
    """
    found: list[tuple[date, str, Row[Any]]] = []
    for decision, table in (
        ("assigned", assignments),
        ("deferred", deferred_queries),
        ("rejected", rejected_queries),
    ):
        current = (routing_runs.c.status == "current") & (table.c.query_id == query_id)
        rows = select(table).join(routing_runs, routing_runs.c.run_id == table.c.run_id).where(current)
        if dt is not None:
            rows = rows.where(table.c.dt == dt)
        newest = connection.execute(rows.order_by(table.c.dt.desc()).limit(1)).one_or_none()
        if newest is not None:
            found.append((newest.dt, decision, newest))
    # Of one night the first listed counts: max keeps the first of equals.
    best = max(found, key=lambda one: one[0], default=None)
    return None if best is None else best[1:]
