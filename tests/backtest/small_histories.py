"""Small outcome histories whose truth is known, in both formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from routing_core.backtest.comparisons import Comparison, Margin
from routing_core.backtest.run import Backtest
from routing_core.predict.recipe import Recipe
from routing_core.route.baselines import Fallback

WORDS = ("lattice", "proof", "sum", "list", "hello", "quantum", "short", "verb", "colour", "matrix")
MODELS = ("small", "middle", "large")
QUICK = Recipe("quick", quality=("ridge",), dimensions=16)


def write_wide(file: Path, n: int, quality: np.ndarray, cost: np.ndarray, *, seed: int = 0) -> Path:
    """The wide format: prompts of two tasks, scores and costs of shape (n, 3)."""
    rng = np.random.default_rng(seed)
    prompts = [f"question {i}: " + " ".join(rng.choice(WORDS, rng.integers(3, 30))) for i in range(n)]
    columns = {
        "sample_id": [f"q{i:05d}" for i in range(n)],
        "prompt": prompts,
        "eval_name": [("code", "chat")[i % 2] for i in range(n)],
    }
    for j, name in enumerate(MODELS):
        columns |= {name: quality[:, j], f"{name}|total_cost": cost[:, j]}
    table = pa.table(columns)
    if file.suffix == ".csv":
        import pyarrow.csv as pacsv

        pacsv.write_csv(table, file)
    else:
        pq.write_table(table, file)
    return file


def trade_off_world(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Better models cost more, and half of the queries do not need them."""
    rng = np.random.default_rng(seed)
    hard = (np.arange(n) % 2 == 0)[:, None]
    chance = np.where(hard, [0.2, 0.5, 0.9], [0.8, 0.85, 0.9])
    cost = np.array([5e-5, 3e-4, 2e-3]) * np.exp(rng.normal(0, 0.4, (n, 3)))
    return (rng.random((n, 3)) < chance).astype(float), cost


def write_long(
    root: Path, n: int, *, days: int, logged: str = "all", seed: int = 0, spoil_from: int | None = None
) -> Path:
    """Outcomes under contract over ``days``; from day ``spoil_from`` on, all that was observed is another."""
    rng = np.random.default_rng(seed)
    quality, cost = trade_off_world(n, seed)
    tokens = np.round(cost / [1e-6, 5e-6, 3e-5]).astype(np.int64) + 1
    day = np.arange(n) * days // n
    prompts = np.array([f"question {i}: " + " ".join(rng.choice(WORDS, rng.integers(3, 30))) for i in range(n)])
    if spoil_from is not None:
        late = day >= spoil_from
        quality[late], tokens[late] = 1 - quality[late], tokens[late] * 7
    paid = tokens * np.array([1e-6, 5e-6, 3e-5])
    kept = np.ones((n, 3), bool) if logged == "all" else rng.integers(0, 3, n)[:, None] == np.arange(3)
    for k in range(days):
        i, j = np.nonzero(kept & (day == k)[:, None])
        at = np.datetime64("2026-05-01T12:00", "us") + np.timedelta64(k, "D")
        table = pa.table(
            {
                "query_id": pa.array([f"q{x:05d}" for x in i]),
                "task": pa.array([("code", "chat")[x % 2] for x in i]),
                "prompt": pa.array(prompts[i].tolist()),
                "model": pa.array(np.array(MODELS)[j].tolist()),
                "quality": quality[i, j],
                "input_tokens": np.full(len(i), 20),
                "output_tokens": tokens[i, j],
                "cost_usd": paid[i, j],
                "propensity": np.full(len(i), 1.0 if logged == "all" else 1 / 3),
                "logged_at": pa.array(np.full(len(i), at)).cast(pa.timestamp("us", "UTC")),
            }
        )
        folder = root / f"dt=2026-05-{k + 1:02d}"
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "part-0.parquet")
    return root


def made_up_backtest() -> Backtest:
    """Every kind of line with figures drawn at random: for what is made of a backtest, not for what it finds."""
    rng = np.random.default_rng(5)
    lines = []
    cells = [("robust_vs_point", o, "none", c) for o in _ORDERS for c in ("none", "twice_even")]
    cells += [("planned_vs_arrival", o, "none", c) for o in _ORDERS for c in ("none", "twice_even")]
    cells += [("batch_vs_per_query", o, f.value, c) for o in _ORDERS for c in ("none", "twice_even") for f in Fallback]
    cells += [(f"allocation_vs_{name}", "random", "none", "fleet") for name in ("uniform", "greedy")]
    for name, order, fallback, caps in cells:
        for usd in (3e-4, 1.2e-3, None):
            best = _margin(rng) if name == "batch_vs_per_query" else None
            planned = (0.8, 0.79) if name == "planned_vs_arrival" else None
            lines.append(Comparison(name, order, fallback, caps, usd, _margin(rng), best, planned))
    return Backtest("a <file>.parquet", tuple(lines), 700, 3, ("night 1",), (0,), 100, ("A note & more.",), 1.0)


_ORDERS = ("random", "task", "length", "predicted_spend")


def _margin(rng: np.random.Generator) -> Margin:
    theirs, gain, error = rng.uniform(0.3, 0.8), float(rng.normal(3, 20)), float(rng.uniform(0.2, 3))
    verdict = rng.choice(["gain", "loss", "no gain", "spend not matched"])
    return Margin(theirs * (1 + gain / 100), theirs, gain, error, 1.001, str(verdict))
