"""From a gathered night to its plan: the problem posed, solved, verified, and explained as rows and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.strangers import stranger_share
from routing_core.records.allocation import Allocation
from routing_core.records.assignments import DEFERRED, Constraint
from routing_core.records.catalog import Catalog
from routing_core.route.admission import capacity_per_batch
from routing_core.route.arrival import solve_arrival
from routing_core.route.baselines import Fallback, Routed, best_single, greedy_fill
from routing_core.route.explain import Binding, binding, deferral_causes, runner_up
from routing_core.route.parameters import Parameters
from routing_core.route.problem import UNLIMITED, Problem
from routing_core.route.solution import Solution
from routing_core.route.solve import solve
from routing_core.route.verify import verify
from routing_core.settings import Settings
from routing_core.store.decisions import CAUSES
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
    """

    problem: Problem | None
    solution: Solution | None
    capacity: tuple[int | None, ...]
    margin: float
    team_margin: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """What a plan leaves in the results.

    Attributes
    ----------
    decided : dict of str to ndarray, shape (n_queries,)
        model, batch, runner_up, regret, cause (index into ``store.decisions.CAUSES``).
    figures : dict
        Columns of ``routing_runs``.
    tables : dict of str to list of dict
        Rows of run_models, batches, shadow_prices and receipts.
    """

    decided: dict[str, NDArray[Any]]
    figures: dict[str, Any]
    tables: dict[str, list[dict[str, Any]]]


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
    night: Gathered, catalog: Catalog, fleet: Allocation, settings: Settings, margin_of: Callable[[int], float]
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

    Raises
    ------
    SolverError
        If the solution does not survive verification.
    """
    empty = make_empty(night, catalog, fleet, settings, margin_of)
    if not len(night):
        return empty
    teams = team_budgets(settings) / empty.team_margin
    problem = pose(night, empty.capacity, settings.budget_usd / empty.margin, teams, settings.batches)
    parameters = Parameters(gap=settings.gap, seed=settings.seed)
    if settings.batching == "arrival":
        arrival = solve_arrival(problem, _arrival_batches(night, settings.batches), parameters)
        solution = arrival.as_solution(problem, parameters)
    else:
        solution = solve(problem, parameters)
    verify(problem, solution).raise_if_broken()
    return replace(empty, problem=problem, solution=solution)


def make_empty(
    night: Gathered, catalog: Catalog, fleet: Allocation, settings: Settings, margin_of: Callable[[int], float]
) -> Plan:
    """The limits of a night before anything is decided; arguments as for :func:`make`."""
    capacity = tuple(
        capacity_per_batch(model, fleet.instances.get(model.name, 0), settings.batch_minutes) for model in catalog
    )
    sizes = np.bincount(night.team[night.team >= 0], minlength=len(settings.team_budgets_usd))
    team_margin = np.array([max(1.0, margin_of(int(size))) for size in sizes])
    return Plan(None, None, capacity, max(1.0, margin_of(len(night))), team_margin)


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


def explain(
    plan: Plan, night: Gathered, catalog: Catalog, fleet: Allocation, settings: Settings, prices: NDArray[np.float64]
) -> Explained:
    """Turn a plan into the rows and figures that show it.

    Parameters
    ----------
    plan, night, catalog, fleet, settings
        As for :func:`make`.
    prices : ndarray of shape (n_models, 2), USD per token of (input, output)
    """
    if plan.problem is None or plan.solution is None:
        return _nothing(plan, catalog, fleet, settings, prices)
    problem, solution = plan.problem, plan.solution
    second, regret = runner_up(problem, solution)
    figures = {
        **served_figures(night, solution.model),
        "objective": solution.objective,
        "bound": solution.bound,
        "gap": solution.gap,
        "solver_status": solution.status.value,
        "passes": solution.passes,
        "core_queries": solution.core_queries,
        **_budget_figures(plan, settings),
    }
    decided: dict[str, NDArray[Any]] = {
        "model": solution.model,
        "batch": solution.batch,
        "runner_up": second,
        "regret": regret,
        "cause": _cause_codes(problem, solution),
    }
    tables = {
        **served_tables(plan, night, solution.model, solution.batch, catalog, fleet, settings, prices),
        "shadow_prices": _price_rows(problem, solution, catalog, settings),
        "receipts": _receipt_rows(problem, solution, night, catalog),
    }
    return Explained(decided, figures, tables)


def served_figures(night: Gathered, model: NDArray[np.int16]) -> dict[str, Any]:
    """What is served of a night, what it is expected to cost and be worth: columns of ``routing_runs``."""
    served = np.flatnonzero(model != DEFERRED)
    quality = night.mean_quality[served, model[served]]
    return {
        "assigned": len(served),
        "deferred": len(night) - len(served),
        "planned_spend_usd": float(night.cost_usd[served, model[served]].sum(dtype=np.float64)),
        "expected_quality": float(quality.mean(dtype=np.float64)) if len(served) else None,
    }


def served_tables(
    plan: Plan,
    night: Gathered,
    model: NDArray[np.int16],
    batch: NDArray[np.int32],
    catalog: Catalog,
    fleet: Allocation,
    settings: Settings,
    prices: NDArray[np.float64],
) -> dict[str, list[dict[str, Any]]]:
    """What each model, team and batch got of a night: rows of run_models, run_teams and batches."""
    served = np.flatnonzero(model != DEFERRED)
    chosen = model[served]
    spend = night.cost_usd[served, chosen].astype(np.float64)
    load = np.bincount(chosen, minlength=len(catalog))
    usd = np.bincount(chosen, spend, minlength=len(catalog)).astype(np.float64)
    return {
        "run_models": _model_rows(plan, catalog, fleet, prices, load, usd),
        "run_teams": _team_rows(plan, settings, night.team[served], spend),
        "batches": _batch_rows(catalog, chosen, batch[served], spend),
    }


def _arrival_batches(night: Gathered, batches: int) -> NDArray[np.int32]:
    """The batch each query comes in, from 1: batches of (nearly) equal size in order of arrival."""
    batch = np.empty(len(night), dtype=np.int32)
    batch[night.arrival] = 1 + np.arange(len(night)) * batches // len(night)
    return batch


def _budget_figures(plan: Plan, settings: Settings) -> dict[str, Any]:
    return {"cost_margin": plan.margin, "planning_budget_usd": settings.budget_usd / plan.margin}


def _cause_codes(problem: Problem, solution: Solution) -> NDArray[np.int8]:
    causes = deferral_causes(problem, solution)
    codes = np.full(len(problem), -1, dtype=np.int8)
    for code, cause in enumerate(CAUSES):
        codes[causes == cause] = code
    return codes


def _model_rows(
    plan: Plan,
    catalog: Catalog,
    fleet: Allocation,
    prices: NDArray[np.float64],
    load: NDArray[np.int64],
    spend: NDArray[np.float64],
) -> list[dict[str, Any]]:
    return [
        {
            "model": model.name,
            "position": j,
            "serving": model.serving.value,
            "instances": fleet.instances.get(model.name, 0) if model.gpu_type else None,
            "capacity_per_batch": plan.capacity[j],
            "input_usd": float(prices[j, 0] * 1e6),
            "output_usd": float(prices[j, 1] * 1e6),
            "assigned": int(load[j]),
            "planned_spend_usd": float(spend[j]),
        }
        for j, model in enumerate(catalog)
    ]


def _team_rows(
    plan: Plan, settings: Settings, team: NDArray[np.int32], spend: NDArray[np.float64]
) -> list[dict[str, Any]]:
    return [
        {
            "team": name,
            "budget_usd": settings.team_budgets_usd[name],
            "cost_margin": float(plan.team_margin[k]),
            "assigned": int((team == k).sum()),
            "planned_spend_usd": float(spend[team == k].sum()),
        }
        for k, name in enumerate(sorted(settings.team_budgets_usd))
    ]


def _batch_rows(
    catalog: Catalog, model: NDArray[np.int16], batch: NDArray[np.int32], spend: NDArray[np.float64]
) -> list[dict[str, Any]]:
    cell = batch.astype(np.int64) * len(catalog) + model
    counts, usd = np.bincount(cell), np.bincount(cell, spend)
    return [
        {
            "batch_no": int(at // len(catalog)),
            "model": catalog.names[at % len(catalog)],
            "assigned": int(counts[at]),
            "planned_spend_usd": float(usd[at]),
        }
        for at in np.flatnonzero(counts)
    ]


def _price_rows(problem: Problem, solution: Solution, catalog: Catalog, settings: Settings) -> list[dict[str, Any]]:
    """The limits that held the plan back, dearest first; of a model's deadlines the dearest speaks for all."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for limit in binding(problem, solution, catalog.names, sorted(settings.team_budgets_usd)):
        row = _price_row(limit)
        rows.setdefault((row["constraint_name"], row["subject"]), row)
    return list(rows.values())


def _price_row(limit: Binding) -> dict[str, Any]:
    is_money = limit.constraint in (Constraint.BUDGET, Constraint.TEAM_BUDGET)
    return {
        "constraint_name": limit.constraint.value,
        "subject": "*" if limit.constraint is Constraint.BUDGET else limit.subject,
        "price": limit.price,
        "unit": "USD" if is_money else "query",
        "binding": True,
        "words": limit.sentence,
    }


def _receipt_rows(problem: Problem, solution: Solution, night: Gathered, catalog: Catalog) -> list[dict[str, Any]]:
    """The night decided by others under the same budget and capacities, all valued by expected quality."""
    best = best_single(problem, Fallback.CHEAPEST_FEASIBLE)
    favourite = catalog.names[_most_used(best)]
    return [
        _receipt("nightshift", "deferred", solution.model, night, "this plan"),
        _receipt(
            "best_single",
            Fallback.CHEAPEST_FEASIBLE.value,
            best.model,
            night,
            f"{favourite} as far as budget and capacity allow, the rest to the cheapest that is left",
        ),
        _receipt("greedy", "deferred", greedy_fill(problem).model, night, "most value per USD first"),
    ]


def _most_used(routed: Routed) -> int:
    return int(np.argmax(routed.load))


def _receipt(policy: str, fallback: str, model: NDArray[np.int16], night: Gathered, words: str) -> dict[str, Any]:
    served = np.flatnonzero(model != DEFERRED)
    chosen = model[served]
    return {
        "policy": policy,
        "fallback": fallback,
        "served": len(served),
        "expected_quality": float(night.mean_quality[served, chosen].sum(dtype=np.float64) / len(night)),
        "planned_spend_usd": float(night.cost_usd[served, chosen].sum(dtype=np.float64)),
        "words": words,
    }


def _nothing(
    plan: Plan, catalog: Catalog, fleet: Allocation, settings: Settings, prices: NDArray[np.float64]
) -> Explained:
    """A night without a routable query is planned too: it decides nothing, optimally."""
    zero = np.zeros(len(catalog))
    figures: Mapping[str, Any] = {
        "assigned": 0,
        "deferred": 0,
        "planned_spend_usd": 0.0,
        "expected_quality": None,
        "objective": 0.0,
        "bound": 0.0,
        "gap": 0.0,
        "solver_status": "proven",
        "passes": 0,
        "core_queries": 0,
    }
    kinds = {"model": np.int16, "batch": np.int32, "runner_up": np.int16, "regret": np.float32, "cause": np.int8}
    return Explained(
        decided={name: np.empty(0, dtype=kind) for name, kind in kinds.items()},
        figures={**figures, **_budget_figures(plan, settings)},
        tables={
            "run_models": _model_rows(plan, catalog, fleet, prices, zero.astype(np.int64), zero),
            "run_teams": _team_rows(plan, settings, np.empty(0, np.int32), np.empty(0)),
            "batches": [],
            "shadow_prices": [],
            "receipts": [],
        },
    )
