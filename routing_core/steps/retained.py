"""A planned night brought back from what it left: its estimate shards, its decisions, and the limits it had."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row

from routing_core.errors import NotFoundError, RunStateError
from routing_core.records.assignments import DEFERRED
from routing_core.route.problem import Problem
from routing_core.settings import Settings
from routing_core.steps.means import as_opened
from routing_core.steps.plan import familiar_or_careful, planning_budget, pose, team_budgets
from routing_core.steps.probation import Until, withhold
from routing_core.store import chunks, results, runs
from routing_core.store.database import reading
from routing_core.store.decisions import PARTS
from routing_core.store.gather import Gathered, assemble, gather, query_ids, solution_directory


@dataclass(frozen=True, slots=True, eq=False)
class Retained:
    """A planned night, as it was solved.

    Attributes
    ----------
    run : row of ``routing_runs``
    settings : Settings
        Those the run was opened with.
    models : tuple of str
        In the order of the matrices' columns.
    instances : tuple of (int or None), one per model
        None for an API model.
    capacity : tuple of (int or None), one per model
        Queries it takes in a batch; None is no limit.
    until : tuple of (int or None), one per model
        Outcomes that it lacked to be planned with; None where it had them.
    team_margin : ndarray of float64, shape (n_teams,)
    night : Gathered
    shards : tuple of Path
        Its estimates.
    decided : dict of str to ndarray, shape (n_queries,)
        As ``store.decisions.PARTS`` names them.
    """

    run: Row[Any]
    settings: Settings
    models: tuple[str, ...]
    instances: tuple[int | None, ...]
    capacity: tuple[int | None, ...]
    until: Until
    team_margin: NDArray[np.float64]
    night: Gathered
    shards: tuple[Path, ...]
    decided: dict[str, NDArray[Any]]

    @property
    def query_id(self) -> NDArray[np.object_]:
        """Ndarray of str objects, shape (n_queries,), read anew each time."""
        return query_ids(self.shards, self.night.places)

    @property
    def is_rest(self) -> bool:
        """Whether the run planned only what was left of another."""
        return self.run.sent_through_batch is not None

    def problem(self) -> Problem:
        """The problem that was solved; there is none of a night without a routable query."""
        return self.problem_with(float(self.run.budget_usd), self.capacity)

    @property
    def gpu_usd(self) -> float:
        """What the night's GPU-hours took of its budget, USD."""
        return float(self.run.gpu_usd or 0.0)

    def problem_with(
        self,
        budget_usd: float,
        capacity: tuple[int | None, ...],
        night: Gathered | None = None,
        gpu_usd: float | None = None,
    ) -> Problem:
        """The same with another budget (before margin and GPU-hours, USD), other capacities, estimates or GPUs.

        Raises
        ------
        RunStateError
            If the run is the plan of what was left of another: what was sent is no longer open, and what it cost and
            used is gone.
        """
        if self.is_rest:
            raise RunStateError(
                f"run {self.run.run_id} of {self.run.dt} is the plan of what was left of run {self.run.base_run_id} "
                f"after batch {self.run.sent_through_batch}; such a night cannot be planned otherwise as a whole"
            )
        teams = team_budgets(self.settings) / self.team_margin
        return pose(
            self.night if night is None else night,
            capacity,
            planning_budget(budget_usd, self.run.cost_margin, self.gpu_usd if gpu_usd is None else gpu_usd),
            teams,
            self.settings.batches,
        )


def current_night(dt: date, settings: Settings) -> Retained:
    """The current run of a night.

    Raises
    ------
    NotFoundError
        If no run of the date is current, or what it left on disk is gone.
    """
    with reading(settings) as connection:
        run = runs.current_run(connection, dt)
    if run is None:
        raise NotFoundError(f"no run of {dt} is current", remedy=f"routing route --dt {dt}")
    return retained_night(run, settings)


def retained_night(run: Row[Any], settings: Settings, *, scratch: Path | None = None) -> Retained:
    """A solved run, from its shards.

    Parameters
    ----------
    run : row of ``routing_runs``
    settings : Settings
    scratch : Path, optional
        As for :func:`routing_core.store.gather.gather`.

    Raises
    ------
    NotFoundError
        If what it left on disk is gone.
    """
    with reading(settings) as connection:
        names = [row.estimate_shard for row in chunks.of_run(connection, run.run_id)]
        models = results.models_of(connection, run.run_id)
        teams = results.teams_of(connection, run.run_id)
    directory = settings.run_directory(run.run_id)
    shards = [directory / name for name in names]
    solution = solution_directory(directory, run.solve_attempt)
    gone = [str(path) for path in (*shards, solution) if not path.exists()]
    if names and gone:
        raise NotFoundError(
            f"run {run.run_id} of {run.dt}: its estimates are no longer kept; {gone[0]} is gone",
            remedy=f"plan the night again: routing route --dt {run.dt}",
        )
    asked = as_opened(run, settings)
    night = gather(shards, len(models), sorted(asked.team_budgets_usd), scratch=scratch)
    night, _ = familiar_or_careful(night, asked.unfamiliar_limit)
    decided = assemble(solution, night.places, PARTS)
    until = tuple(row.outcomes_until_eligible for row in models)
    return Retained(
        run=run,
        settings=asked,
        models=tuple(row.model for row in models),
        instances=tuple(row.instances for row in models),
        capacity=tuple(row.capacity_per_batch for row in models),
        until=until,
        team_margin=np.array([row.cost_margin for row in teams]),
        night=as_planned(night, decided["model"], until, asked),
        shards=tuple(shards),
        decided=decided,
    )


def as_planned(night: Gathered, model: NDArray[np.int16], until: Until, settings: Settings) -> Gathered:
    """The night without the models on probation, but for the queries that probed them.

    Parameters
    ----------
    night : Gathered
    model : ndarray of int16, shape (n_queries,)
        Who answered what; ``DEFERRED`` is nobody.
    until : tuple of (int or None), one per model
    settings : Settings
    """
    kept, probes = withhold(night, until, settings)
    if probes is not None:
        rows = np.flatnonzero(model != DEFERRED)
        kept.eligible[rows, model[rows]] = night.eligible[rows, model[rows]]
    return kept
