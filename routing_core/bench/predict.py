"""The prediction benchmark: what estimates are worth once a budget is planned with them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing_core.backtest.history import read_history
from routing_core.bench.predict_split import BATCH, Split, every_method, headline, partial
from routing_core.errors import ContractError
from routing_core.predict.labels import Labels

SEEDS = (100, 101, 102, 103, 104)
"""Of the splits; choices were made on other seeds than these."""
PARTS: Mapping[str, int] = {"halves": 2, "folds": 5}
"""Parts that a seed deals the queries into; each is held out once, and learnt about from the others."""
PARTIAL_SPLITS = 2
"""Splits of each seed on which partial logs are tried; each takes two more fits."""
GAINS: Mapping[str, tuple[str, str]] = {
    "vs_model_means_pct": ("default_quality", "model_means_quality"),
    "vs_knn5_point_pct": ("default_quality", "knn5_point_quality"),
    "vs_paper_knn40_q10_pct": ("default_quality", "knn40_q10_quality"),
    "knn5_q10_vs_point_pct": ("knn5_q10_quality", "knn5_point_quality"),
    "knn5_bagged_vs_point_pct": ("knn5_bagged_quality", "knn5_point_quality"),
    "knn5_bagged_by_halves_vs_point_pct": ("knn5_bagged_by_halves_quality", "knn5_point_quality"),
    "knn5_shrunk_vs_point_pct": ("knn5_shrunk_quality", "knn5_point_quality"),
}
"""What is compared with what, in percent."""
PARTIAL_GAINS: Mapping[str, tuple[str, str]] = {
    f"partial_{logging}_vs_{name}_pct": (f"partial_{logging}_quality", theirs.format(logging))
    for logging in ("uniform", "skewed")
    for name, theirs in (("full", "default_quality"), ("means", "partial_{}_means_quality"))
}
"""The same of partial logs: against full feedback on the same splits, and against means of the same logs."""
XGBOOST = find_spec("xgboost") is not None
BOOSTED_REFITS = 20
"""Bootstrap refits of XGBoost on the one split where it is bagged; the paper makes 100 at five times the time."""


def bench_predict(
    outcomes_file: Path, full: bool = False, *, splits: str = "halves", seeds: Sequence[int] = SEEDS, jobs: int = 2
) -> dict[str, Any]:
    """Measure the default predictor against what it must beat, on held-out queries.

    Two halves or five folds of the queries for each seed; batches of 100 in permuted order; five budgets; predicted
    costs with the 95 % margin; no capacity. Nothing is tuned on what is held out: robust level, shrinkage and margin
    are learnt inside each training part.

    Parameters
    ----------
    outcomes_file : Path
        The public wide format (Parquet or CSV), or outcomes under contract: a root of ``dt=*`` partitions, one
        partition, or a file in one.
    full : bool
        Add every predictor × robust method, in distribution and with a task left out, and the paper's XGBoost.
    splits : str
        One of `PARTS`.
    seeds : sequence of int
    jobs : int
        Processes.

    Returns
    -------
    dict
        Means over splits, and ratios of such means in percent; ``standard_errors`` and ``intervals_95`` by the same
        keys; ``tables`` if ``full``. Shares over budget are None for a partial log, which does not say what a plan
        would have cost.

    Raises
    ------
    ContractError
        If the file breaks its contract or holds too few queries.
    """
    start = time.perf_counter()
    labels, prices = read_labels(outcomes_file)
    parts = PARTS[splits]
    held_out = list(_split_by(labels, prices, parts, seeds))
    some = [i for i in range(len(held_out)) if i % parts < PARTIAL_SPLITS]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        whole = list(pool.map(headline, held_out))
        logged = list(pool.map(partial, [held_out[i] for i in some])) if labels.complete else []
        tables = _tables(pool.map, labels, prices, held_out[0]) if full else {}
    report = _report(whole, GAINS)
    if logged:
        known = [whole[i] | row for i, row in zip(some, logged, strict=True)]
        report = _both(report, _report(logged, {}), _gains(known, PARTIAL_GAINS))
    for name in ("over_budget_share_95", "over_budget_share_99"):
        report[f"{name}_interval"] = report["intervals_95"][name]
    facts = {"queries": len(labels), "models": len(labels.models), "splits": len(held_out)}
    return facts | report | ({"tables": tables} if full else {}) | {"seconds": round(time.perf_counter() - start, 1)}


def read_labels(path: Path) -> tuple[Labels, NDArray[np.float64]]:
    """Queries × models from a wide file or from outcome partitions, and the prices costs are planned at.

    Raises
    ------
    ContractError
        If there are fewer queries than the folds need.
    """
    history = read_history(path)
    least = BATCH * max(PARTS.values())
    if len(history.labels) < least:
        raise ContractError(f"{path}: the benchmark needs {least} usable queries, got {len(history.labels)}")
    return history.labels, history.prices()


def _split_by(labels: Labels, prices: NDArray[np.float64], parts: int, seeds: Sequence[int]) -> Iterator[Split]:
    for seed in seeds:
        part = np.random.default_rng(seed).permutation(len(labels)) % parts
        for held in range(parts):
            yield _split(labels, prices, part == held, seed)


def _split(labels: Labels, prices: NDArray[np.float64], test: NDArray[np.bool_], seed: int) -> Split:
    return Split(labels.take(np.flatnonzero(~test)), labels.take(np.flatnonzero(test)), prices, seed)


def _report(rows: Sequence[dict[str, float]], gains: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    return _both(_summary(rows), _gains(rows, gains))


def _both(*reports: dict[str, Any]) -> dict[str, Any]:
    """Reports as one, with the standard errors and intervals of all."""
    whole: dict[str, Any] = {}
    for report in reports:
        nested = {key: whole.get(key, {}) | report[key] for key in ("standard_errors", "intervals_95")}
        whole |= report | nested
    return whole


def _drawn(n_rows: int) -> NDArray[np.int64]:
    """Bootstrap samples of the splits, the same for all figures: ndarray of int64, shape (2000, n_rows)."""
    return np.random.default_rng(0).integers(0, n_rows, (2000, n_rows))


def _summary(rows: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Mean, standard error and 95 % bootstrap interval over splits of each figure; None where a split knows none."""
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    drawn = _drawn(len(rows))
    return {
        **{name: _known(values.mean()) for name, values in table.items()},
        "standard_errors": {name: _known(v.std(ddof=1) / np.sqrt(len(v))) for name, v in table.items()},
        "intervals_95": {name: _interval(values[drawn].mean(axis=1)) for name, values in table.items()},
    }


def _gains(rows: Sequence[dict[str, float]], of: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """By how many percent one mean is above another, paired by split; the standard error is that of the bootstrap."""
    drawn = _drawn(len(rows))
    whole, resampled = {}, {}
    for name, pair in of.items():
        ours, theirs = (np.array([row[figure] for row in rows]) for figure in pair)
        whole[name] = float(100 * (ours.mean() / theirs.mean() - 1))
        resampled[name] = 100 * (ours[drawn].mean(axis=1) / theirs[drawn].mean(axis=1) - 1)
    return {
        **whole,
        "standard_errors": {name: float(values.std()) for name, values in resampled.items()},
        "intervals_95": {name: _interval(values) for name, values in resampled.items()},
    }


def _interval(values: NDArray[np.float64]) -> list[float | None]:
    return [_known(end) for end in np.quantile(values, [0.025, 0.975])]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _tables(mapped: Any, labels: Labels, prices: NDArray[np.float64], split: Split) -> dict[str, Any]:
    """Every predictor × method, on one split and with each task left out in turn."""
    tasks = labels.task.astype(str)
    without = {str(task): _split(labels, prices, tasks == task, 0) for task in np.unique(tasks)}
    runs = {"in distribution": split} | {f"without {task}": held for task, held in without.items()}
    found = mapped(_every_method, runs.values(), [BOOSTED_REFITS] + [0] * len(without))
    return dict(zip(runs, found, strict=True)) | ({} if XGBOOST else {"left out": "xgboost: pip install xgboost-cpu"})


def _every_method(split: Split, refits: int) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for predictor, method, quality in every_method(split, refits):
        table.setdefault(predictor, {})[method] = quality
    return table
