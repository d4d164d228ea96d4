"""What if a planned night had other money or other GPUs: from its retained estimates, publishing nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from routing_core.allocate.instances import AllocationProblem
from routing_core.allocate.instances import allocate as size_fleet
from routing_core.errors import NotFoundError, SettingsError, SolverError
from routing_core.records.assignments import DEFERRED
from routing_core.records.catalog import Catalog
from routing_core.route.admission import capacity_per_batch
from routing_core.route.solution import Solution
from routing_core.settings import Settings
from routing_core.steps.plan import decide, gpu_hours_usd
from routing_core.steps.retained import Retained, current_night
from routing_core.store import catalogs

MOST_POINTS = 2000
"""Most points of one question."""


@dataclass(frozen=True, slots=True)
class _Fleet:
    """Instances that might serve the night, and what each model then takes in a batch."""

    gpus: int | None
    instances: Mapping[str, int]
    capacity: tuple[int | None, ...]
    gpu_usd: float


def what_if(
    dt: date,
    settings: Settings,
    *,
    budgets: Sequence[float] = (),
    gpus: Sequence[int] = (),
    gpu_type: str | None = None,
) -> dict[str, Any]:
    """Plan the current night again at other budgets and with other GPUs.

    The fleet of a number of GPUs is sized for the night's own queries (a sample of ``allocation_sample``) at the
    night's own budget; every budget is then planned with every fleet. Exploration is left out.

    Parameters
    ----------
    dt : date
    settings : Settings
    budgets : sequence of float
        Budgets of the night, USD; the night's own if empty.
    gpus : sequence of int
        GPUs of ``gpu_type``; the fleet the night had if empty.
    gpu_type : str, optional
        Needed where the GPU budget has several types.

    Returns
    -------
    dict
        dt, run_id, budget_usd, instances;
        points: of each budget and fleet budget_usd, gpus, instances, served, deferred, planned_spend_usd, objective,
        bound, gap, expected_quality (per routable query), next_dollar (quality units per USD), next_slot (by model,
        quality units per query), efficient (no other point has more quality for neither more money nor more GPUs);
        next: what one more USD, slot (by model) and instance (by self-hosted model, found by planning with it) would
        add to the night as it was, quality units.

    Raises
    ------
    NotFoundError
        If no run of the date is current, or its estimates are no longer kept.
    SettingsError
        If a number is out of its range, or the GPU type is unknown.
    ChangedInputError
        If the night's catalog is no longer kept, and is needed.
    RunStateError
        If the current run is the plan of what was left of another.
    """
    _check(budgets, gpus)
    kept = current_night(dt, settings)
    if not len(kept.night):
        raise NotFoundError(f"the night of {dt} has no routable query to ask about")
    own = _Fleet(None, _instances(kept), kept.capacity, kept.gpu_usd)
    fleets = _fleets(kept, settings, gpus, gpu_type) if gpus else [own]
    points = [_point(kept, budget, fleet) for fleet in fleets for budget in budgets or [float(kept.run.budget_usd)]]
    _mark_efficient(points)
    return {
        "dt": dt.isoformat(),
        "run_id": kept.run.run_id,
        "budget_usd": kept.run.budget_usd,
        "instances": own.instances,
        "points": points,
        "next": _next(kept, own),
    }


def _check(budgets: Sequence[float], gpus: Sequence[int]) -> None:
    if any(not 0 <= usd < float("inf") for usd in budgets):
        raise SettingsError(f"budgets must be finite and at least 0, got {list(budgets)}")
    if any(count < 0 for count in gpus):
        raise SettingsError(f"GPUs must be at least 0, got {list(gpus)}")
    if max(len(budgets), 1) * max(len(gpus), 1) > MOST_POINTS:
        raise SettingsError(f"at most {MOST_POINTS} points can be asked for, got {len(budgets)} × {len(gpus)}")


def _instances(kept: Retained) -> dict[str, int]:
    return {name: count for name, count in zip(kept.models, kept.instances, strict=True) if count is not None}


def _decided(kept: Retained, budget: float, capacity: tuple[int | None, ...], gpu_usd: float) -> Solution:
    return decide(kept.problem_with(budget, capacity, gpu_usd=gpu_usd), kept.night, kept.settings)


def _point(kept: Retained, budget: float, fleet: _Fleet) -> dict[str, Any]:
    solution = _decided(kept, budget, fleet.capacity, fleet.gpu_usd)
    rows = np.flatnonzero(solution.model != DEFERRED)
    quality = kept.night.mean_quality[rows, solution.model[rows]].sum(dtype=np.float64)
    return {
        "budget_usd": budget,
        "gpus": fleet.gpus,
        "instances": fleet.instances,
        "served": len(rows),
        "deferred": len(kept.night) - len(rows),
        "planned_spend_usd": solution.spend,
        "objective": solution.objective,
        "bound": solution.bound,
        "gap": solution.gap,
        "expected_quality": float(quality / len(kept.night)),
        "next_dollar": solution.prices.budget / kept.run.cost_margin,
        "next_slot": dict(zip(kept.models, map(float, solution.prices.capacity), strict=True)),
    }


def _mark_efficient(points: list[dict[str, Any]]) -> None:
    """Which points no other beats: more objective for neither more money nor more GPUs."""
    facts = np.array([(p["objective"], p["budget_usd"], p["gpus"] or 0) for p in points])
    for point, (objective, usd, gpus) in zip(points, facts.tolist(), strict=True):
        within = (facts[:, 1] <= usd) & (facts[:, 2] <= gpus)
        less = within & ((facts[:, 1] < usd) | (facts[:, 2] < gpus))
        enough = facts[:, 0] >= objective - 1e-9 * (1 + abs(objective))
        more = facts[:, 0] > objective + 1e-9 * (1 + abs(objective))
        point["efficient"] = not bool((less & enough).any() or (within & more).any())


def _next(kept: Retained, own: _Fleet) -> dict[str, Any]:
    """What one more of each would add to the night as it was."""
    usd = float(kept.run.budget_usd)
    base = _decided(kept, usd, own.capacity, own.gpu_usd)
    added = {}
    for j, name in enumerate(kept.models):
        count, slots = kept.instances[j], kept.capacity[j]
        if count is None:
            continue
        concurrency = _concurrency(kept, name, count, slots)
        capacity = (*own.capacity[:j], (slots or 0) + concurrency, *own.capacity[j + 1 :])
        more = _decided(kept, usd, capacity, own.gpu_usd + _instance_usd(kept, name))
        added[name] = max(0.0, more.objective - base.objective)
    return {
        "dollar": base.prices.budget / kept.run.cost_margin,
        "slot": dict(zip(kept.models, map(float, base.prices.capacity), strict=True)),
        "instance": added,
    }


def _instance_usd(kept: Retained, name: str) -> float:
    """What the GPU-hours of one more instance cost, USD."""
    if not kept.settings.gpu_hour_usd:
        return 0.0
    return gpu_hours_usd(catalogs.of_run(kept.run, kept.settings), {name: 1}, kept.settings)


def _concurrency(kept: Retained, name: str, count: int, slots: int | None) -> int:
    """Queries that an instance takes in a batch: by the night's own figures, of a model at rest by the catalog."""
    if count and slots is not None:
        return slots // count
    catalog = catalogs.of_run(kept.run, kept.settings)
    return catalog.models[catalog.index(name)].concurrency_per_instance


def _fleets(kept: Retained, settings: Settings, gpus: Sequence[int], gpu_type: str | None) -> list[_Fleet]:
    catalog = catalogs.of_run(kept.run, settings)
    kind = _gpu_type(kept.settings, gpu_type)
    problem = _fleet_problem(kept, catalog)
    return [_fleet(replace(problem, gpu_budget={**kept.settings.gpu_budget, kind: n}), kept, kind, n) for n in gpus]


def _gpu_type(asked: Settings, gpu_type: str | None) -> str:
    kinds = sorted(asked.gpu_budget)
    if gpu_type is None and len(kinds) == 1:
        return kinds[0]
    if gpu_type not in kinds:
        raise SettingsError(
            f"the GPU type must be one of {', '.join(kinds) or 'none'}, got {gpu_type!r}",
            remedy="name it before the range: --gpus TYPE=0:32:4",
        )
    return gpu_type


def _fleet_problem(kept: Retained, catalog: Catalog) -> AllocationProblem:
    """Whom to size a fleet for: every k-th query of the night."""
    night, asked = kept.night, kept.settings
    step = -(-len(night) // asked.allocation_sample)
    rows = slice(None, None, step)
    some = len(range(0, len(night), step))
    per_night = [np.inf if slots is None else float(slots * asked.batches) for slots in _api_capacity(catalog, asked)]
    return AllocationProblem(
        quality=night.lower_quality[rows],
        cost=night.cost_usd[rows],
        eligible=night.eligible[rows],
        penalty=night.penalty[rows].astype(np.float64),
        weight=np.full((1, some), len(night) / some),
        scenario_weight=np.ones(1),
        budget_usd=np.array([asked.budget_usd / kept.run.cost_margin]),
        batches=asked.batches,
        catalog=catalog,
        gpu_budget=asked.gpu_budget,
        api_capacity=np.array(per_night),
        gpu_hour_usd=asked.gpu_hour_usd,
        hours=asked.service_window_minutes / 60,
    )


def _api_capacity(catalog: Catalog, asked: Settings) -> list[int | None]:
    return [capacity_per_batch(model, 0, asked.batch_minutes) for model in catalog]


def _fleet(problem: AllocationProblem, kept: Retained, kind: str, count: int) -> _Fleet:
    plan = size_fleet(problem)
    if not plan.status.usable:
        raise SolverError(f"no instances of {count} {kind} keep every rule: {'; '.join(plan.notes)}")
    capacity = tuple(
        capacity_per_batch(model, plan.instances.get(model.name, 0), kept.settings.batch_minutes)
        for model in problem.catalog
    )
    gpu_usd = gpu_hours_usd(problem.catalog, plan.instances, kept.settings)
    return _Fleet(count, dict(plan.instances), capacity, gpu_usd)
