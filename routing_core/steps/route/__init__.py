"""Route the backlog of a night: open → list → estimate → solve → write, compare → check → publish.

Each function is one task: it takes ids and returns ids and counts, and can be retried at any moment.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from routing_core import log
from routing_core.errors import masked
from routing_core.settings import Settings
from routing_core.steps.route.checking import check_run
from routing_core.steps.route.comparing import compare_run
from routing_core.steps.route.estimating import estimate_chunk
from routing_core.steps.route.listing import list_chunks
from routing_core.steps.route.opening import open_run
from routing_core.steps.route.options import RouteOptions
from routing_core.steps.route.publishing import fail_run, publish_run
from routing_core.steps.route.solving import solve_night
from routing_core.steps.route.writing import write_chunk

__all__ = [
    "RouteOptions",
    "check_run",
    "compare_run",
    "estimate_chunk",
    "fail_run",
    "finish",
    "list_chunks",
    "open_run",
    "publish_run",
    "route",
    "solve_night",
    "write_chunk",
]

_LONGEST_REASON = 2000
"""Characters of a failure that are stored with the run."""


@log.step
def route(dt: date, settings: Settings, *, run_key: str, options: RouteOptions = RouteOptions()) -> dict[str, Any]:
    """All of the above in this process: what the command line does.

    Returns
    -------
    dict
        As :func:`publish_run`.
    """
    return finish(open_run(dt, settings, run_key=run_key, options=options), settings)


def finish(run_id: int, settings: Settings) -> dict[str, Any]:
    """Everything after opening, in this process; a run that breaks off is marked failed.

    Returns
    -------
    dict
        As :func:`publish_run`.
    """
    log.learn(run_id=run_id)
    try:
        chunks = list_chunks(run_id, settings)
        for chunk in chunks:
            estimate_chunk(run_id, chunk, settings, attempt=1)
        solve_night(run_id, settings)
        for chunk in chunks:
            write_chunk(run_id, chunk, settings, attempt=1)
        compare_run(run_id, settings)
        check_run(run_id, settings)
        return publish_run(run_id, settings)
    except BaseException as error:
        fail_run(run_id, settings, reason=masked(f"{type(error).__name__}: {error}")[:_LONGEST_REASON])
        raise
