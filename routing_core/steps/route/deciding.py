"""What a night comes to: its shards gathered, its problem solved, its decisions explained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row

from routing_core.predict.predictor import Predictor
from routing_core.records.allocation import Allocation
from routing_core.records.catalog import Catalog
from routing_core.route.probe import Probes
from routing_core.settings import Settings
from routing_core.steps import figures, plan, rest
from routing_core.steps.probation import outcomes_until_eligible, withhold
from routing_core.steps.route.solving import Clock
from routing_core.store import kept
from routing_core.store.chance import uniforms
from routing_core.store.gather import Gathered, gather, query_ids
from routing_core.store.shards import read_directory, read_shard


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What a night is decided on.

    Attributes
    ----------
    run : row of ``routing_runs``
    settings : Settings
        Those the run was opened with.
    catalog : Catalog
    fleet : Allocation
    predictor : Predictor
    shards : tuple of str
        The estimates of its chunks, in order, below the run's directory.
    """

    run: Row[Any]
    settings: Settings
    catalog: Catalog
    fleet: Allocation
    predictor: Predictor
    shards: tuple[str, ...]

    @property
    def directory(self) -> Path:
        return self.settings.run_directory(self.run.run_id)

    @property
    def paths(self) -> list[Path]:
        return [self.directory / name for name in self.shards]

    def margin(self, n_queries: int) -> float:
        """Factor that the budget of so many queries is divided by before planning."""
        return self.predictor.cost_margin.factor(n_queries, probability=self.settings.overspend_probability)


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """A night, decided.

    Attributes
    ----------
    places : tuple of ndarray
        As in :class:`routing_core.store.gather.Gathered`.
    decided, figures, tables
        As in :class:`routing_core.steps.figures.Explained`.
    """

    places: tuple[NDArray[np.int64], ...]
    decided: dict[str, NDArray[Any]]
    figures: dict[str, Any]
    tables: dict[str, list[dict[str, Any]]]


def decide(ground: Ground, clock: Clock) -> Decided:
    """Decide a night.

    Parameters
    ----------
    ground : Ground
    clock : Clock
        Told how long gathering, solving and explaining took.

    Raises
    ------
    SolverError
        If the solution does not survive verification.
    """
    asked, models = ground.settings, ground.catalog.names
    with clock.stage("gather"):
        night = gather(ground.paths, len(models), sorted(asked.team_budgets_usd), scratch=ground.directory)
    night, familiarity = plan.familiar_or_careful(night, asked.unfamiliar_limit)
    until = outcomes_until_eligible(ground.predictor, models, asked)
    night, probes = withhold(night, until, asked)
    explained = _rest(ground, night, clock) if _is_rest(ground.run) else _whole(ground, night, probes, clock)
    for row in explained.tables["run_models"]:
        row["outcomes_until_eligible"] = until[row["position"]]
    robust = ground.predictor.robust_of(asked.robust_level, careful=familiarity["conservative"])
    planned_with = {"robust_method": robust.method, "robust_level": None if robust.method == "none" else robust.level}
    return Decided(
        night.places, explained.decided, {**explained.figures, **familiarity, **planned_with}, explained.tables
    )


def _is_rest(run: Row[Any]) -> bool:
    """Whether it plans what another run has not sent."""
    return run.sent_through_batch is not None


def _whole(ground: Ground, night: Gathered, probes: Probes | None, clock: Clock) -> figures.Explained:
    asked, number = ground.settings, None
    prices = ground.catalog.prices_on(ground.run.execution_date)
    with clock.stage("solve"):
        if asked.exploration_share:
            number = uniforms(query_ids(ground.paths, night.places), asked.seed, "explore")
        made = plan.make(night, ground.catalog, ground.fleet, asked, ground.margin, number, probes)
    with clock.stage("explain"):
        return figures.explain(made, night, ground.catalog, ground.fleet, asked, prices)


def _rest(ground: Ground, night: Gathered, clock: Clock) -> figures.Explained:
    options, through = ground.run.options, ground.run.sent_through_batch
    loss = rest.Loss(frozenset(options["withdraw"]), options["lose"])
    prices = ground.catalog.prices_on(ground.run.execution_date)
    with clock.stage("solve"):
        stays = _kept(ground, night)
        return rest.decide(
            night, stays, through, loss, ground.catalog, ground.fleet, ground.settings, ground.margin, prices
        )


def _kept(ground: Ground, night: Gathered) -> kept.Kept:
    """What stays of the run whose rest is planned, found again in the night."""
    table = read_directory(ground.directory / kept.DIRECTORY, ("kept",))["kept"]
    shards = [read_shard(path) for path in ground.paths]
    return kept.in_night_order(table, shards, night.places, len(night), ground.catalog.names)
