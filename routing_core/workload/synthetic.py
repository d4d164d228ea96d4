"""A synthetic workload: outcomes logged by day, backlogs that wait for the night, and the truth to settle them by.

Every query follows from the seed and its identifier alone. Tables are made and written one file at a time, so that
a backlog of a million takes no more memory than one of its files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from routing_core.errors import SettingsError
from routing_core.records.catalog import Catalog, Price
from routing_core.store.writing import add_file, writing_partition
from routing_core.workload.broken import WAYS, break_rows, broken_rows
from routing_core.workload.draws import choose, normal, uniform
from routing_core.workload.families import FAMILIES
from routing_core.workload.prompts import (
    BACKLOG,
    DAYTIME,
    Hidden,
    count_tokens,
    daily_volume,
    hidden_of,
    hidden_of_ids,
    prompts,
    query_ids,
    tasks,
)
from routing_core.workload.truth import World

Labels = Literal["logged", "all"]
TEAMS = ("search", "support", "research", None)
_UTC = pa.timestamp("us", "UTC")
_ROWS_AT_ONCE = 50_000


def make_workload(
    root: Path,
    *,
    last_day: date,
    outcome_days: int = 14,
    backlog_days: int = 14,
    queries_per_day: int = 1500,
    tonight: int = 6000,
    parts: int = 8,
    seed: int = 0,
    broken: int = 12,
    catalog: Catalog,
    labels: Labels = "logged",
    embedding_size: int = 0,
    backlog_per_day: int | None = None,
) -> dict[str, Any]:
    """Write a workload below ``root``: ``outcomes/dt=*`` and ``backlog/dt=*``.

    Parameters
    ----------
    root : Path
    last_day : date
        Day of tonight's backlog, and the last with outcomes.
    outcome_days, backlog_days : int
        Days of outcomes up to ``last_day``; days of backlog before it.
    queries_per_day : int
        Queries on an ordinary weekday, as outcomes and as backlog history.
    tonight, parts : int
        Rows of tonight's backlog, the broken ones among them, and its files.
    seed : int
    broken : int
        Rows of tonight broken on purpose, at most a third of them.
    catalog : Catalog
        With a price valid on every day written.
    labels : {"logged", "all"}
        Whether the answering model alone is logged, with its propensity, or every model.
    embedding_size : int
        Length of an ``embedding`` column in backlog and outcomes; 0 for none.
    backlog_per_day : int, optional
        Queries of an ordinary weekday as backlog history, where it is not ``queries_per_day``.

    Returns
    -------
    dict
        ``last_day, seed, outcomes, outcome_days, backlog_history, backlog_days, tonight, parts, broken`` and
        ``broken_by_reason``: how many should be rejected for which reason.

    Raises
    ------
    SettingsError
        If a number is negative, or there are fewer parts than 1.
    """
    _check(outcome_days=outcome_days, backlog_days=backlog_days, queries_per_day=queries_per_day, tonight=tonight)
    _check(parts=parts - 1, seed=seed, broken=broken, embedding_size=embedding_size)
    world, outcomes, history = World(seed, catalog), 0, 0
    for day in _days_until(last_day, outcome_days):
        outcomes += _write_outcomes(root, world, day, daily_volume(day, queries_per_day), labels, embedding_size)
    for day in _days_until(last_day - timedelta(days=1), backlog_days):
        rows = daily_volume(day, queries_per_day if backlog_per_day is None else backlog_per_day)
        _write_backlog(root, world, day, rows, 1, {}, embedding_size)
        history += rows
    plan = broken_rows(seed, tonight, broken)
    _write_backlog(root, world, last_day, tonight, parts, plan, embedding_size)
    return {
        "last_day": last_day.isoformat(),
        "seed": seed,
        "outcomes": outcomes,
        "outcome_days": outcome_days,
        "backlog_history": history,
        "backlog_days": backlog_days,
        "tonight": tonight,
        "parts": parts,
        "broken": len(plan),
        "broken_by_reason": dict(Counter(WAYS[way][0].value for way in plan.values())),
    }


def log_outcomes(
    root: Path,
    world: World,
    *,
    logged_on: date,
    query_ids: Sequence[str],
    models: Sequence[str],
    propensity: Sequence[float] | None = None,
) -> int:
    """Let the models answer the queries assigned to them, and log it as ``outcomes/dt=<logged_on>/settled.parquet``.

    Parameters
    ----------
    root : Path
    world : World
        With the seed and catalog of the workload.
    logged_on : date
        Day of the answers: the night's execution date.
    query_ids, models : sequence of str, length n_assignments
        Backlog queries, and the model each was assigned to.
    propensity : sequence of float, optional
        Probability of each choice; unknown if left out.

    Returns
    -------
    int
        Outcomes written. A second call for the day replaces the first; the day's other files stay.

    Raises
    ------
    ContractError
        If an identifier is not one of the synthetic workload.
    CatalogError
        If a model is not in the catalog.
    """
    hidden = hidden_of_ids(world.seed, query_ids)
    index = {name: world.catalog.index(name) for name in dict.fromkeys(models)}
    chosen = np.array([index[name] for name in models], dtype=np.int64)
    chance = np.full(len(chosen), np.nan) if propensity is None else np.asarray(propensity, dtype=np.float64)
    table = world.outcomes(pa.array(query_ids, pa.large_string()), hidden, chosen, chance, logged_on)
    add_file(root / "outcomes", logged_on, "settled.parquet", table)
    return len(table)


def scaled_catalog(catalog: Catalog, n_models: int) -> Catalog:
    """``n_models`` models: the first of the catalog, then variants of them at other prices, for benchmarks.

    Raises
    ------
    SettingsError
        If ``n_models`` is below 1.
    """
    _check(n_models=n_models - 1)
    base = catalog.models
    models = []
    for k in range(n_models):
        generation, factor = k // len(base), 1.0 + 0.25 * (k // len(base))
        model = base[k % len(base)]
        name = model.name if generation == 0 else f"{model.name}-v{generation + 1}"
        prices = tuple(Price(p.valid_from, p.input_usd * factor, p.output_usd * factor) for p in model.prices)
        models.append(replace(model, name=name, prices=prices))
    return Catalog(tuple(models))


def _check(**numbers: int) -> None:
    """Refuse negative numbers by name."""
    for name, value in numbers.items():
        if value < 0:
            least = int(name in {"parts", "n_models"})
            raise SettingsError(f"{name} must be at least {least}, got {value + least}")


def _days_until(last: date, n: int) -> list[date]:
    return [last - timedelta(days=back) for back in reversed(range(n))]


def _write_outcomes(root: Path, world: World, day: date, rows: int, labels: Labels, embedding_size: int) -> int:
    written = 0
    with writing_partition(root / "outcomes", day) as writer:
        for start in range(0, rows, _ROWS_AT_ONCE):
            numbers = np.arange(start, min(start + _ROWS_AT_ONCE, rows))
            table = _outcomes(world, day, numbers, labels, embedding_size)
            writer.write(table)
            written += len(table)
    return written


def _outcomes(world: World, day: date, numbers: NDArray[np.int64], labels: Labels, embedding_size: int) -> pa.Table:
    if labels == "logged":
        hidden = hidden_of(world.seed, DAYTIME, day, numbers)
        models, propensity = world.choose(hidden)
    else:
        models = np.tile(np.arange(len(world.catalog)), len(numbers))
        numbers = np.repeat(numbers, len(world.catalog))
        hidden, propensity = hidden_of(world.seed, DAYTIME, day, numbers), np.ones(len(numbers))
    table = world.outcomes(query_ids(DAYTIME, day, numbers), hidden, models, propensity, day)
    if embedding_size:
        table = table.append_column("embedding", _embedding(world.seed, hidden, embedding_size))
    return table


def _write_backlog(
    root: Path, world: World, day: date, rows: int, parts: int, plan: dict[int, str], embedding_size: int
) -> None:
    """One day's backlog; what a query is does not depend on the file it falls into."""

    def row_before(number: int) -> dict[str, Any]:
        row: dict[str, Any] = _backlog(world, day, np.array([number - 1]), embedding_size).to_pylist()[0]
        return row

    with writing_partition(root / "backlog", day) as writer:
        for part in range(parts):
            numbers = np.arange(rows * part // parts, rows * (part + 1) // parts)
            table = _backlog(world, day, numbers, embedding_size)
            first = int(numbers[0]) if len(numbers) else 0
            writer.write(break_rows(table, first, plan, day, row_before))


def _backlog(world: World, day: date, numbers: NDArray[np.int64], embedding_size: int) -> pa.Table:
    hidden = hidden_of(world.seed, BACKLOG, day, numbers)
    texts = prompts(hidden)
    columns: dict[str, Any] = {
        "query_id": query_ids(BACKLOG, day, numbers),
        "task": tasks(hidden),
        "prompt": texts,
        "input_tokens": count_tokens(texts),
    }
    if embedding_size:
        columns["embedding"] = _embedding(world.seed, hidden, embedding_size)
    return pa.table(columns | _wishes(world.catalog, hidden, day))


def _wishes(catalog: Catalog, hidden: Hidden, day: date) -> dict[str, Any]:
    """The optional columns: who pays, what is urgent, and what a share of the queries insists on."""
    keys = hidden.keys
    pairs = [[a, b] for a, b in zip(catalog.names, catalog.names[1:] + catalog.names[:1], strict=True)]
    tags: list[Any] = [[tag] for tag in _common_tags(catalog)] or [None]
    hours = 4.0 + 44.0 * uniform(keys, "slack")
    deadline = np.datetime64(day + timedelta(days=1), "us") + (hours * 3.6e9).astype("m8[us]")
    return {
        "priority": _some(keys, "priority", 0.2, pa.array([0.5, 2.0, 5.0]).take(pa.array(choose(keys, "level", 3)))),
        "deadline": _some(keys, "deadline", 0.12, pa.array(deadline).cast(_UTC)),
        "max_cost_usd": _some(keys, "cap", 0.05, pa.array(0.0005 * 10.0 ** (1.5 * uniform(keys, "cap usd")))),
        "min_quality": _some(keys, "floor", 0.03, pa.array(0.3 + 0.3 * uniform(keys, "floor quality"))),
        "team": pa.array(TEAMS, pa.large_string()).take(pa.array(choose(keys, "team", len(TEAMS)))),
        "allowed_models": _some(keys, "list", 0.04, _lists(pairs, choose(keys, "pair", len(pairs)))),
        "required_tags": _some(keys, "list", 0.10, _lists(tags, choose(keys, "tag", len(tags))), above=0.04),
        "submitted_at": pa.array(hidden.submitted_at).cast(_UTC),
    }


def _common_tags(catalog: Catalog) -> list[str]:
    """Tags that at least two models carry, sorted."""
    counts = Counter(tag for model in catalog for tag in model.tags)
    return sorted(tag for tag, models in counts.items() if models >= 2)


def _lists(options: list[Any], codes: NDArray[np.int64]) -> pa.Array:
    return pa.array(options, pa.list_(pa.string())).take(pa.array(codes))


def _some(keys: NDArray[np.uint64], stream: str, share: float, values: pa.Array, above: float = 0.0) -> pa.Array:
    """``values`` for the queries whose draw lies from ``above`` to ``share``, null for the others."""
    drawn = uniform(keys, f"has {stream}")
    absent = (drawn < above) | (drawn >= share)
    return values.take(pa.array(np.arange(len(keys)), mask=absent))


def _embedding(seed: int, hidden: Hidden, size: int) -> pa.Array:
    """Vectors around one centre a family, moved along one direction by difficulty, with noise; unit length."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(len(FAMILIES), size)).astype(np.float32)
    along = generator.normal(size=size).astype(np.float32)
    matrix = centres[hidden.family] + (0.3 * hidden.difficulty).astype(np.float32)[:, None] * along
    for k in range(size):
        matrix[:, k] += 0.5 * normal(hidden.keys, f"embedding {k}")
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), size)
