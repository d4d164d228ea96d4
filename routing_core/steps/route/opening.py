"""The task that opens a run, with all that it will plan with."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import date

from sqlalchemy import Connection

from routing_core import log
from routing_core.settings import Settings
from routing_core.steps import money
from routing_core.steps.means import Means, as_it_was, whole_plan, with_todays_policy
from routing_core.steps.route.options import RouteOptions
from routing_core.store import allocations, carry, openings, runs, versions
from routing_core.store.catalog import read_catalog
from routing_core.store.database import writing


@log.step
def open_run(
    dt: date, settings: Settings, *, run_key: str, options: RouteOptions = RouteOptions(), attempt: int | None = None
) -> int:
    """Open the run that ``run_key`` is about, with the predictor and the allocation it will plan with.

    Returns
    -------
    int
        The run_id; the same for the same key until the run is published.

    Raises
    ------
    MissingPredictorError, MissingAllocationError
        If there is none that will do, with the command that makes one.
    StaleAttemptError
        If a newer attempt has opened it.
    NotFoundError
        If there is no current run to plan beside.
    """
    with writing(settings) as connection:
        means = _means(connection, dt, settings, options)
        columns = means.columns(dt, asdict(options))
        chosen = {"replan": options.replan, "dry_run": options.dry_run, "shadow": options.beside is not None}
        run_id = openings.open_run(connection, dt, run_key, columns | chosen, attempt, sources=means.sources)
    log.learn(run_id=run_id)
    return run_id


def _means(connection: Connection, dt: date, settings: Settings, options: RouteOptions) -> Means:
    if options.beside is not None:
        run = whole_plan(connection, dt)
        if options.beside == "as_it_was":
            means = as_it_was(run, settings)
        else:
            means = with_todays_policy(connection, run, settings, read_catalog(settings.catalog_file))
        return replace(means, settings=options.apply(means.settings))
    asked = money.within_month(connection, dt, options.apply(settings), asked=options.budget_usd is not None)
    before, sources = None, []
    if _is_chained(connection, dt, options):
        before = runs.take_up_from(connection, dt)
        sources = carry.find_sources(connection, dt, before.dt if before else dt, asked.carry_over_days)
    predictor = versions.choose_predictor(connection, dt, options.predictor_policy)
    accept_last = asked.accept_last_allocation or "allocation" in options.degraded
    allocation = allocations.choose_allocation(connection, dt, options.allocation_policy, accept_last=accept_last)
    return Means(
        settings=asked,
        catalog=read_catalog(asked.catalog_file),
        predictor_id=predictor.predictor_id,
        allocation_id=allocation.allocation_id,
        carried_from_run_id=before.run_id if before else None,
        degraded=",".join(_degraded(options, dt, allocation.for_date)),
        sources=tuple(sources),
    )


def _is_chained(connection: Connection, dt: date, options: RouteOptions) -> bool:
    if options.carry_over != "as_before":
        return options.carry_over == "chained"
    reigning = runs.current_run(connection, dt)
    return reigning is not None and reigning.carried_from_run_id is not None


def _degraded(options: RouteOptions, dt: date, for_date: date) -> tuple[str, ...]:
    """What the run does without: said by its caller, or seen here, where the last allocation stands in for its own."""
    stand_in = options.allocation_policy == "as_of" and for_date != dt
    return tuple(dict.fromkeys((*options.degraded, "allocation"))) if stand_in else options.degraded
