"""How long an allocation takes by its size: sampled queries, models, scenarios."""

from __future__ import annotations

import time
from datetime import date
from typing import Any

import numpy as np

from routing_core.allocate.instances import AllocationParameters, AllocationProblem, allocate
from routing_core.records.catalog import Catalog, Model, Price, Serving

TIERS = ((8, 128), (4, 64), (2, 32), (1, 16))
REAL_QUERIES = 500_000.0
GPUS, BATCHES, USD_PER_QUERY = 64, 240, 3e-4


def bench_size(queries: int = 10_000, models: int = 20, scenarios: int = 5, seed: int = 0) -> dict[str, Any]:
    """Allocate once, with everything an operator is shown and once for the instances alone.

    Parameters
    ----------
    queries, models, scenarios : int, at least 1
    seed : int

    Returns
    -------
    dict
        ``seconds`` to the plan with shadow prices and alternatives, ``seconds_plan_alone``, and of both the
        processor's own (``cpu_…``), which other work on the machine does not lengthen; ``gap``, ``status``,
        ``instances`` in all, and the size.
    """
    problem = _problem(queries, models, scenarios, np.random.default_rng(seed))
    begun = time.process_time()
    alone = allocate(problem, AllocationParameters(shadow_prices=False, alternatives=0))
    between = time.process_time()
    whole = allocate(problem)
    ended = time.process_time()
    return {
        "queries": queries,
        "models": models,
        "scenarios": scenarios,
        "seconds": round(whole.seconds, 2),
        "seconds_plan_alone": round(alone.seconds, 2),
        "cpu_seconds": round(ended - between, 2),
        "cpu_seconds_plan_alone": round(between - begun, 2),
        "gap": whole.gap,
        "status": whole.status.value,
        "instances": sum(whole.instances.values()),
    }


def _problem(n: int, m: int, scenarios: int, rng: np.random.Generator) -> AllocationProblem:
    """A quarter of the models behind APIs, the rest on GPUs in four tiers; larger is better and dearer."""
    price = (Price(date(2026, 1, 1), 0.0, 0.0),)
    n_api = max(1, m // 4)
    catalog = [Model(f"api{j}", Serving.API, price, 8192) for j in range(n_api)]
    catalog += [
        Model(f"open{j}", Serving.SELF_HOSTED, price, 8192, "h100", *TIERS[j % len(TIERS)]) for j in range(m - n_api)
    ]
    level = np.array(
        [0.75 if model.serving is Serving.API else 0.5 + 0.02 * model.gpus_per_instance for model in catalog]
    )
    quality = level + rng.normal(0, 0.05, m) + rng.normal(0, 0.12, (n, m))
    dear = np.array([8.0 if model.serving is Serving.API else 1.0 for model in catalog])
    weight = rng.gamma(2.0, 0.5, (scenarios, n)) * rng.uniform(0.8, 1.2, (scenarios, 1)) * REAL_QUERIES / n
    return AllocationProblem(
        quality=quality.clip(0, 1),
        cost=rng.lognormal(-9, 0.5, (n, m)) * dear,
        weight=weight,
        scenario_weight=np.ones(scenarios),
        penalty=np.full(n, 0.05),
        budget_usd=USD_PER_QUERY * weight.sum(axis=1),
        batches=BATCHES,
        catalog=Catalog(tuple(catalog)),
        gpu_budget={"h100": GPUS},
    )
