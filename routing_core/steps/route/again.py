"""A DAG run that is cleared from ``estimate`` or ``solve`` on: its new run lists the input, and takes estimates over.

With any task that is cleared Airflow clears ``open_run``, the set-up of all, but ``list_chunks`` only if a task before
it is cleared. So the later task finds a new run of the same key that has listed nothing.
"""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import Connection, Row

from routing_core.settings import Settings
from routing_core.steps.means import PLACES
from routing_core.steps.route.listing import list_chunks
from routing_core.store import carry, chunks, inputs, openings, runs
from routing_core.store.database import reading, writing

_SOLVED_WITH = frozenset(
    {
        "budget_usd",
        "monthly_budget_usd",
        "team_budgets_usd",
        "monthly_team_budgets_usd",
        "batching",
        "gap",
        "overspend_probability",
        "exploration_share",
        "chunks",
    }
)
"""Settings that no estimate depends on."""


def list_if_left_out(run_id: int, settings: Settings) -> None:
    """List the input of a run that is the second beginning of a DAG run whose ``list_chunks`` was not cleared."""
    with reading(settings) as connection:
        run = runs.get_run(connection, run_id)
        left_out = run.backlog_rows is None and openings.begun_before(connection, run) is not None
    if left_out:
        list_chunks(run_id, settings)


def take_over_estimates(run_id: int, settings: Settings) -> None:
    """Give chunks that were not estimated in this run the estimates of the run that its DAG run had begun before.

    Only where that one had the same input and estimated it by the same means; else the chunks stay without.
    """
    with writing(settings) as connection:
        run = runs.get_run(connection, run_id)
        bare = [row for row in chunks.of_run(connection, run_id) if row.estimate_shard is None]
        before = openings.begun_before(connection, run) if bare else None
        if before is not None and _would_estimate_the_same(connection, run, before):
            made = {_files(row): row.estimate_shard for row in chunks.of_run(connection, before.run_id)}
            here = settings.run_directory(run_id)
            here.mkdir(parents=True, exist_ok=True)  # a path leads through it
            there = os.path.relpath(settings.run_directory(before.run_id), here)
            for row in bare:
                if shard := made.get(_files(row)):
                    chunks.take_estimates(connection, run_id, row.chunk, os.path.normpath(f"{there}/{shard}"))


def _would_estimate_the_same(connection: Connection, run: Row[Any], before: Row[Any]) -> bool:
    names = (run.settings.keys() | before.settings.keys()) - _SOLVED_WITH - PLACES
    return (
        (run.predictor_id, run.catalog_hash) == (before.predictor_id, before.catalog_hash)
        and all(run.settings.get(name) == before.settings.get(name) for name in names)
        and _input(connection, run.run_id) == _input(connection, before.run_id)
    )


def _input(connection: Connection, run_id: int) -> tuple[Any, ...]:
    """All that tells one run's queries from another's: its files by hash, and the rows it takes up from them."""
    files = sorted(tuple(row.values()) for row in inputs.input_rows(connection, run_id))
    waiting = carry.carried_rows(connection, run_id)
    return files, {day: {name: sorted(rows) for name, rows in of_day.items()} for day, of_day in waiting.items()}


def _files(chunk: Row[Any]) -> tuple[str, str]:
    return chunk.source, str(chunk.partitions)
