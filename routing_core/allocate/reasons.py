"""Why something cannot be: rules that contradict each other, models that cannot run."""

from __future__ import annotations

from collections.abc import Mapping

from routing_core.allocate.problem import AllocationProblem
from routing_core.records.catalog import Model


def contradictions(problem: AllocationProblem) -> tuple[str, ...]:
    """Rules no instances can keep, as far as they show without solving: pins over stock, maximum or GPUs."""
    found: list[str] = []
    _, upper = problem.bounds
    for j, model in enumerate(problem.catalog):
        pinned = problem.minimum.get(model.name, 0)
        if pinned > upper[j]:
            found.append(f"{model.name} is pinned to at least {pinned}, but {_limit(problem, model)}")
    pinned_gpus: dict[str, int] = {}
    for model in problem.catalog.self_hosted:
        gpus = problem.minimum.get(model.name, 0) * model.gpus_per_instance
        pinned_gpus[model.gpu_type] = pinned_gpus.get(model.gpu_type, 0) + gpus
    for gpu_type, gpus in pinned_gpus.items():
        budget = problem.gpu_budget.get(gpu_type, 0)
        if gpus > budget:
            found.append(f"minimum instances need {gpus} GPUs of type {gpu_type}, the budget has {budget}")
    gpu_usd = problem.gpu_usd * sum(pinned_gpus.values())
    least = min(float(usd) for usd in problem.budget_usd)
    if gpu_usd > least:
        found.append(f"GPU-hours of the minimum instances cost {gpu_usd:.2f} USD, the least budget is {least:.2f} USD")
    return tuple(found)


def cannot_run(problem: AllocationProblem, gpu_budget: Mapping[str, int]) -> tuple[str, ...]:
    """Notes on models that cannot have an instance, and on a night without demand."""
    notes = [
        note for model in problem.catalog.self_hosted if (note := _cannot_run(problem, model, gpu_budget)) is not None
    ]
    if not problem.demand.any():
        notes.append(
            "no demand is expected: no history, or nothing in it; instances change as little as the rules allow"
        )
    return tuple(notes)


def _cannot_run(problem: AllocationProblem, model: Model, gpu_budget: Mapping[str, int]) -> str | None:
    budget = gpu_budget.get(model.gpu_type, 0)
    if model.gpus_per_instance > budget:
        return f"{model.name} cannot run: an instance needs {_gpus(model)}, the budget has {budget}"
    if model.stock == 0:
        return f"{model.name} cannot run: its stock is 0"
    if problem.maximum.get(model.name) == 0:
        return f"{model.name} cannot run: its maximum is pinned to 0"
    return None


def _limit(problem: AllocationProblem, model: Model) -> str:
    """The tightest limit on a model's instances in words."""
    limits = [(problem.gpu_budget.get(model.gpu_type, 0) // model.gpus_per_instance, "its GPU budget allows")]
    if model.stock is not None:
        limits.append((model.stock, "its stock is"))
    if model.name in problem.maximum:
        limits.append((problem.maximum[model.name], "its maximum is"))
    most, rule = min(limits)
    return f"{rule} {most}"


def _gpus(model: Model) -> str:
    return f"{model.gpus_per_instance} {'GPU' if model.gpus_per_instance == 1 else 'GPUs'} of type {model.gpu_type}"
