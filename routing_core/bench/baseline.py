"""The same night as one would write it by hand, in the same run: how much of it a core does in a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy import select

from routing_core.settings import PROJECT_ROOT, Settings
from routing_core.store.database import reading
from routing_core.store.tables.runs import routing_runs, run_models

SCRIPT = PROJECT_ROOT / "tests" / "benchmarks" / "baseline_night.py"
BATCH = 100
KINDS = {"point": (0, 5_000), "robust": (100, 300)}
"""Bootstrap refits (the paper's hundred, or none and planning on the mean), and queries enough to time."""


def compare_with_baseline(settings: Settings, dt: date, ours: Mapping[str, Any]) -> dict[str, Any]:
    """Plan some queries of a night by the baseline, on one core, and compare throughput.

    Parameters
    ----------
    settings : Settings
        Of a home whose night has been planned.
    dt : date
    ours : mapping
        Figures of that night: queries, rows_per_second_per_core and cpu_seconds.

    Returns
    -------
    dict of dict
        By kind of baseline: queries, seconds, rows_per_second_per_core, and how many times ours that is, by
        wall clock (``times``) and by processor time (``times_by_cpu``, which other load disturbs less).
    """
    limits = json.dumps(_limits_of_a_batch(settings, dt, ours["queries"]))
    return {name: _compared(settings, dt, limits, *kind, ours) for name, kind in KINDS.items()}


def _compared(
    settings: Settings, dt: date, limits: str, refits: int, queries: int, ours: Mapping[str, Any]
) -> dict[str, Any]:
    figures = _plan(settings, dt, limits, refits, min(queries, ours["queries"]))
    per_second, per_cpu_second = (figures["queries"] / figures[name] for name in ("seconds", "cpu_seconds"))
    return {
        "queries": figures["queries"],
        "refits": refits,
        "seconds": round(figures["seconds"], 3),
        "cpu_seconds": round(figures["cpu_seconds"], 3),
        "rows_per_second_per_core": round(per_second, 1),
        "times": round(ours["rows_per_second_per_core"] / per_second, 1),
        "times_by_cpu": round(ours["queries"] / ours["cpu_seconds"] / per_cpu_second, 1),
    }


def _plan(settings: Settings, dt: date, limits: str, refits: int, queries: int) -> dict[str, Any]:
    command = [sys.executable, str(SCRIPT), str(settings.home), dt.isoformat(), str(queries), limits, str(refits)]
    one_core = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(command, env=os.environ | one_core, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _limits_of_a_batch(settings: Settings, dt: date, queries: int) -> dict[str, Any]:
    """The night's budget and capacities, as far as a batch of a hundred goes."""
    share = BATCH / queries
    current = (routing_runs.c.dt == dt) & (routing_runs.c.status == "current")
    rows = select(run_models.c.model, run_models.c.capacity_per_batch, routing_runs.c.batches).join_from(
        run_models, routing_runs, run_models.c.run_id == routing_runs.c.run_id
    )
    with reading(settings) as connection:
        found = connection.execute(rows.where(current)).all()
    capacity = {
        row.model: row.capacity_per_batch * row.batches * share for row in found if row.capacity_per_batch is not None
    }
    return {"queries": queries, "budget_usd": settings.budget_usd * share, "capacity": capacity}
