"""From a gathered night to its plan: the problem posed, solved and verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.strangers import stranger_share
from routing_core.records.allocation import Allocation
from routing_core.records.assignments import DEFERRED
from routing_core.records.catalog import Catalog
from routing_core.route.admission import capacity_per_batch
from routing_core.route.arrival import solve_arrival
from routing_core.route.explore import MUST, held, lottery
from routing_core.route.parameters import Parameters
from routing_core.route.probe import Probes, admitted, aim
from routing_core.route.problem import UNLIMITED, Problem
from routing_core.route.solution import Solution
from routing_core.route.solve import solve
from routing_core.route.verify import verify
from routing_core.settings import Settings
from routing_core.store.gather import Gathered


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A night, decided.

    Attributes
    ----------
    problem : Problem or None
        None for a night without a routable query.
    solution : Solution or None
    capacity : tuple of (int or None), one per model
        Queries it takes in a batch; None is no limit.
    margin : float
        Factor by which planned spend stays below the budget, at least 1.
    team_margin : ndarray of float64, shape (n_teams,)
        The same of each team's budget.
    gpu_usd : float, USD
        What the GPUs of the night cost; the budget pays it first.
    budget : float, USD, at least 0
        What is left of the night's budget to plan with.
    propensity : ndarray of float64, shape (n_queries,), in (0, 1]
        Probability with which each query got what it got, given the draws of all others; 1 without exploration, NaN
        of a drawn query that waits all the same. With exploration, the solution's bound is that of the problem with
        the drawn queries held to their models.
    """

    problem: Problem | None
    solution: Solution | None
    capacity: tuple[int | None, ...]
    margin: float
    team_margin: NDArray[np.float64]
    gpu_usd: float
    budget: float
    propensity: NDArray[np.float64]


def familiar_or_careful(night: Gathered, limit: float | None) -> tuple[Gathered, dict[str, Any]]:
    """Measure how much of the night is unlike what the predictor learnt from, and plan carefully if it is too much.

    Parameters
    ----------
    night : Gathered
    limit : float or None
        Share above which the night is planned on the conservative level; None never does.

    Returns
    -------
    night : Gathered
        As it came, or with the careful estimates in place of the lower ones.
    figures : dict
        unfamiliar_share, new_task_share, far_share, conservative: as in ``routing_runs``.
    """
    found = stranger_share(night.unfamiliar)
    # The rest of a run that made no careful estimates is planned as that run was.
    careful = limit is not None and night.careful_quality.size > 0 and found.share > limit
    figures = {
        "unfamiliar_share": found.share if len(night) else None,
        "new_task_share": found.by_task if len(night) else None,
        "far_share": found.by_distance if len(night) else None,
        "conservative": careful,
    }
    return (replace(night, lower_quality=night.careful_quality) if careful else night), figures


def make(
    night: Gathered,
    catalog: Catalog,
    fleet: Allocation,
    settings: Settings,
    margin_of: Callable[[int], float],
    number: NDArray[np.float64] | None = None,
    probes: Probes | None = None,
) -> Plan:
    """Pose the night's problem, solve it, and have the solution checked by code that does not trust the solver.

    Parameters
    ----------
    night : Gathered
    catalog : Catalog
    fleet : Allocation
        Instances that serve the night.
    settings : Settings
        Those the run was opened with.
    margin_of : callable
        Number of queries that share a budget to the factor the budget is divided by before planning.
    number : ndarray of float64, shape (n_queries,), in [0, 1), optional
        What is drawn by, where the settings ask for exploration.
    probes : Probes, optional
        Models on probation, which ``night`` withholds.

    Raises
    ------
    SolverError
        If the solution does not survive verification.
    """
    empty = make_empty(night, catalog, fleet, settings, margin_of)
    if not len(night):
        return empty
    teams = team_budgets(settings) / empty.team_margin
    problem = pose(night, empty.capacity, empty.budget, teams, settings.batches)
    solution, propensity = decide(problem, night, settings), empty.propensity
    posed = problem
    if probes is not None:
        drawn = aim(problem, solution, probes)
        posed = held(problem, drawn)
        solution = decide(posed, night, settings)
        # As a retained night can tell it again: by the probes that were made.
        problem = admitted(problem, np.where(solution.model == drawn, drawn, DEFERRED))
    verify(posed, solution, settings.gap).raise_if_broken()
    if settings.exploration_share and number is not None:
        solution, propensity = _explore(posed, solution, night, settings, number)
    return replace(empty, problem=problem, solution=solution, propensity=propensity)


def make_empty(
    night: Gathered, catalog: Catalog, fleet: Allocation, settings: Settings, margin_of: Callable[[int], float]
) -> Plan:
    """The limits of a night before anything is decided; arguments as for :func:`make`."""
    capacity = tuple(
        capacity_per_batch(model, fleet.instances.get(model.name, 0), settings.batch_minutes) for model in catalog
    )
    sizes = np.bincount(night.team[night.team >= 0], minlength=len(settings.team_budgets_usd))
    team_margin = np.array([max(1.0, margin_of(int(size))) for size in sizes])
    margin, gpu_usd = max(1.0, margin_of(len(night))), gpu_hours_usd(catalog, fleet.instances, settings)
    budget = planning_budget(settings.budget_usd, margin, gpu_usd)
    return Plan(None, None, capacity, margin, team_margin, gpu_usd, budget, np.ones(len(night)))


def gpu_hours_usd(catalog: Catalog, instances: Mapping[str, int], settings: Settings) -> float:
    """What the GPU-hours of instances, by model, cost for the service window, USD; an allocation counts the same."""
    gpus = sum(model.gpus_per_instance * instances.get(model.name, 0) for model in catalog)
    return settings.gpu_hour_usd * settings.service_window_minutes / 60 * gpus


def planning_budget(budget_usd: float, margin: float, gpu_usd: float) -> float:
    """What is left of a budget for planned spend, USD: after the margin and the GPU-hours, as an allocation has it."""
    return max(0.0, budget_usd / margin - gpu_usd)


def team_budgets(settings: Settings) -> NDArray[np.float64]:
    """Budgets of the teams that have one of their own, by name, USD."""
    return np.array([settings.team_budgets_usd[team] for team in sorted(settings.team_budgets_usd)])


def pose(
    night: Gathered,
    capacity: tuple[int | None, ...],
    budget: float,
    team_budget: NDArray[np.float64],
    batches: int,
) -> Problem:
    """The problem of a night.

    Parameters
    ----------
    night : Gathered
        Of at least one query.
    capacity : tuple of (int or None), one per model
        Queries it takes in a batch; None is no limit.
    budget : float, USD
    team_budget : ndarray of float64, shape (n_teams,), USD
        Of the teams that ``night.team`` counts.
    batches : int
    """
    has_teams = bool(len(team_budget))
    return Problem(
        quality=night.lower_quality,
        cost=night.cost_usd,
        penalty=night.penalty,
        budget=budget,
        capacity=np.array([UNLIMITED if slots is None else slots for slots in capacity], dtype=np.int64),
        batches=batches,
        eligible=None if night.eligible.all() else night.eligible,
        team=night.team if has_teams else None,
        team_budget=team_budget if has_teams else None,
        last_batch=None if (night.last_batch == batches).all() else night.last_batch,
    )


def decide(problem: Problem, night: Gathered, settings: Settings) -> Solution:
    """Solve a night's problem, batched as the settings say.

    Parameters
    ----------
    problem : Problem
        That of ``night``, or one like it with other estimates or limits.
    night : Gathered
    settings : Settings
    """
    parameters = Parameters(gap=settings.gap, seed=settings.seed)
    if settings.batching == "arrival":
        arrival = solve_arrival(problem, _arrival_batches(night, settings.batches), parameters)
        return arrival.as_solution(problem, parameters)
    return solve(problem, parameters)


def _explore(
    problem: Problem, planned: Solution, night: Gathered, settings: Settings, number: NDArray[np.float64]
) -> tuple[Solution, NDArray[np.float64]]:
    """The night planned again around those who are drawn to explore, and the probability of each decision."""
    lots = lottery(problem, planned, settings.exploration_share, number)
    # A gap is a share of what there is to lose, which the penalties of the drawn make more of.
    finer = settings.model_copy(update={"gap": settings.gap / (1 + MUST * settings.exploration_share)})
    again = partial(decide, night=night, settings=finer)
    solution = lots.as_posed(problem, again(lots.held(problem)), settings.gap)
    verify(held(problem, lots.drawn), solution, settings.gap).raise_if_broken()
    return solution, lots.propensity(problem, solution, again)


def _arrival_batches(night: Gathered, batches: int) -> NDArray[np.int32]:
    """The batch each query comes in, from 1: batches of (nearly) equal size in order of arrival."""
    batch = np.empty(len(night), dtype=np.int32)
    batch[night.arrival] = 1 + np.arange(len(night)) * batches // len(night)
    return batch
