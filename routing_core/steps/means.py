"""With what a run is opened: settings, catalog, predictor, allocation, and what it takes up or plans again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row

from routing_core import __version__
from routing_core.errors import NotFoundError
from routing_core.records.catalog import Catalog
from routing_core.settings import Settings, execution_date
from routing_core.store import allocations, catalogs, runs, versions

PLACES = frozenset({"home", "dsn", "catalog", "outcomes", "backlog", "alert_webhook"})
"""Settings that say where things are, and decide nothing."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a night is planned with.

    Attributes
    ----------
    settings : Settings
    catalog : Catalog
    predictor_id, allocation_id : int
    carried_from_run_id : int or None
        Newest run whose deferred queries are taken up.
    sources : tuple of int
        All runs that tell which queries are taken up.
    degraded : str
        What the night has to go on without, comma-separated.
    base_run_id : int or None
        Run whose input is planned again.
    """

    settings: Settings
    catalog: Catalog
    predictor_id: int
    allocation_id: int
    carried_from_run_id: int | None
    degraded: str = ""
    base_run_id: int | None = None
    sources: tuple[int, ...] = ()

    def columns(self, dt: date, options: Mapping[str, Any]) -> dict[str, Any]:
        """These means as columns of ``routing_runs``; the catalog is kept, so that they are there when asked for."""
        self.catalog.prices_on(execution_date(dt))
        catalogs.keep(self.catalog, self.settings.catalogs_root)
        return {
            "execution_date": execution_date(dt),
            "degraded": self.degraded,
            "code_version": __version__,
            "settings": self.settings.public(),
            "options": dict(options),
            "seed": self.settings.seed,
            "batching": self.settings.batching,
            "batches": self.settings.batches,
            "catalog_hash": self.catalog.content_hash,
            "predictor_id": self.predictor_id,
            "allocation_id": self.allocation_id,
            "carried_from_run_id": self.carried_from_run_id,
            "base_run_id": self.base_run_id,
            "budget_usd": self.settings.budget_usd,
            "month_budget_usd": self.settings.monthly_budget_usd,
        }


def as_opened(run: Row[Any], settings: Settings) -> Settings:
    """The settings a run was opened with, wherever and whenever a retry goes on; only places are today's."""
    decided = {name: value for name, value in run.settings.items() if name not in PLACES}
    return settings.model_copy(update=decided)


def whole_plan(connection: Connection, dt: date) -> Row[Any]:
    """The plan that the current run of a date is, or that it is what was left of.

    Raises
    ------
    NotFoundError
        If no run of the date is current.
    """
    run = runs.current_run(connection, dt)
    if run is None:
        raise NotFoundError(
            f"no run of {dt} is current, so there is nothing to plan again or beside it",
            remedy=f"routing route --dt {dt}",
        )
    while run.base_run_id is not None:
        run = runs.get_run(connection, run.base_run_id)
    return run


def as_it_was(run: Row[Any], settings: Settings) -> Means:
    """What ``run`` was planned with.

    Raises
    ------
    ChangedInputError
        If its catalog is kept no more.
    """
    return Means(
        settings=as_opened(run, settings),
        catalog=catalogs.of_run(run, settings),
        predictor_id=run.predictor_id,
        allocation_id=run.allocation_id,
        carried_from_run_id=run.carried_from_run_id,
        degraded=run.degraded,
        base_run_id=run.run_id,
    )


def with_todays_policy(connection: Connection, run: Row[Any], settings: Settings, catalog: Catalog) -> Means:
    """The settings and catalog of today with the newest predictor and allocation, on the input of ``run``.

    Prices are still those of the night's own day: the policy is today's, the world is not.
    """
    return Means(
        settings=settings,
        catalog=catalog,
        predictor_id=versions.choose_predictor(connection, run.dt, "latest").predictor_id,
        allocation_id=allocations.choose_allocation(connection, run.dt, "latest", accept_last=True).allocation_id,
        carried_from_run_id=run.carried_from_run_id,
        base_run_id=run.run_id,
    )
