"""What a run leaves beside its decisions: batches, models, prices and receipts; and the questions asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    Row,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
    union_all,
)

from routing_core.store.tables import metadata
from routing_core.store.tables.decisions import (
    assignment_totals,
    assignments,
    batches,
    deferred_queries,
    rejected_queries,
)
from routing_core.store.tables.fleet import allocations
from routing_core.store.tables.learning import predictor_versions
from routing_core.store.tables.proof import settlements
from routing_core.store.tables.runs import routing_runs, run_models, run_teams

Rows = Sequence[Mapping[str, Any]]


def replace_night(connection: Connection, run_id: int, rows: Mapping[str, Rows]) -> None:
    """Replace a run's rows in each of the tables named."""
    for name, new in rows.items():
        table = metadata.tables[name]
        connection.execute(delete(table).where(table.c.run_id == run_id))
        if new:
            connection.execute(insert(table), [{"run_id": run_id, **row} for row in new])


def total_assignments(connection: Connection, run_id: int) -> None:
    """Sum a run's assignments by model, task and team, for the views that would else read every row of a year."""
    table, team = assignment_totals, func.coalesce(assignments.c.team, literal_column("''"))
    groups = (assignments.c.run_id, assignments.c.model, assignments.c.task, team)
    sums = (func.sum(assignments.c[name]) for name in ("cost_usd", "mean_quality", "planned_quality"))
    rows = select(*groups, func.count(), *sums).where(assignments.c.run_id == run_id).group_by(*groups)
    connection.execute(delete(table).where(table.c.run_id == run_id))
    connection.execute(insert(table).from_select([column.name for column in table.columns], rows))


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


def view_rows(connection: Connection, view: str, dt: date, order: str, day: str = "dt") -> list[dict[str, Any]]:
    """Rows of one of our own views for a date, which its column ``day`` holds."""
    query = text(f"SELECT * FROM {view} WHERE {day} = :dt ORDER BY {order}")  # noqa: S608 — fixed names
    return [dict(row) for row in connection.execute(query.bindparams(dt=dt)).mappings()]


def view_between(connection: Connection, view: str, first: date, last: date, order: str) -> list[dict[str, Any]]:
    """Rows of one of our own views for a range of dates, both ends included."""
    query = text(f"SELECT * FROM {view} WHERE dt BETWEEN :first AND :last ORDER BY {order}")  # noqa: S608 — fixed names
    return [dict(row) for row in connection.execute(query.bindparams(first=first, last=last)).mappings()]


def newest(connection: Connection, view: str, upto: date, count: int) -> list[dict[str, Any]]:
    """The last rows of one of our own views up to a date, in the order of dates."""
    query = text(f"SELECT * FROM {view} WHERE dt <= :upto ORDER BY dt DESC LIMIT :count")  # noqa: S608 — fixed names
    return [dict(row) for row in connection.execute(query.bindparams(upto=upto, count=count)).mappings()][::-1]


def overspends(connection: Connection) -> list[dict[str, Any]]:
    """Rows of the view ``overspends``."""
    return [dict(row) for row in connection.execute(text("SELECT * FROM overspends ORDER BY accepted")).mappings()]


def extent(connection: Connection) -> tuple[date | None, date | None, int]:
    """First and last night with a current run, and how many there are."""
    days = routing_runs.c.dt
    row = connection.execute(
        select(func.min(days), func.max(days), func.count()).where(routing_runs.c.status == "current")
    ).one()
    return row[0], row[1], int(row[2])


def causes_between(connection: Connection, first: date, last: date) -> list[dict[str, Any]]:
    """Deferred queries of the current runs of a range of dates, by cause."""
    rows = (
        select(deferred_queries.c.cause, func.count().label("queries"))
        .join(routing_runs, routing_runs.c.run_id == deferred_queries.c.run_id)
        .where(routing_runs.c.status == "current", routing_runs.c.dt.between(first, last))
        .group_by(deferred_queries.c.cause)
        .order_by(func.count().desc(), deferred_queries.c.cause)
    )
    return [dict(row) for row in connection.execute(rows).mappings()]


def through_batches(connection: Connection, run_id: int, size: int) -> list[dict[str, Any]]:
    """Queries and predicted cost of a run by model and by ``size`` batches taken together."""
    taken = bindparam("size", size, type_=Integer)
    first = ((batches.c.batch_no - 1) // taken * taken + 1).label("first_batch")
    rows = (
        select(
            first,
            batches.c.model,
            func.sum(batches.c.assigned).label("assigned"),
            func.sum(batches.c.planned_spend_usd).label("planned_spend_usd"),
        )
        .where(batches.c.run_id == run_id)
        .group_by(text("first_batch"), batches.c.model)
        .order_by(text("first_batch"), batches.c.model)
    )
    # One of the two drivers returns a sum of integers as Decimal.
    return [
        {**row, "first_batch": int(row["first_batch"]), "assigned": int(row["assigned"])}
        for row in connection.execute(rows).mappings()
    ]


def settled_models(connection: Connection, run_id: int) -> list[dict[str, Any]]:
    """What came of a run's assignments by model, all tasks together; empty before it is settled."""
    names = ("model", "assigned", "settled", "predicted_quality", "realised_quality", "optimism", "optimism_stderr")
    of_run = (settlements.c.run_id == run_id) & (settlements.c.task == "*") & (settlements.c.model != "*")
    rows = select(*(settlements.c[name] for name in names)).where(of_run).order_by(settlements.c.model)
    return [dict(row) for row in connection.execute(rows).mappings()]


def night_of_key(connection: Connection, run_key: str) -> date | None:
    """The night that whatever has this key planned, judged a predictor for, or allocated; None if it left nothing."""
    for day, table in (
        (routing_runs.c.dt, routing_runs),
        (predictor_versions.c.dt, predictor_versions),
        (allocations.c.for_date, allocations),
    ):
        found = connection.execute(select(func.max(day)).where(table.c.run_key == run_key)).scalar_one()
        if found is not None:
            return date.fromisoformat(str(found))
    return None


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
