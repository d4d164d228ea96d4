"""The results as a reader has them, without what differs from run to run: ids, attempts and times."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from routing_core.settings import Settings
from routing_core.store.database import reading, writing
from routing_core.store.tables import metadata
from routing_core.store.tables.runs import routing_runs

NIGHTS = (date(2026, 11, 21), date(2026, 11, 22))
"""The nights of the tiny world."""

OF_A_RUN = (
    "run_inputs",
    "run_models",
    "run_teams",
    "assignments",
    "deferred_queries",
    "rejected_queries",
    "batches",
    "shadow_prices",
    "receipts",
)
_FIGURES = (
    "dt",
    "execution_date",
    "status",
    "degraded",
    "batching",
    "batches",
    "robust_method",
    "robust_level",
    "backlog_rows",
    "carried_rows",
    "assigned",
    "deferred",
    "rejected",
    "budget_usd",
    "cost_margin",
    "planning_budget_usd",
    "planned_spend_usd",
    "expected_quality",
    "objective",
    "bound",
    "gap",
    "solver_status",
    "unfamiliar_share",
)

Results = dict[str, list[tuple[Any, ...]]]


def current(settings: Settings) -> Results:
    """Every row of every table that belongs to a current run."""
    with reading(settings) as connection:
        return current_of(connection)


def current_of(connection: Connection) -> Results:
    is_current = routing_runs.c.status == "current"
    figures = select(*(routing_runs.c[name] for name in _FIGURES)).where(is_current)
    found: Results = {"routing_runs": _rows(connection, figures)}
    for name in OF_A_RUN:
        table = metadata.tables[name]
        kept = [column for column in table.c if column.name != "run_id"]
        joined = select(routing_runs.c.dt.label("night"), *kept).join_from(
            table, routing_runs, table.c.run_id == routing_runs.c.run_id
        )
        found[name] = _rows(connection, joined.where(is_current))
    return found


def _rows(connection: Connection, query: Any) -> list[tuple[Any, ...]]:
    return sorted((tuple(map(_plain, row)) for row in connection.execute(query)), key=repr)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value


def night_of(results: Results, dt: object) -> Results:
    """The rows of one night."""
    return {name: [row for row in rows if row[0] == dt] for name, rows in results.items()}


def differences(found: Results, wanted: Results) -> list[str]:
    """What is not as it should be, table by table, with the first rows on either side."""
    lines = []
    for name in wanted:
        gone = [row for row in wanted[name] if row not in set(found[name])]
        new = [row for row in found[name] if row not in set(wanted[name])]
        if gone or new or len(found[name]) != len(wanted[name]):
            lines.append(
                f"{name}: {len(found[name])} rows for {len(wanted[name])}; missing {gone[:2]}; extra {new[:2]}"
            )
    return lines


def copy_rows(source: Settings, target: Settings) -> None:
    """Everything in one results database into another, empty one."""
    with reading(source) as old, writing(target) as new:
        for table in metadata.sorted_tables:
            if rows := old.execute(select(table)).mappings().all():
                new.execute(insert(table), [dict(row) for row in rows])
