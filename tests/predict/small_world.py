"""A small world with known skills: three models, two tasks, difficulty that the text gives away."""

from __future__ import annotations

import numpy as np

from routing_core.records.outcomes import Outcomes
from routing_core.records.queries import Queries

MODELS = ("small", "middle", "large")
PRICES = np.array([[0.1, 0.2], [0.5, 1.0], [2.0, 8.0]]) / 1e6
SKILL = {"code": (0.1, 0.5, 0.8), "chat": (0.6, 0.7, 0.75)}
_EASY = ["add", "list", "simple", "word", "hello", "short", "count"]
_HARD = ["integral", "manifold", "concurrency", "quantum", "theorem", "lattice", "proof"]


def make_queries(n: int, seed: int, embedding: np.ndarray | None = None) -> tuple[Queries, np.ndarray, np.ndarray]:
    """Queries with the true chance of a right answer and the answer lengths, each (n, 3)."""
    rng = np.random.default_rng(seed)
    hard = rng.random(n) < 0.5
    task = np.where(rng.random(n) < 0.5, "code", "chat").astype(object)
    words = [rng.choice(_HARD if h else _EASY, rng.integers(5, 20)) for h in hard]
    prompt = [f"{t} question number {i} about {' '.join(w)}" for i, (t, w) in enumerate(zip(task, words, strict=True))]
    chance = np.clip(np.array([SKILL[t] for t in task]) + np.where(hard, -0.3, 0.2)[:, None] * [1.0, 0.8, 0.3], 0, 1)
    length = np.array([len(w) for w in words])
    tokens = np.round(length[:, None] * [4, 8, 16] * np.exp(rng.normal(0, 0.3, (n, 3)))).astype(np.int64)
    never = np.full(n, np.datetime64("NaT", "us"))
    queries = Queries(
        query_id=np.array([f"{seed}-{i:06d}" for i in range(n)], dtype=object),
        task=task,
        prompt=prompt,
        input_tokens=length.astype(np.int64) + 5,
        embedding=embedding,
        priority=np.ones(n),
        deadline=never,
        max_cost_usd=np.full(n, np.inf),
        min_quality=np.zeros(n),
        team=np.full(n, None, object),
        allowed_models=[None] * n,
        denied_models=[None] * n,
        required_tags=[None] * n,
        submitted_at=never,
        first_dt=np.full(n, np.datetime64("2026-11-20", "D")),
    )
    return queries, chance, tokens


def make_outcomes(n: int, seed: int, *, logged: str = "all", days: int = 10) -> Outcomes:
    """Outcomes of ``n`` queries over ``days`` that end on 2026-11-20; ``logged`` is all or one model per query."""
    queries, chance, tokens = make_queries(n, seed)
    rng = np.random.default_rng(seed + 1)
    right = (rng.random((n, 3)) < chance).astype(np.float32)
    answered = np.ones((n, 3), bool)
    if logged == "one":
        answered = np.arange(3) == rng.integers(0, 3, n)[:, None]
    i, j = np.nonzero(answered)
    at = np.datetime64("2026-11-20", "us") + (np.arange(n) % days * -86_400_000_000).astype("timedelta64[us]")
    cost = queries.input_tokens[i] * PRICES[j, 0] + tokens[i, j] * PRICES[j, 1]
    return Outcomes(
        query_id=queries.query_id[i],
        task=queries.task[i],
        prompt=[queries.prompt[k] for k in i],
        model=np.array(MODELS, object)[j],
        quality=right[i, j],
        input_tokens=queries.input_tokens[i],
        output_tokens=tokens[i, j],
        cost_usd=cost,
        propensity=np.full(len(i), 1.0 if logged == "all" else 1 / 3),
        logged_at=at[i],
    )
