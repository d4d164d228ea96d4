"""The prediction benchmark: what estimates are worth once a budget is planned with them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing_core.bench.predict_split import Split, every_method, headline, partial
from routing_core.errors import ContractError
from routing_core.predict.cost import implied_prices
from routing_core.predict.labels import Labels, tabulate
from routing_core.predict.recipe import DEFAULT
from routing_core.store.parquet import read_outcomes
from routing_core.workload.wide import Wide, read_wide

SEEDS = (100, 101, 102, 103, 104)
"""Of the splits; choices were made on other seeds than these."""
FOLDS = 5
PARTIAL_FOLDS = 2
"""Folds of each seed on which partial logs are tried; each takes two more fits."""
UNIT = 1e-9
"""A wide file has costs and no tokens: costs are learnt as if every nano-dollar were an output token."""
FULL_DAYS = 14


def bench_predict(
    outcomes_file: Path, full: bool = False, *, seeds: Sequence[int] = SEEDS, jobs: int = 2
) -> dict[str, Any]:
    """Measure the default predictor against what it must beat, on held-out queries.

    Five folds over the queries for each seed; batches of 100 in permuted order; five budgets; predicted costs with
    the 95 % margin; no capacity. Nothing is tuned on the held-out folds: robust level, shrinkage and margin are
    learnt inside each training part.

    Parameters
    ----------
    outcomes_file : Path
        The public wide format (Parquet or CSV), or outcomes under contract: a root of ``dt=*`` partitions, one
        partition, or a file in one.
    full : bool
        Add every predictor × robust method, in distribution and with a task left out, and boosted trees.
    seeds : sequence of int
    jobs : int
        Processes.

    Returns
    -------
    dict
        Means over splits; ``standard_errors`` and ``intervals_95`` by the same keys; ``tables`` if ``full``.

    Raises
    ------
    ContractError
        If the file breaks its contract or holds too few queries.
    """
    start = time.perf_counter()
    labels, prices = read_labels(outcomes_file)
    splits = list(_folds(labels, prices, seeds))
    some = [split for i, split in enumerate(splits) if i % FOLDS < PARTIAL_FOLDS]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        whole = list(pool.map(headline, splits))
        logged = list(pool.map(partial, some)) if labels.complete else []
        tables = _tables(pool.map, labels, prices, splits[0]) if full else {}
    report = _summary(whole) | _gains(whole)
    for figures in (_summary(logged) | _losses(logged, whole) if logged else {},):
        for key, value in figures.items():
            report[key] = report[key] | value if isinstance(value, dict) and key in report else value
    facts = {"queries": len(labels), "models": len(labels.models), "splits": len(splits)}
    return facts | report | ({"tables": tables} if full else {}) | {"seconds": round(time.perf_counter() - start, 1)}


def read_labels(path: Path) -> tuple[Labels, NDArray[np.float64]]:
    """Queries × models from a wide file or from outcome partitions, and the prices costs are planned at.

    Raises
    ------
    ContractError
        If there are fewer queries than the folds need.
    """
    labels, prices = _from_partitions(path) if path.is_dir() or path.parent.name[:3] == "dt=" else _from_wide(path)
    if len(labels) < 100 * FOLDS:
        raise ContractError(f"{path}: the benchmark needs {100 * FOLDS} usable queries, got {len(labels)}")
    return labels, prices


def _from_wide(path: Path) -> tuple[Labels, NDArray[np.float64]]:
    """The rows with a score for every model; days are drawn, since the format has none."""
    wide, _ = read_wide(path)
    wide = wide.take(np.flatnonzero(~np.isnan(wide.score).any(axis=1)))
    n, m = wide.score.shape
    day = np.random.default_rng(0).permutation(n) * FULL_DAYS // max(n, 1)
    labels = Labels(
        models=wide.models,
        prompt=list(wide.prompt),
        task=wide.task,
        input_tokens=_lengths(wide),
        logged_at=(np.datetime64("2026-01-01", "D") + day).astype("datetime64[us]"),
        quality=wide.score.astype(np.float32),
        output_tokens=(wide.cost_usd / UNIT).astype(np.float32),
        weight=np.ones((n, m), np.float32),
        propensity=np.ones((n, m), np.float32),
        embedding=None,
        ignored=0,
        effective=np.full(m, float(n)),
    )
    return labels, np.tile([0.0, UNIT], (m, 1))


def _lengths(wide: Wide) -> NDArray[np.float64]:
    return wide.input_tokens.astype(np.float64)


def _from_partitions(path: Path) -> tuple[Labels, NDArray[np.float64]]:
    partition = path if path.name.startswith("dt=") else path.parent if path.is_file() else None
    root = partition.parent if partition else path
    names = [partition.name] if partition else sorted(each.name for each in root.glob("dt=*"))
    outcomes, _ = read_outcomes(str(root), [date.fromisoformat(name[3:]) for name in names])
    models = tuple(sorted(set(outcomes.model)))
    labels = tabulate(outcomes, models, half_life_days=DEFAULT.half_life_days, max_importance=DEFAULT.max_importance)
    return labels, implied_prices(outcomes, models)


def _folds(labels: Labels, prices: NDArray[np.float64], seeds: Sequence[int]) -> Iterator[Split]:
    for seed in seeds:
        fold = np.random.default_rng(seed).permutation(len(labels)) % FOLDS
        for held in range(FOLDS):
            yield _split(labels, prices, fold == held, seed)


def _split(labels: Labels, prices: NDArray[np.float64], test: NDArray[np.bool_], seed: int) -> Split:
    return Split(labels.take(np.flatnonzero(~test)), labels.take(np.flatnonzero(test)), prices, seed)


def _summary(rows: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Mean, standard error and 95 % bootstrap interval over splits of each figure."""
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(rows), (2000, len(rows)))
    return {
        **{name: float(values.mean()) for name, values in table.items()},
        "standard_errors": {name: float(v.std(ddof=1) / np.sqrt(len(v))) for name, v in table.items()},
        "intervals_95": {
            name: [float(end) for end in np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])]
            for name, values in table.items()
        },
    }


def _gains(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    of = {
        "vs_model_means_pct": ("default_quality", "model_means_quality"),
        "vs_knn5_point_pct": ("default_quality", "knn5_point_quality"),
        "vs_paper_knn40_q10_pct": ("default_quality", "knn40_q10_quality"),
        "knn5_q10_vs_point_pct": ("knn5_q10_quality", "knn5_point_quality"),
        "knn5_bagged_vs_point_pct": ("knn5_bagged_quality", "knn5_point_quality"),
        "knn5_shrunk_vs_point_pct": ("knn5_shrunk_quality", "knn5_point_quality"),
    }
    return {name: 100 * (mean[ours] / mean[theirs] - 1) for name, (ours, theirs) in of.items()}


def _losses(logged: Sequence[dict[str, float]], whole: Sequence[dict[str, float]]) -> dict[str, float]:
    """Quality lost against full feedback on the same splits, and gained over means of the same logs, percent."""
    full = np.mean([row["default_quality"] for i, row in enumerate(whole) if i % FOLDS < PARTIAL_FOLDS])
    losses = {}
    for name in ("uniform", "skewed"):
        ours, means = (np.mean([row[f"partial_{name}{which}_quality"] for row in logged]) for which in ("", "_means"))
        losses[f"partial_{name}_vs_full_pct"] = float(100 * (ours / full - 1))
        losses[f"partial_{name}_vs_means_pct"] = float(100 * (ours / means - 1))
    return losses


def _tables(mapped: Any, labels: Labels, prices: NDArray[np.float64], split: Split) -> dict[str, Any]:
    """Every predictor × method, on one split and with each task left out in turn."""
    tasks = labels.task.astype(str)
    without = {str(task): _split(labels, prices, tasks == task, 0) for task in np.unique(tasks)}
    runs = {"in distribution": split} | {f"without {task}": held for task, held in without.items()}
    found = mapped(_every_method, runs.values())
    return dict(zip(runs, found, strict=True))


def _every_method(split: Split) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for predictor, method, quality in every_method(split):
        table.setdefault(predictor, {})[method] = quality
    return table
