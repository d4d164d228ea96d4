"""Whether what a task waits for is there yet."""

from __future__ import annotations

from datetime import date

from routing_core.errors import MissingPartitionError
from routing_core.settings import Settings
from routing_core.store import allocations, files, runs, versions
from routing_core.store.database import reading


def verdict_ready(dt: date, settings: Settings) -> bool:
    """Whether retraining has given its verdict for ``dt``."""
    with reading(settings) as connection:
        return versions.verdict_of(connection, dt) is not None


def allocation_ready(for_date: date, settings: Settings) -> bool:
    """Whether an allocation serves ``for_date``."""
    with reading(settings) as connection:
        return allocations.allocation_for(connection, for_date) is not None


def backlog_ready(dt: date, settings: Settings) -> bool:
    """Whether the backlog of ``dt`` is complete: its directory is there, and its marker if one is asked for."""
    try:
        return files.is_complete(settings.backlog_root, dt, settings.backlog_marker)
    except MissingPartitionError:
        return False


def night_ready(dt: date, settings: Settings) -> bool:
    """Whether the night of ``dt`` has a current run, or there is no earlier night to wait for at all."""
    with reading(settings) as connection:
        if runs.current_run(connection, dt) is not None:
            return True
        return not runs.has_earlier_run(connection, date.fromordinal(dt.toordinal() + 1))
