"""What a plan leaves in the results: the figures of its run, and rows that explain it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing_core.records.allocation import Allocation
from routing_core.records.assignments import DEFERRED, Constraint
from routing_core.records.catalog import Catalog
from routing_core.route.explain import Binding, binding, deferral_causes, runner_up
from routing_core.route.problem import Problem
from routing_core.route.receipts import Line, receipt
from routing_core.route.solution import Solution
from routing_core.settings import Settings
from routing_core.steps.plan import Plan, decide
from routing_core.store.decisions import CAUSES, PARTS
from routing_core.store.gather import Gathered


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """What a plan leaves in the results.

    Attributes
    ----------
    decided : dict of str to ndarray, shape (n_queries,)
        ``store.decisions.PARTS``; cause is an index into ``CAUSES`` there.
    figures : dict
        Columns of ``routing_runs``.
    tables : dict of str to list of dict
        Rows of run_models, run_teams, batches and shadow_prices; and receipts of what was left of another run.
    """

    decided: dict[str, NDArray[Any]]
    figures: dict[str, Any]
    tables: dict[str, list[dict[str, Any]]]


def explain(
    plan: Plan, night: Gathered, catalog: Catalog, fleet: Allocation, settings: Settings, prices: NDArray[np.float64]
) -> Explained:
    """Turn a plan into the rows and figures that show it.

    Parameters
    ----------
    plan, night, catalog, fleet, settings
        As for :func:`routing_core.steps.plan.make`.
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
        **_budget_figures(plan),
    }
    decided: dict[str, NDArray[Any]] = {
        "model": solution.model,
        "batch": solution.batch,
        "runner_up": second,
        "regret": regret,
        "cause": _cause_codes(problem, solution),
        "propensity": plan.propensity,
    }
    tables = {
        **served_tables(plan, night, solution.model, solution.batch, catalog, fleet, settings, prices),
        "shadow_prices": _price_rows(problem, solution, catalog, settings),
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


def _budget_figures(plan: Plan) -> dict[str, Any]:
    return {"cost_margin": plan.margin, "gpu_usd": plan.gpu_usd, "planning_budget_usd": plan.budget}


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
            "month_budget_usd": settings.monthly_team_budgets_usd.get(name),
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


def receipt_rows(
    problem: Problem, model: NDArray[np.int16], night: Gathered, names: Sequence[str], settings: Settings
) -> list[dict[str, Any]]:
    """The night decided by others at the same spend and under the same limits, all valued by expected quality.

    Parameters
    ----------
    problem : Problem
        As posed for the plan.
    model : ndarray of int16, shape (n_queries,)
        The plan.
    night : Gathered
    names : sequence of str
        Models, in order.
    settings : Settings
        Those the run was opened with.
    """
    lines = receipt(problem, night.mean_quality, model, lambda rival: decide(rival, night, settings).model, names)
    return [_receipt_row(line) for line in lines]


def _receipt_row(line: Line) -> dict[str, Any]:
    gain = line.gain
    return {
        "policy": line.policy,
        "fallback": line.fallback,
        "served": line.served,
        "expected_quality": line.quality.mean,
        "expected_quality_lower": line.quality.lower,
        "expected_quality_upper": line.quality.upper,
        "planned_spend_usd": line.spend,
        "gain": gain and gain.mean,
        "gain_lower": gain and gain.lower,
        "gain_upper": gain and gain.upper,
        "verdict": line.verdict and line.verdict.value,
        "words": line.words,
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
    kinds = dict(zip(PARTS, (np.int16, np.int32, np.int16, np.float32, np.int8, np.float64), strict=True))
    return Explained(
        decided={name: np.empty(0, dtype=kind) for name, kind in kinds.items()},
        figures={**figures, **_budget_figures(plan)},
        tables={
            "run_models": _model_rows(plan, catalog, fleet, prices, zero.astype(np.int64), zero),
            "run_teams": _team_rows(plan, settings, np.empty(0, np.int32), np.empty(0)),
            "batches": [],
            "shadow_prices": [],
        },
    )
