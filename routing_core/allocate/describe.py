"""From what a search found to what an operator reads: real units, names and words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from routing_core.allocate.plan import (
    AllocationPlan,
    AllocationStatus,
    Alternative,
    ValueRow,
    changes_in_words,
    diff_in_words,
)
from routing_core.allocate.problem import AllocationProblem, Floats
from routing_core.allocate.reasons import cannot_run
from routing_core.allocate.search import Evaluation, Found, Search
from routing_core.allocate.value import Worth


def describe(
    search: Search, gpu_budget: Mapping[str, int], found: Found, chosen: Evaluation, shadow: Mapping[str, float]
) -> AllocationPlan:
    """The plan that ``chosen`` is, with the proof that ``found`` brought."""
    problem, scale = search.problem, search.scale
    names, probability = scenario_names(problem), problem.probability
    served, used = _by_model(search, chosen, lambda worth: worth.served), problem.gpus(chosen.instances)
    free = {gpu_type: gpu_budget.get(gpu_type, 0) - count for gpu_type, count in used.items()}
    return AllocationPlan(
        instances=problem.named(chosen.instances),
        objective=chosen.value * scale,
        bound=found.bound * scale,
        gap=_gap(search, found.bound, chosen.value),
        status=_status(problem, found),
        expected_quality=_expected_quality(search, chosen),
        expected_served=float(probability @ served.sum(axis=1)),
        deferred=_named(names, (problem.demand - served.sum(axis=1)).clip(0.0)),
        spend_usd=_named(names, _spend(search, chosen)),
        served=_named(problem.catalog.names, probability @ served),
        utilisation=_named(problem.catalog.names, _utilisation(search, chosen)),
        gpus_used=used,
        gpus_free=free,
        shadow_price=shadow,
        budget_price=float(probability @ _per_query(chosen, lambda worth: worth.prices.budget)),
        alternatives=_alternatives(search, gpu_budget, chosen),
        diff=_diff(search, chosen, free),
        notes=(*cannot_run(problem, gpu_budget), *_nobody_served(problem, served)),
        seconds=0.0,
    )


def infeasible(problem: AllocationProblem, notes: tuple[str, ...]) -> AllocationPlan:
    """The defined result when the rules contradict each other."""
    scenarios, models = scenario_names(problem), problem.catalog.names
    return AllocationPlan(
        instances=problem.named(np.zeros(len(models), dtype=np.int64)),
        objective=float("-inf"),
        bound=float("-inf"),
        gap=0.0,
        status=AllocationStatus.INFEASIBLE,
        expected_quality=0.0,
        expected_served=0.0,
        deferred=_named(scenarios, problem.demand),
        spend_usd=dict.fromkeys(scenarios, 0.0),
        served=dict.fromkeys(models, 0.0),
        utilisation=dict.fromkeys(models, 0.0),
        gpus_used=dict.fromkeys(problem.gpu_types, 0),
        gpus_free={gpu_type: problem.gpu_budget.get(gpu_type, 0) for gpu_type in problem.gpu_types},
        shadow_price={},
        budget_price=0.0,
        alternatives=(),
        diff="no allocation: " + "; ".join(notes),
        notes=notes,
        seconds=0.0,
    )


def value_row(search: Search, best: Evaluation, gpus: int, before: ValueRow | None) -> ValueRow:
    """One row of the value table; ``before`` is the row with one GPU less."""
    problem, objective = search.problem, best.value * search.scale
    gained = objective - before.objective if before is not None and before.feasible else 0.0
    served = _by_model(search, best, lambda worth: worth.served).sum(axis=1)
    return ValueRow(
        gpus=gpus,
        quality=_expected_quality(search, best),
        objective=objective,
        deferred=float(problem.probability @ (problem.demand - served).clip(0.0)),
        instances=problem.named(best.instances),
        shadow_price=max(gained, 0.0),
    )


def _nobody_served(problem: AllocationProblem, served: Floats) -> tuple[str, ...]:
    if served.any() or not problem.demand.any() or np.any(problem.budget_usd):
        return ()
    return ("the budget is 0 USD and no model that may run is free: nobody is served",)


def scenario_names(problem: AllocationProblem) -> tuple[str, ...]:
    """Names of the scenarios, numbered where the problem gives none."""
    return problem.scenario_names or tuple(f"scenario {s + 1}" for s in range(problem.n_scenarios))


def _named(names: tuple[str, ...], values: Floats) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def _by_model(search: Search, evaluation: Evaluation, what: Callable[[Worth], Floats]) -> Floats:
    """Something of each scenario's worth, in real units: ndarray of shape (n_scenarios, n_models)."""
    nothing = np.zeros(len(search.problem.catalog))
    rows = [nothing if worth is None else what(worth) for worth in evaluation.worths]
    return np.array(rows) * search.problem.demand[:, np.newaxis]


def _per_query(evaluation: Evaluation, what: Callable[[Worth], float]) -> Floats:
    """Something of each scenario's worth, per real query: ndarray of shape (n_scenarios,)."""
    return np.array([0.0 if worth is None else what(worth) for worth in evaluation.worths])


def _expected_quality(search: Search, evaluation: Evaluation) -> float:
    problem = search.problem
    return float(problem.probability @ (_per_query(evaluation, lambda worth: worth.quality) * problem.demand))


def _spend(search: Search, evaluation: Evaluation) -> Floats:
    """USD by scenario: answers and GPU-hours."""
    problem = search.problem
    gpu_hours = problem.gpu_usd * float(problem.gpus_per_instance @ evaluation.instances)
    return _per_query(evaluation, lambda worth: worth.spend) * problem.demand + gpu_hours


def _utilisation(search: Search, evaluation: Evaluation) -> Floats:
    """Expected share of each model's slots in use; 0 where there are none or no limit."""
    problem = search.problem
    slots = problem.probability @ _by_model(search, evaluation, lambda worth: worth.slots)
    capacity = problem.capacity(evaluation.instances)
    limited = np.isfinite(capacity) & (capacity > 0)
    return np.divide(slots, capacity, out=np.zeros_like(slots), where=limited)


def _gap(search: Search, bound: float, value: float) -> float:
    served = bound + search.shift
    return max(bound - value, 0.0) / served if served > search.precision else 0.0


def _status(problem: AllocationProblem, found: Found) -> AllocationStatus:
    if not problem.demand.any():
        return AllocationStatus.NO_DEMAND
    return AllocationStatus.OPTIMAL if found.proven else AllocationStatus.FEASIBLE


def _alternatives(search: Search, gpu_budget: Mapping[str, int], chosen: Evaluation) -> tuple[Alternative, ...]:
    plan = search.problem.named(chosen.instances)
    others = [(e.value, search.problem.named(e.instances)) for e in search.neighbours(gpu_budget, chosen)]
    return tuple(
        Alternative(instances, value * search.scale, changes_in_words(plan, instances)) for value, instances in others
    )


def _diff(search: Search, chosen: Evaluation, free: Mapping[str, int]) -> str:
    problem, running = search.problem, search.problem.running
    before = 0.0 if running is None else _expected_quality(search, search.evaluate(running))
    quality = (before, _expected_quality(search, chosen))
    return diff_in_words(problem.yesterday, problem.named(chosen.instances), quality, free)
