"""The question: a sample of queries standing for tomorrow's demand, and what may run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from routing_core.errors import ProblemError
from routing_core.records.catalog import Catalog, Serving

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class AllocationProblem:
    """How many instances of each self-hosted model should serve a day?

    Attributes
    ----------
    quality : ndarray of shape (n_queries, n_models), in [0, 1]
        Estimated quality of the sampled queries; out-of-fold estimates, never observed scores.
    cost : ndarray of shape (n_queries, n_models), USD, at least 0
        Expected cost of one answer.
    weight : ndarray of shape (n_scenarios, n_queries), at least 0
        Real queries that a sampled one stands for in a scenario.
    scenario_weight : ndarray of shape (n_scenarios,), at least 0
        Relative probability of the scenarios; normalised to sum 1.
    penalty : ndarray of shape (n_queries,), at least 0
        Quality lost by deferring a query.
    budget_usd : ndarray of shape (n_scenarios,), USD, at least 0
        The night's budget in each scenario.
    batches : int, at least 1
        Batches that run one after the other in the night.
    catalog : Catalog
        Models in the order of the columns.
    gpu_budget : mapping of str to int
        GPUs of each type; a type that is absent has none.
    eligible : ndarray of bool, shape (n_queries, n_models), optional
        Which model may take which query; all may by default.
    load : ndarray of shape (n_queries, n_models), above 0, optional
        Slots a query occupies, 1 by default; long prompts that halve the throughput take 2.
    api_capacity : ndarray of shape (n_models,), optional
        Queries that an API model takes in the night, infinite by default; self-hosted entries are not read.
    yesterday : mapping of str to int, optional
        Instances that run now.
    max_changes : int, optional
        Most instances started and stopped together, against ``yesterday``.
    change_cost, startup_cost : float, at least 0
        What each change and, on top, each start costs, in quality units (1 is one perfect answer).
    minimum, maximum : mapping of str to int
        Pins on the instances of self-hosted models.
    gpu_hour_usd, hours : float, at least 0
        Price of a GPU-hour and how long instances run; their product is taken off every budget for each GPU in use.
    scenario_names : tuple of str, optional

    Raises
    ------
    ProblemError
        Naming the argument, the rule and the value seen.
    """

    quality: NDArray[np.floating]
    cost: NDArray[np.floating]
    weight: Floats
    scenario_weight: Floats
    penalty: NDArray[np.floating]
    budget_usd: Floats
    batches: int
    catalog: Catalog
    gpu_budget: Mapping[str, int]
    eligible: NDArray[np.bool_] | None = None
    load: NDArray[np.floating] | None = None
    api_capacity: Floats | None = None
    yesterday: Mapping[str, int] | None = None
    max_changes: int | None = None
    change_cost: float = 0.0
    startup_cost: float = 0.0
    minimum: Mapping[str, int] = field(default_factory=dict)
    maximum: Mapping[str, int] = field(default_factory=dict)
    gpu_hour_usd: float = 0.0
    hours: float = 0.0
    scenario_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_numbers(self)
        _check_names(self)

    @property
    def n_scenarios(self) -> int:
        """Number of scenarios, at least 1."""
        return len(self.weight)

    @property
    def probability(self) -> Floats:
        """Scenario weights that sum to 1: ndarray of shape (n_scenarios,)."""
        weights = np.asarray(self.scenario_weight, dtype=np.float64)
        return np.asarray(weights / weights.sum())

    @property
    def demand(self) -> Floats:
        """Real queries in each scenario: ndarray of shape (n_scenarios,)."""
        return np.asarray(np.asarray(self.weight, dtype=np.float64).sum(axis=1))

    @property
    def gpu_usd(self) -> float:
        """What one GPU in use costs for the day, USD."""
        return self.gpu_hour_usd * self.hours

    @property
    def gpus_per_instance(self) -> Integers:
        """GPUs of one instance: ndarray of shape (n_models,), 0 for API models."""
        return np.array([model.gpus_per_instance for model in self.catalog], dtype=np.int64)

    @property
    def slots_per_instance(self) -> Integers:
        """Queries one instance takes in the whole night: ndarray of shape (n_models,), 0 for API models."""
        return np.array([model.concurrency_per_instance * self.batches for model in self.catalog], dtype=np.int64)

    @property
    def bounds(self) -> tuple[Integers, Integers]:
        """Least and most instances of each model by pins, stock and GPU budget: two ndarrays of shape (n_models,)."""
        lower = np.array([self.minimum.get(model.name, 0) for model in self.catalog], dtype=np.int64)
        upper = np.array([self._most(j) for j in range(len(self.catalog))], dtype=np.int64)
        return lower, upper

    @property
    def running(self) -> Integers | None:
        """Instances that run now: ndarray of shape (n_models,), or None when nothing is known of yesterday."""
        if self.yesterday is None:
            return None
        return np.array([self.yesterday.get(name, 0) for name in self.catalog.names], dtype=np.int64)

    def capacity(self, instances: Integers | Floats) -> Floats:
        """Slots of the night given the instances: ndarray of shape (n_models,), infinite where nothing limits."""
        hosted = (self.slots_per_instance * instances).astype(np.float64)
        limit = np.full(len(self.catalog), np.inf) if self.api_capacity is None else self.api_capacity
        return np.where(self._is_api(), limit, hosted)

    def budget(self, instances: Integers | Floats) -> Floats:
        """What is left of each scenario's budget after GPU-hours: ndarray of shape (n_scenarios,), USD."""
        return np.asarray(self.budget_usd, dtype=np.float64) - self.gpu_usd * float(self.gpus_per_instance @ instances)

    def gpus(self, instances: Integers) -> dict[str, int]:
        """GPUs in use, by every type that the budget or the catalog knows."""
        used = dict.fromkeys(self.gpu_types, 0)
        for model, count in zip(self.catalog, instances, strict=True):
            if model.gpu_type:
                used[model.gpu_type] += model.gpus_per_instance * int(count)
        return used

    @property
    def gpu_types(self) -> tuple[str, ...]:
        """Every GPU type of the budget or the catalog, sorted."""
        return tuple(sorted({*self.gpu_budget, *(model.gpu_type for model in self.catalog.self_hosted)}))

    def named(self, instances: Integers) -> dict[str, int]:
        """Instances by name, every self-hosted model included."""
        return {
            model.name: int(count)
            for model, count in zip(self.catalog, instances, strict=True)
            if model.serving is Serving.SELF_HOSTED
        }

    def _is_api(self) -> NDArray[np.bool_]:
        return np.array([model.serving is Serving.API for model in self.catalog])

    def _most(self, j: int) -> int:
        model = self.catalog.models[j]
        if model.serving is Serving.API:
            return 0
        limits = [self.gpu_budget.get(model.gpu_type, 0) // model.gpus_per_instance]
        limits += [limit for limit in (model.stock, self.maximum.get(model.name)) if limit is not None]
        return max(0, min(limits))


def _check_shapes(problem: AllocationProblem) -> None:
    n_queries, n_models, n_scenarios = len(problem.penalty), len(problem.catalog), len(problem.weight)
    expected: dict[str, tuple[int, ...]] = {
        "quality": (n_queries, n_models),
        "cost": (n_queries, n_models),
        "weight": (n_scenarios, n_queries),
        "scenario_weight": (n_scenarios,),
        "penalty": (n_queries,),
        "budget_usd": (n_scenarios,),
        "eligible": (n_queries, n_models),
        "load": (n_queries, n_models),
        "api_capacity": (n_models,),
    }
    for name, shape in expected.items():
        array = getattr(problem, name)
        if array is not None and np.shape(array) != shape:
            raise ProblemError(f"allocation problem: {name} must have shape {shape}, got {np.shape(array)}")
    if n_scenarios == 0:
        raise ProblemError("allocation problem: weight must have at least one scenario, got none")


def _check_numbers(problem: AllocationProblem) -> None:
    for name in ("quality", "cost", "weight", "scenario_weight", "penalty", "budget_usd", "load"):
        array = getattr(problem, name)
        if array is None or (np.isfinite(array).all() and (np.asarray(array) >= 0).all()):
            continue
        at = np.argwhere(~(np.isfinite(array) & (np.asarray(array) >= 0)))[0]
        raise ProblemError(f"allocation problem: {name} must be finite and at least 0, got {array[tuple(at)]} at {at}")
    if problem.api_capacity is not None and not (problem.api_capacity >= 0).all():
        raise ProblemError(f"allocation problem: api_capacity must be at least 0, got {problem.api_capacity}")
    if problem.load is not None and not (problem.load > 0).all():
        raise ProblemError("allocation problem: load must be above 0, got 0")
    if not np.sum(problem.scenario_weight) > 0:
        raise ProblemError("allocation problem: scenario_weight must not be 0 throughout")
    if problem.batches < 1:
        raise ProblemError(f"allocation problem: batches must be at least 1, got {problem.batches}")
    for name in ("change_cost", "startup_cost", "gpu_hour_usd", "hours", "max_changes"):
        value = getattr(problem, name)
        if value is not None and not (np.isfinite(value) and value >= 0):
            raise ProblemError(f"allocation problem: {name} must be finite and at least 0, got {value}")


def _check_names(problem: AllocationProblem) -> None:
    hosted = {model.name for model in problem.catalog.self_hosted}
    for name in ("minimum", "maximum"):
        strangers = sorted(set(getattr(problem, name)) - hosted)
        if strangers:
            raise ProblemError(f"allocation problem: {name} must name self-hosted models, got {', '.join(strangers)}")
    counts = [problem.gpu_budget, problem.minimum, problem.maximum, problem.yesterday or {}]
    if any(count < 0 for mapping in counts for count in mapping.values()):
        raise ProblemError(f"allocation problem: GPUs, pins and yesterday must be at least 0, got {counts}")
    names = problem.scenario_names
    if names and len(names) != problem.n_scenarios:
        raise ProblemError(f"allocation problem: scenario_names must have {problem.n_scenarios} names, got {names}")
