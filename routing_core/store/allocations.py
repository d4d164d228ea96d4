"""Allocations and forecasts in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, insert, select, update

from routing_core.errors import MissingAllocationError
from routing_core.records.allocation import Allocation
from routing_core.store.database import next_id, now
from routing_core.store.tables.fleet import allocations, cluster_forecasts, instance_allocations, mix_forecasts

Policy = Literal["as_of", "latest"]


def record_forecast(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Record a forecast, a row per task family, and return its forecast_id."""
    forecast_id = next_id(connection, "mix_forecasts", "forecast_id")
    connection.execute(insert(mix_forecasts), [{"forecast_id": forecast_id, **row} for row in rows])
    return forecast_id


def score_forecast(connection: Connection, for_date: date, actual: Mapping[str, float]) -> None:
    """Fill in what came, in every forecast for ``for_date``; a task that did not come counts 0."""
    of_day = mix_forecasts.c.for_date == for_date
    for task in connection.execute(select(mix_forecasts.c.task).where(of_day).distinct()).scalars().all():
        came = sum(actual.values()) if task == "*" else actual.get(task, 0.0)
        connection.execute(
            update(mix_forecasts).where(of_day, mix_forecasts.c.task == task).values(actual=came, scored_at=now())
        )


def record_clusters(connection: Connection, forecast_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Record what a forecast expects by cluster of prompts, a row per cluster."""
    if rows:
        connection.execute(insert(cluster_forecasts), [{"forecast_id": forecast_id, **row} for row in rows])


def unscored_clusters(connection: Connection, for_date: date) -> Sequence[Row[Any]]:
    """Forecasts by cluster for a day that came and are not scored: forecast_id, predictor_id, seed, clusters."""
    table = cluster_forecasts
    made = (table.c.forecast_id, table.c.predictor_id, table.c.seed)
    waiting = select(*made, func.count().label("clusters")).where(
        table.c.for_date == for_date, table.c.scored_at.is_(None)
    )
    return connection.execute(waiting.group_by(*made).order_by(table.c.forecast_id)).all()


def score_clusters(connection: Connection, forecast_id: int, actual: Sequence[float]) -> None:
    """Fill in what came of each cluster, in order."""
    table = cluster_forecasts
    for cluster, came in enumerate(actual, start=1):
        of_cluster = (table.c.forecast_id == forecast_id) & (table.c.cluster == cluster)
        connection.execute(update(table).where(of_cluster).values(actual=came, scored_at=now()))


def record_allocation(
    connection: Connection, for_date: date, values: Mapping[str, Any], instances: Sequence[Mapping[str, Any]]
) -> int:
    """Record the allocation for a day; an earlier one for the same day is superseded.

    Returns
    -------
    int
        The allocation_id.
    """
    allocation_id = next_id(connection, "allocations", "allocation_id")
    of_day = allocations.c.for_date == for_date
    attempt = connection.execute(
        select(func.coalesce(func.max(allocations.c.attempt), 0) + 1).where(of_day)
    ).scalar_one()
    in_force = allocations.c.superseded_at.is_(None)
    connection.execute(update(allocations).where(of_day, in_force).values(superseded_at=now()))
    connection.execute(
        insert(allocations).values(
            allocation_id=allocation_id, for_date=for_date, attempt=attempt, created_at=now(), **values
        )
    )
    if instances:
        connection.execute(insert(instance_allocations), [{"allocation_id": allocation_id, **row} for row in instances])
    return allocation_id


def get_allocation(connection: Connection, allocation_id: int) -> Allocation:
    """The instances of an allocation."""
    return instances_of(
        connection, connection.execute(select(allocations).where(allocations.c.allocation_id == allocation_id)).one()
    )


def allocation_for(connection: Connection, for_date: date) -> Row[Any] | None:
    """The allocation in force for a day, or None."""
    in_force = (allocations.c.for_date == for_date) & allocations.c.superseded_at.is_(None)
    return connection.execute(select(allocations).where(in_force)).one_or_none()


def last_allocation(connection: Connection, before: date | None) -> Row[Any] | None:
    """The newest allocation in force for a day up to ``before`` (None: of all), or None."""
    rows = select(allocations).where(allocations.c.superseded_at.is_(None))
    if before is not None:
        rows = rows.where(allocations.c.for_date <= before)
    return connection.execute(rows.order_by(allocations.c.for_date.desc()).limit(1)).one_or_none()


def choose_allocation(connection: Connection, dt: date, policy: Policy, *, accept_last: bool) -> Row[Any]:
    """The allocation to plan the night of ``dt`` with.

    Parameters
    ----------
    connection : Connection
    dt : date
    policy : {"as_of", "latest"}
        The one for ``dt``, or the newest there is.
    accept_last : bool
        Whether the last one before ``dt`` will do where there is none for ``dt``.

    Raises
    ------
    MissingAllocationError
        If there is none that will do.
    """
    row = last_allocation(connection, None) if policy == "latest" else allocation_for(connection, dt)
    if row is None and accept_last:
        row = last_allocation(connection, dt)
    if row is None:
        raise MissingAllocationError(
            f"no allocation serves {dt}",
            remedy=f"routing allocate --dt {date.fromordinal(dt.toordinal() - 1)}, or set accept_last_allocation",
        )
    return row


def instances_of(connection: Connection, row: Row[Any]) -> Allocation:
    """The instances of an allocation row."""
    table = instance_allocations
    rows = select(table.c.model, table.c.instances).where(table.c.allocation_id == row.allocation_id)
    counts = {model: int(count) for model, count in connection.execute(rows.order_by(table.c.model))}
    return Allocation(row.for_date, counts)
