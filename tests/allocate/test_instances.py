"""Allocation against brute force, by hand, and under its rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from routing_core.allocate.instances import (
    AllocationParameters,
    AllocationProblem,
    AllocationStatus,
    allocate,
    value_table,
)
from routing_core.allocate.policies import POLICIES
from routing_core.allocate.value import ScenarioValue, prepare
from routing_core.errors import ProblemError
from routing_core.records.catalog import Catalog, Model, Price, Serving

EXACT = AllocationParameters(gap=1e-5, indifference=0.0, shadow_prices=False, alternatives=0)
PRICE = (Price(date(2024, 1, 1), 1.0, 1.0),)


def api(name: str) -> Model:
    return Model(name, Serving.API, PRICE, 8192)


def hosted(name: str, gpus: int, slots: int, gpu_type: str = "h100", stock: int | None = None) -> Model:
    return Model(name, Serving.SELF_HOSTED, PRICE, 8192, gpu_type, gpus, slots, stock)


def problem(seed: int, **changes: Any) -> AllocationProblem:
    """A small random problem: every optional rule is in force in some of them."""
    rng = np.random.default_rng(seed)
    n, m, scenarios = int(rng.integers(2, 9)), int(rng.integers(2, 5)), int(rng.integers(1, 4))
    models = [
        hosted(f"m{j}", int(rng.integers(1, 4)), int(rng.integers(1, 4)), str(rng.choice(["a", "b"])))
        if j or rng.random() < 0.5
        else api("m0")
        for j in range(m)
    ]
    models = [replace(x, stock=int(rng.integers(0, 3))) if x.gpu_type and rng.random() < 0.3 else x for x in models]
    names = [model.name for model in models if model.gpu_type]
    running = {name: int(rng.integers(0, 3)) for name in names} if rng.random() < 0.5 else None
    arguments: dict[str, Any] = {
        "quality": rng.random((n, m)).astype(np.float32),
        "cost": (rng.random((n, m)) * 0.01).astype(np.float32),
        "weight": rng.random((scenarios, n)) * 3,
        "scenario_weight": rng.random(scenarios) + 0.1,
        "penalty": rng.random(n) * 0.3,
        "budget_usd": rng.random(scenarios) * 0.05,
        "batches": int(rng.integers(1, 3)),
        "catalog": Catalog(tuple(models)),
        "gpu_budget": {"a": int(rng.integers(0, 6)), "b": int(rng.integers(0, 6))},
        "eligible": rng.random((n, m)) < 0.8 if rng.random() < 0.5 else None,
        "load": rng.integers(1, 3, (n, m)).astype(np.float64) if rng.random() < 0.3 else None,
        "api_capacity": np.full(m, 2.0) if rng.random() < 0.5 else None,
        "yesterday": running,
        "max_changes": int(rng.integers(0, 5)) if running is not None and rng.random() < 0.6 else None,
        "change_cost": float(rng.random() * 0.2) if rng.random() < 0.5 else 0.0,
        "startup_cost": float(rng.random() * 0.2) if rng.random() < 0.5 else 0.0,
        "minimum": {names[0]: 1} if names and rng.random() < 0.15 else {},
        "maximum": {names[-1]: 1} if names and rng.random() < 0.2 else {},
        "gpu_hour_usd": 0.001 if rng.random() < 0.4 else 0.0,
        "hours": 2.0,
    }
    return AllocationProblem(**(arguments | changes))


def lp_value(p: AllocationProblem, scenario: int, instances: np.ndarray, usd: float) -> float:
    """Best assignment for fixed instances, by an LP of its own making."""
    n, m = p.quality.shape
    weight = p.weight[scenario]
    eligible = np.ones((n, m), dtype=bool) if p.eligible is None else p.eligible
    load = np.ones((n, m)) if p.load is None else p.load
    gain = weight[:, None] * (p.quality + p.penalty[:, None])
    rows = [(weight[:, None] * p.cost).ravel()]
    limits = [usd]
    for j, model in enumerate(p.catalog):
        used = np.zeros((n, m))
        used[:, j] = weight * load[:, j]
        slots = model.concurrency_per_instance * p.batches * instances[j] if model.gpu_type else None
        if slots is None:
            slots = np.inf if p.api_capacity is None else p.api_capacity[j]
        if np.isfinite(slots):
            rows.append(used.ravel())
            limits.append(slots)
    once = np.kron(np.eye(n), np.ones(m))
    upper = eligible.ravel().astype(float)
    result = linprog(
        -gain.ravel(),
        np.vstack([np.array(rows), once]),
        np.concatenate([limits, np.ones(n)]),
        bounds=np.column_stack([np.zeros(n * m), upper]),
    )
    assert result.status == 0
    return float(-result.fun - weight @ p.penalty)


def brute_force(p: AllocationProblem) -> float | None:
    """The best objective over all instances that keep the rules; None if none do."""
    best = None
    probability = p.scenario_weight / p.scenario_weight.sum()
    for counts in product(*(range(6) if model.gpu_type else (0,) for model in p.catalog)):
        instances = np.array(counts)
        if not keeps_rules(p, instances):
            continue
        gpu_usd = (
            p.gpu_hour_usd * p.hours * sum(c * x.gpus_per_instance for c, x in zip(counts, p.catalog, strict=True))
        )
        value = sum(w * lp_value(p, s, instances, p.budget_usd[s] - gpu_usd) for s, w in enumerate(probability))
        if p.yesterday is not None:
            steps = instances - np.array([p.yesterday.get(name, 0) for name in p.catalog.names])
            value -= p.change_cost * np.abs(steps).sum() + p.startup_cost * steps.clip(0).sum()
        best = value if best is None else max(best, value)
    return best


def keeps_rules(p: AllocationProblem, instances: np.ndarray) -> bool:
    """Every rule an allocation must keep, written down a second time."""
    used: dict[str, int] = {}
    for count, model in zip(instances, p.catalog, strict=True):
        used[model.gpu_type] = used.get(model.gpu_type, 0) + int(count) * model.gpus_per_instance
        if model.stock is not None and count > model.stock:
            return False
        if count < p.minimum.get(model.name, 0) or count > p.maximum.get(model.name, 10**6):
            return False
    if any(gpus > p.gpu_budget.get(kind, 0) for kind, gpus in used.items() if kind):
        return False
    if p.gpu_hour_usd * p.hours * sum(used.values()) > p.budget_usd.min() + 1e-12:
        return False
    if p.yesterday is None or p.max_changes is None:
        return True
    return (
        sum(abs(int(c) - p.yesterday.get(n, 0)) for c, n in zip(instances, p.catalog.names, strict=True))
        <= p.max_changes
    )


def counts_of(p: AllocationProblem, instances: dict[str, int]) -> np.ndarray:
    return np.array([instances.get(name, 0) for name in p.catalog.names])


def check_against_brute_force(seed: int) -> None:
    p = problem(seed)
    plan, best = allocate(p, EXACT), brute_force(p)
    if best is None:
        assert plan.status is AllocationStatus.INFEASIBLE
        assert plan.notes
        return
    assert plan.status is AllocationStatus.OPTIMAL
    scale = float(p.scenario_weight / p.scenario_weight.sum() @ p.weight.sum(axis=1))
    assert plan.objective == pytest.approx(best, abs=3e-5 * scale)
    assert plan.bound >= best - 1e-7 * scale
    assert keeps_rules(p, counts_of(p, dict(plan.instances)))


@pytest.mark.parametrize("block", range(10))
def test_equals_brute_force_on_small_instances(block: int) -> None:
    """The proven optimum is the best of all instances there are: 300 problems, every rule in some of them."""
    for seed in range(30 * block, 30 * block + 30):
        check_against_brute_force(seed)


def by_hand(**changes: Any) -> AllocationProblem:
    """Ten equal queries; good (0.9, 2 GPUs, 2 slots), small (0.5, 1 GPU, 2 slots); no money involved."""
    arguments: dict[str, Any] = {
        "quality": np.tile(np.float32([0.9, 0.5]), (10, 1)),
        "cost": np.zeros((10, 2), np.float32),
        "weight": np.ones((1, 10)),
        "scenario_weight": np.ones(1),
        "penalty": np.zeros(10),
        "budget_usd": np.ones(1),
        "batches": 1,
        "catalog": Catalog((hosted("good", 2, 2), hosted("small", 1, 2))),
        "gpu_budget": {"h100": 6},
    }
    return AllocationProblem(**(arguments | changes))


def test_by_hand_prefers_slots_to_quality_when_slots_are_short() -> None:
    """6 GPUs: small earns 1.0 a GPU, good 0.9; ten queries need five small, and the last GPU has nobody to serve."""
    plan = allocate(by_hand())
    assert plan.instances == {"good": 1, "small": 4}
    assert plan.objective == pytest.approx(2 * 0.9 + 8 * 0.5, abs=1e-4)
    assert plan.gpus_used == {"h100": 6}
    assert plan.utilisation == pytest.approx({"good": 1.0, "small": 1.0})
    assert plan.deferred == pytest.approx({"scenario 1": 0.0}, abs=1e-6)
    assert plan.shadow_price["h100"] == pytest.approx(0.8, abs=1e-3)


def test_by_hand_gpu_hours_stop_instances_that_do_not_earn_them() -> None:
    """A USD buys 5 GPUs; with the sixth unaffordable, five small ones are best."""
    plan = allocate(by_hand(gpu_hour_usd=0.1, hours=2.0))
    assert plan.instances == {"good": 0, "small": 5}
    assert plan.spend_usd["scenario 1"] == pytest.approx(1.0)


def test_by_hand_start_up_cost_keeps_what_runs() -> None:
    """Starting costs more than the gain from two good instances to small ones: nothing changes."""
    running = {"good": 3, "small": 0}
    parameters = AllocationParameters(indifference=0.0)
    free = allocate(by_hand(yesterday=running), parameters)
    dear = allocate(by_hand(yesterday=running, startup_cost=0.5), parameters)
    assert free.instances == {"good": 1, "small": 4}
    assert dear.instances == running
    assert dear.diff.startswith("no change: +0.0 % expected quality")


def test_value_table_by_hand_rises_with_every_gpu() -> None:
    """Each GPU adds a small instance's 1.0 until five; then the tenth query is served and quality takes over."""
    rows = value_table(by_hand(), "h100", 6)
    assert [row.objective for row in rows] == pytest.approx([0, 1, 2, 3, 4, 5, 5.8], abs=2e-3)
    assert [row.deferred for row in rows] == pytest.approx([10, 8, 6, 4, 2, 0, 0], abs=1e-2)
    assert [row.gpus for row in rows] == list(range(7))


def test_the_diff_says_what_starts_what_stops_and_what_is_left() -> None:
    """An operator reads one line: starts, stops, gain against yesterday's fleet under tomorrow's demand, free GPUs."""
    plan = allocate(by_hand(yesterday={"good": 3, "small": 0}))
    assert plan.diff == "+4 small, −2 good: +7.4 % expected quality, 0 GPUs free"


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, derandomize=True, deadline=None)
def test_a_plan_never_breaks_a_rule(seed: int) -> None:
    """GPU budget, stock, pins, GPU-hours and change limit hold with hysteresis on, whatever the problem."""
    p = problem(seed)
    plan = allocate(p)
    if plan.status.usable:
        assert keeps_rules(p, counts_of(p, dict(plan.instances)))
        assert all(free >= 0 for free in plan.gpus_free.values())
        assert plan.objective <= plan.bound + 1e-9
        assert all(spend <= usd + 1e-9 for spend, usd in zip(plan.spend_usd.values(), p.budget_usd, strict=True))
        assert all(-1e-9 <= share <= 1 + 1e-6 for share in plan.utilisation.values())
        assert all(keeps_rules(p, counts_of(p, dict(other.instances))) for other in plan.alternatives)
    else:
        assert plan.notes


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=8, derandomize=True, deadline=None)
def test_more_gpus_are_never_worse(seed: int) -> None:
    """The value table never falls."""
    p = problem(seed, minimum={}, max_changes=None)
    values = [row.objective for row in value_table(p, "a", 4)]
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(values))


def test_the_same_problem_gives_the_same_plan() -> None:
    """Only the wall clock may differ between equal runs."""
    p = problem(7, max_changes=None, minimum={})
    assert replace(allocate(p), seconds=0.0) == replace(allocate(p), seconds=0.0)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=12, derandomize=True, deadline=None)
def test_nearly_equal_forecasts_keep_the_allocation(seed: int) -> None:
    """Demand that moves by a ten-thousandth changes no instance."""
    p = problem(seed, yesterday=None, max_changes=None, minimum={}, gpu_hour_usd=0.0)
    first = allocate(p)
    moved = p.weight * (1 + 1e-4 * np.random.default_rng(seed).uniform(-1, 1, p.weight.shape))
    assert allocate(replace(p, weight=moved, yesterday=first.instances)).instances == first.instances


class Misled:
    """GLOP as it is, but that its first answer says it found nothing."""

    def __init__(self, solver: Any) -> None:
        self._solver = solver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._solver, name)

    def Solve(self, *_: Any) -> int:  # noqa: N802 — GLOP's name
        return int(self._solver.INFEASIBLE)


def test_an_lp_whose_last_basis_misleads_its_solver_is_built_anew() -> None:
    posed = problem(3)
    budget, capacity = 0.5 * float(posed.cost.mean()), np.full(posed.cost.shape[1], 0.3)
    straight, misled = (ScenarioValue(prepare(posed), posed.weight[0], max_rounds=200) for _ in range(2))
    for value in (straight, misled):
        value.at(2 * budget, capacity, 1e-6)
    misled._solver = Misled(misled._solver)
    assert misled.at(budget, capacity, 1e-6).value == pytest.approx(straight.at(budget, capacity, 1e-6).value)
    assert not isinstance(misled._solver, Misled)


@pytest.mark.parametrize("seed", range(4))
def test_given_instances_are_valued_as_precisely_as_asked(seed: int) -> None:
    """A degenerate LP makes no progress for some rounds; a valuation that stops there is too low."""
    rng, n, m = np.random.default_rng(seed), 400, 10
    p = by_hand(
        quality=rng.random((n, m)),
        cost=rng.lognormal(-8, 0.5, (n, m)),
        weight=np.ones((1, n)),
        penalty=np.full(n, 0.05),
        catalog=Catalog((api("m0"), *(hosted(f"m{j}", 1, 1) for j in range(1, m)))),
    )
    function = ScenarioValue(prepare(p), p.weight[0], max_rounds=1000)
    for _ in range(6):
        capacity = np.append(np.inf, rng.integers(0, 4, m - 1) * 0.03)
        worth = function.at(1e-4, capacity, 1e-4)
        assert worth.bound - 1e-4 <= worth.value <= worth.bound + 1e-9


def test_a_search_that_may_price_little_still_proves_how_far_it_came() -> None:
    """Past the pairs allowed no further fleet is valued: the gap is wider, the bound holds, equal runs end alike."""
    rng, n, m = np.random.default_rng(5), 60, 6
    p = by_hand(
        quality=rng.random((n, m)),
        cost=rng.lognormal(-8, 0.5, (n, m)),
        weight=np.ones((1, n)),
        penalty=np.full(n, 0.05),
        budget_usd=np.array([0.006]),
        catalog=Catalog((api("m0"), *(hosted(f"m{j}", 1 + j % 4, 1 + 4 * (j % 4)) for j in range(1, m)))),
        gpu_budget={"h100": 9},
    )
    short, long = allocate(p, replace(EXACT, max_pairs=1)), allocate(p, EXACT)
    assert short.gap > long.gap
    assert short.status is AllocationStatus.FEASIBLE
    assert short.objective <= long.bound + 1e-9
    assert long.objective <= short.bound + 1e-9
    assert replace(short, seconds=0.0) == replace(allocate(p, replace(EXACT, max_pairs=1)), seconds=0.0)


def test_a_budget_of_0_is_explained() -> None:
    """With every model at a price, nobody is served, the gap is closed, and a note says why."""
    plan = allocate(by_hand(cost=np.ones((10, 2)), budget_usd=np.zeros(1)))
    assert (plan.status, plan.gap, sum(plan.instances.values())) == (AllocationStatus.OPTIMAL, 0.0, 0)
    assert plan.notes == ("the budget is 0 USD and no model that may run is free: nobody is served",)


def test_worst_case_share_guards_the_worst_scenario() -> None:
    """With all weight on the worst case, the scenario that a model serves badly decides."""
    p = by_hand(
        quality=np.repeat(np.float32([[0.9, 0.6], [0.1, 0.6]]), 5, axis=0),
        weight=np.array([[2.0] * 5 + [0.0] * 5, [0.0] * 5 + [2.0] * 5]),
        scenario_weight=np.array([0.9, 0.1]),
        budget_usd=np.ones(2),
        catalog=Catalog((hosted("sharp", 1, 10), hosted("steady", 1, 10))),
        gpu_budget={"h100": 1},
    )
    assert allocate(p).instances == {"sharp": 1, "steady": 0}
    assert allocate(p, AllocationParameters(worst_case_share=1.0)).instances == {"sharp": 0, "steady": 1}


def test_no_gpus_is_explained() -> None:
    """A GPU budget of 0 gives a plan without instances, everything deferred, and a note a model."""
    plan = allocate(by_hand(gpu_budget={}))
    assert plan.status is AllocationStatus.OPTIMAL
    assert plan.instances == {"good": 0, "small": 0}
    assert plan.deferred == pytest.approx({"scenario 1": 10.0})
    assert "good cannot run: an instance needs 2 GPUs of type h100, the budget has 0" in plan.notes


def test_a_model_larger_than_the_budget_or_out_of_stock_is_explained() -> None:
    """What cannot run is named with its rule; the others are allocated."""
    catalog = Catalog((hosted("huge", 8, 2), hosted("sold_out", 1, 2, stock=0), hosted("small", 1, 2)))
    p = by_hand(catalog=catalog, quality=np.full((10, 3), 0.5, np.float32), cost=np.zeros((10, 3), np.float32))
    plan = allocate(p)
    assert plan.instances == {"huge": 0, "sold_out": 0, "small": 5}
    assert plan.notes == (
        "huge cannot run: an instance needs 8 GPUs of type h100, the budget has 6",
        "sold_out cannot run: its stock is 0",
    )


def test_no_demand_keeps_what_runs() -> None:
    """Without any history nothing is started or stopped, and the status says why."""
    nobody = {"quality": np.empty((0, 2)), "cost": np.empty((0, 2)), "weight": np.empty((1, 0)), "penalty": np.empty(0)}
    plan = allocate(by_hand(**nobody, yesterday={"good": 2, "small": 1}))
    assert plan.status is AllocationStatus.NO_DEMAND
    assert plan.instances == {"good": 2, "small": 1}
    assert allocate(by_hand(**nobody)).instances == {"good": 0, "small": 0}


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"minimum": {"good": 4}}, "good is pinned to at least 4, but its GPU budget allows 3"),
        ({"minimum": {"good": 2, "small": 3}}, "minimum instances need 7 GPUs of type h100, the budget has 6"),
        ({"yesterday": {"good": 5}, "max_changes": 1}, "max_changes is 1, but the other rules need at least 2 changes"),
        ({"minimum": {"good": 3}, "gpu_hour_usd": 1.0, "hours": 1.0}, "GPU-hours of the minimum instances cost 6.00"),
    ],
)
def test_contradictions_are_explained(rules: dict[str, Any], said: str) -> None:
    """Rules that no instances can keep end as infeasible, with the rule and the figures."""
    plan = allocate(by_hand(**rules))
    assert plan.status is AllocationStatus.INFEASIBLE
    assert not plan.status.usable
    assert any(note.startswith(said) for note in plan.notes), plan.notes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quality": np.zeros((10, 3))}, r"quality must have shape \(10, 2\)"),
        ({"cost": np.full((10, 2), np.nan)}, "cost must be finite"),
        ({"scenario_weight": np.zeros(1)}, "scenario_weight must not be 0"),
        ({"batches": 0}, "batches must be at least 1, got 0"),
        ({"minimum": {"stranger": 1}}, "minimum must name self-hosted models, got stranger"),
    ],
)
def test_a_bad_argument_is_named(changes: dict[str, Any], said: str) -> None:
    """The message says which argument broke which rule."""
    with pytest.raises(ProblemError, match=said):
        by_hand(**changes)


def test_naive_policies_by_hand() -> None:
    """Each policy fills the GPUs its own way."""
    fleets = {name: policy(by_hand()).tolist() for name, policy in POLICIES.items()}
    assert fleets == {"uniform": [2, 2], "demand_proportional": [3, 0], "greedy": [0, 6], "all_on_best": [3, 0]}


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=12, derandomize=True, deadline=None)
def test_no_naive_policy_beats_the_optimum(seed: int) -> None:
    """In planned value, on the same problem, the optimiser is never behind."""
    p = problem(seed, yesterday=None, max_changes=None, minimum={}, gpu_hour_usd=0.0)
    best = allocate(p, EXACT)
    probability = p.scenario_weight / p.scenario_weight.sum()
    for policy in POLICIES.values():
        fleet = policy(p)
        assert keeps_rules(p, fleet)
        value = sum(w * lp_value(p, s, fleet, p.budget_usd[s]) for s, w in enumerate(probability))
        assert value <= best.bound + 1e-9
