"""A year of large nights as the page sees it: what a night of a million queries leaves beside its decisions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, insert

from routing_core.settings import Settings
from routing_core.steps import prepare, read
from routing_core.store import database
from routing_core.store.tables import metadata

LAST = date(2026, 11, 22)
MODELS = tuple(f"model-{j:02d}" for j in range(11))
BATCHES = 240
CAUSES = ("budget", "capacity", "team_budget")
WAITING = 20_000
"""Deferred queries of each of the last ``RECENT`` nights; what earlier ones deferred is counted in their runs only."""
RECENT = 10
_AT_ONCE = 50_000


def make_year(settings: Settings, *, nights: int = 365, queries: int = 1_000_000, seed: int = 0) -> None:
    """Fill an empty results database with nights that look like planned ones.

    Figures are drawn, not planned: only their number and place matter here.
    """
    prepare.init_db(settings)
    rng = np.random.default_rng(seed)
    with database.writing(settings) as connection:
        for k in range(nights):
            dt = LAST - timedelta(days=nights - 1 - k)
            for table, rows in _night(k + 1, dt, queries, k >= nights - RECENT, rng):
                _insert(connection, table, rows)


def _insert(connection: Connection, table: str, rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), _AT_ONCE):
        connection.execute(insert(metadata.tables[table]), rows[start : start + _AT_ONCE])


def _night(
    run_id: int, dt: date, queries: int, recent: bool, rng: np.random.Generator
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    moment = datetime(dt.year, dt.month, dt.day, tzinfo=UTC) + timedelta(days=1)
    deferred, rejected = WAITING, queries // 1000
    assigned = queries - deferred - rejected
    spend = float(80 * rng.uniform(0.85, 0.97))
    yield "predictor_versions", [_verdict(run_id, dt, moment, rng)]
    yield "allocations", [_allocation(run_id, dt, moment)]
    yield "instance_allocations", [_instances(run_id, model, rng) for model in MODELS[:8]]
    yield "routing_runs", [_run(run_id, dt, moment, (assigned, deferred, rejected), spend, rng)]
    share = rng.dirichlet(np.ones(len(MODELS)))
    own = {"run_id": run_id}
    yield (
        "run_models",
        [
            own
            | {
                "model": model,
                "position": j,
                "serving": "self_hosted" if j < 8 else "api",
                "instances": 2 if j < 8 else None,
                "capacity_per_batch": int(assigned / BATCHES) if j < 8 else None,
                "input_usd": 1.0,
                "output_usd": 2.0,
                "assigned": int(assigned * share[j]),
                "planned_spend_usd": spend * float(share[j]),
            }
            for j, model in enumerate(MODELS)
        ],
    )
    yield (
        "batches",
        [
            own | {"batch_no": b + 1, "model": model, "assigned": int(count), "planned_spend_usd": spend / 2640}
            for b, counts in enumerate(rng.poisson(assigned * share / BATCHES, (BATCHES, len(MODELS))))
            for model, count in zip(MODELS, counts, strict=True)
        ],
    )
    yield (
        "shadow_prices",
        [_price(run_id, name, subject) for name, subject in [("budget", "*"), ("capacity", MODELS[0])]],
    )
    yield "receipts", [_receipt(run_id, policy, assigned) for policy in ("nightshift", "greedy", "best_single")]
    yield "night_settlements", [_settled(run_id, dt, moment, assigned, spend, rng)]
    yield "settlements", [_settled_model(run_id, dt, moment, model, assigned // len(MODELS), rng) for model in MODELS]
    if recent:
        yield "deferred_queries", [_deferred(run_id, dt, k) for k in range(deferred)]


def _run(
    run_id: int, dt: date, moment: datetime, counts: tuple[int, int, int], spend: float, rng: np.random.Generator
) -> dict[str, Any]:
    assigned, deferred, rejected = counts
    return {
        "run_id": run_id, "dt": dt, "execution_date": dt + timedelta(days=1), "attempt": 1, "run_key": f"bench/{dt}",
        "status": "current", "opened_at": moment, "published_at": moment, "replan": False, "shadow": False,
        "solve_attempt": 1, "dry_run": False, "degraded": "", "code_version": "bench", "options": {}, "seed": 0,
        "settings": {"overspend_probability": 0.05}, "batching": "planned", "batches": BATCHES,
        "predictor_id": run_id, "allocation_id": run_id, "backlog_rows": sum(counts), "carried_rows": 0,
        "assigned": assigned, "deferred": deferred, "rejected": rejected, "budget_usd": 80.0, "cost_margin": 1.03,
        "planning_budget_usd": 80 / 1.03, "planned_spend_usd": spend, "expected_quality": float(rng.normal(0.78, 0.01)),
        "objective": 0.78 * assigned, "bound": 0.7801 * assigned, "gap": 1e-7, "solver_status": "proven",
        "unfamiliar_share": 0.01,
    }  # fmt: skip


def _verdict(run_id: int, dt: date, moment: datetime, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "predictor_id": run_id, "dt": dt, "attempt": 1, "run_key": f"bench/{dt}",
        "decision": "promoted" if rng.random() < 0.3 else "kept", "reason": "as drawn", "trained_through": dt,
        "recipe": {}, "content_hash": "0", "outcomes": 1_000_000, "rejected_outcomes": 0, "champion_quality": 0.78,
        "challenger_quality": 0.781, "robust_method": "none", "cost_margin": 1.03, "evidence": {}, "seed": 0,
        "created_at": moment,
    }  # fmt: skip


def _allocation(run_id: int, dt: date, moment: datetime) -> dict[str, Any]:
    return {
        "allocation_id": run_id, "for_date": dt, "dt": dt - timedelta(days=1), "attempt": 1, "run_key": f"bench/{dt}",
        "predictor_id": run_id, "gpu_budget": {}, "gpus_used": {}, "status": "proven", "change": "no change",
        "evidence": {}, "seed": 0, "created_at": moment,
    }  # fmt: skip


def _instances(run_id: int, model: str, rng: np.random.Generator) -> dict[str, Any]:
    now, before = (int(count) for count in rng.integers(1, 4, 2))
    return {
        "allocation_id": run_id, "model": model, "instances": now, "previous_instances": before, "gpu_type": "h100",
        "gpus": 2 * now, "capacity_per_batch": 64 * now, "utilisation": float(rng.random()),
    }  # fmt: skip


def _price(run_id: int, name: str, subject: str) -> dict[str, Any]:
    return {
        "run_id": run_id, "constraint_name": name, "subject": subject, "price": 1.5, "unit": "USD", "binding": True,
        "words": f"the {name} of {subject} binds",
    }  # fmt: skip


def _receipt(run_id: int, policy: str, served: int) -> dict[str, Any]:
    ours = policy == "nightshift"
    return {
        "run_id": run_id, "policy": policy, "fallback": "cheapest", "served": served, "planned_spend_usd": 75.0,
        "expected_quality": 0.78 if ours else 0.76, "words": f"against {policy}", "gain": None if ours else 0.02,
        "gain_lower": None if ours else 0.01, "gain_upper": None if ours else 0.03, "verdict": None if ours else "gain",
    }  # fmt: skip


def _settled(
    run_id: int, dt: date, moment: datetime, assigned: int, spend: float, rng: np.random.Generator
) -> dict[str, Any]:
    actual = spend * float(rng.normal(1.0, 0.03))
    return {
        "run_id": run_id, "dt": dt, "execution_date": dt + timedelta(days=1), "assigned": assigned,
        "settled": assigned, "missing": 0, "rejected_outcomes": 0, "budget_usd": 80.0, "planned_spend_usd": spend,
        "settled_planned_usd": spend, "actual_spend_usd": actual, "projected_spend_usd": actual,
        "overspent": actual > 80, "overspend_probability": 0.05, "predicted_quality": 0.78,
        "realised_quality": float(rng.normal(0.775, 0.01)), "settled_through": dt + timedelta(days=1),
        "settled_at": moment,
    }  # fmt: skip


def _settled_model(
    run_id: int, dt: date, moment: datetime, model: str, settled: int, rng: np.random.Generator
) -> dict[str, Any]:
    return {
        "run_id": run_id, "model": model, "task": "*", "dt": dt, "assigned": settled, "settled": settled,
        "planned_spend_usd": 7.0, "actual_spend_usd": 7.0, "predicted_quality": 0.78,
        "realised_quality": float(rng.normal(0.775, 0.01)), "settled_through": dt, "settled_at": moment,
        "optimism": 0.005, "optimism_stderr": 0.001,
    }  # fmt: skip


def _deferred(run_id: int, dt: date, k: int) -> dict[str, Any]:
    return {
        "run_id": run_id, "query_id": f"{dt}-{k}", "dt": dt, "first_dt": dt, "partition": "part-0.parquet", "row": k,
        "chunk": 0, "task": f"task-{k % 20}", "cause": CAUSES[k % 3], "penalty": 0.05, "nights_waited": k % 3,
    }  # fmt: skip


def measure(settings: Settings, *, repeats: int = 5) -> dict[str, float]:
    """Best times of what the page asks first and then, in this process, s."""
    year = (LAST - timedelta(days=364), LAST)
    asked: dict[str, Callable[[], object]] = {
        "a night": lambda: read.night_report(LAST, settings),
        "30 nights": lambda: read.nights(LAST - timedelta(days=29), LAST, settings),
        "a year": lambda: read.nights(*year, settings),
        "its batches": lambda: read.through_batches(LAST, settings),
    }
    return {what: min(_seconds(question) for _ in range(repeats)) for what, question in asked.items()}


def _seconds(question: Callable[[], object]) -> float:
    start = time.perf_counter()
    question()
    return time.perf_counter() - start
