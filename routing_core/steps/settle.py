"""After the night: hand out its plan."""

from __future__ import annotations

from datetime import date
from typing import Any

from routing_core.settings import Settings
from routing_core.store import runs
from routing_core.store.database import writing


def seal(dt: date, settings: Settings) -> dict[str, Any]:
    """Seal the current run of a date: from here on it is not replaced in silence.

    Returns
    -------
    dict
        run_id, dt, sealed_at.

    Raises
    ------
    NotFoundError
        If no run of the date is current.
    """
    with writing(settings) as connection:
        run = runs.seal(connection, dt)
    return {"run_id": run.run_id, "dt": dt.isoformat(), "sealed_at": str(run.sealed_at)}
