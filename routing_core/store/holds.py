"""Nights held back from being handed out."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from routing_core.errors import NotFoundError, RunStateError
from routing_core.store.database import next_id, now
from routing_core.store.runs import lock_runs_of
from routing_core.store.tables.handing_out import holds


def hold(connection: Connection, dt: date, reason: str) -> Row[Any]:
    """Hold a night until it is released; a night that is held already stays so, for the reason it was.

    Raises
    ------
    RunStateError
        If its current plan has been handed out.
    """
    current = next((run for run in lock_runs_of(connection, dt) if run.status == "current"), None)
    if current is not None and current.sealed_at is not None:
        raise RunStateError(
            f"run {current.run_id} of {dt} was handed out at {current.sealed_at:%Y-%m-%d %H:%M} UTC; "
            "it is too late to hold it",
            remedy=f"routing replan --dt {dt} --after-batch N plans what has not been sent anew",
        )
    held = open_hold(connection, dt)
    if held is None:
        hold_id = next_id(connection, "holds", "hold_id")
        connection.execute(insert(holds).values(hold_id=hold_id, dt=dt, reason=reason, held_at=now()))
        held = open_hold(connection, dt)
    assert held is not None
    return held


def release(connection: Connection, dt: date) -> Row[Any]:
    """Release a held night.

    Raises
    ------
    NotFoundError
        If it is not held.
    """
    lock_runs_of(connection, dt)
    held = open_hold(connection, dt)
    if held is None:
        raise NotFoundError(f"the night of {dt} is not held")
    connection.execute(update(holds).where(holds.c.hold_id == held.hold_id).values(released_at=now()))
    return connection.execute(select(holds).where(holds.c.hold_id == held.hold_id)).one()


def open_hold(connection: Connection, dt: date) -> Row[Any] | None:
    return connection.execute(select(holds).where(holds.c.dt == dt, holds.c.released_at.is_(None))).one_or_none()
