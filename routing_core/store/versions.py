"""Verdicts on predictors, and who reigns as of a day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, insert, select, update

from routing_core.errors import MissingPredictorError, NotFoundError
from routing_core.store.database import next_id, now
from routing_core.store.tables.learning import predictor_versions as versions

Policy = Literal["as_of", "latest"]


def record_verdict(connection: Connection, dt: date, values: Mapping[str, Any]) -> int:
    """Record the verdict for ``dt``; an earlier one for the same day is superseded.

    Returns
    -------
    int
        The predictor_id.
    """
    predictor_id = next_id(connection, "predictor_versions", "predictor_id")
    of_day = versions.c.dt == dt
    attempt = connection.execute(select(func.coalesce(func.max(versions.c.attempt), 0) + 1).where(of_day)).scalar_one()
    connection.execute(update(versions).where(of_day, versions.c.superseded_at.is_(None)).values(superseded_at=now()))
    connection.execute(
        insert(versions).values(predictor_id=predictor_id, dt=dt, attempt=attempt, created_at=now(), **values)
    )
    return predictor_id


def verdict_of(connection: Connection, dt: date) -> Row[Any] | None:
    """The verdict in force for ``dt``, or None."""
    in_force = (versions.c.dt == dt) & versions.c.superseded_at.is_(None)
    return connection.execute(select(versions).where(in_force)).one_or_none()


def get_version(connection: Connection, predictor_id: int) -> Row[Any]:
    """The row of a predictor.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    row = connection.execute(select(versions).where(versions.c.predictor_id == predictor_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"predictor {predictor_id} is not in the results database")
    return row


def champion(connection: Connection, dt: date | None) -> Row[Any] | None:
    """The newest promoted predictor trained through ``dt`` or earlier (None: of all), or None."""
    rows = select(versions).where(versions.c.decision == "promoted", versions.c.superseded_at.is_(None))
    if dt is not None:
        rows = rows.where(versions.c.trained_through <= dt)
    newest = (versions.c.trained_through.desc(), versions.c.predictor_id.desc())
    return connection.execute(rows.order_by(*newest).limit(1)).one_or_none()


def choose_predictor(connection: Connection, dt: date, policy: Policy) -> Row[Any]:
    """The predictor to plan the night of ``dt`` with.

    Raises
    ------
    MissingPredictorError
        If none is promoted yet.
    """
    row = champion(connection, dt if policy == "as_of" else None)
    if row is None:
        raise MissingPredictorError(
            f"no promoted predictor is trained through {dt} or earlier", remedy=f"routing retrain --dt {dt}"
        )
    return row
