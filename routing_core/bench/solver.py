"""How fast and how well nights and batches are solved, on four families and on estimates from real data.

A night is solved in a fresh process that only loads it: its time is a ratio to one ``argmax(axis=1)`` over the same
matrix in the same process, its memory is the operating system's high-water mark. Batches of the paper's size are
compared, in the same run, with the same model solved by HiGHS and by CVXPY + SCIP at a gap of 1 %.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing_core.bench.memory import peak_rss_mib
from routing_core.route.parameters import Parameters
from routing_core.route.problem import UNLIMITED, Problem
from routing_core.route.solve import solve
from routing_core.route.verify import verify
from routing_core.route.waves import solve_arrival

SEED = 20261123
REPEATS = 5
"""Timings of the argmax pass, of which the best counts."""
BATCH = 100
RIVAL_BATCHES = 10
RIVAL_GAP = 0.01
VARIED_QUALITY, VARIED_COST = 0.02, 0.1
"""Standard deviations of what tells a drawn query from the real one: quality, and log-cost."""
COLUMNS = (
    "family",
    "queries",
    "models",
    "seconds",
    "argmax_seconds",
    "argmax_ratio",
    "gap",
    "feasible",
    "passes",
    "core_queries",
    "peak_rss_mib",
    "inputs_mib",
)
BATCH_COLUMNS = (
    "family",
    "queries",
    "models",
    "batches",
    "ms_per_batch",
    "ms_single",
    "ms_highs",
    "ms_cvxpy_scip",
    "scip_per_batch",
    "scip_single",
    "gap_median",
    "gap_p90",
    "gap_worst",
    "exact_batches",
    "feasible",
)


@dataclass(frozen=True, slots=True)
class Family:
    """How scarce money and room are.

    Attributes
    ----------
    budget : float
        Share of what the best answer to every query costs.
    room : float or None
        Room of all models together, a share of the queries, unevenly spread; None is no limit.
    """

    budget: float
    room: float | None


FAMILIES: Mapping[str, Family] = {
    "loose": Family(0.95, None),
    "binding": Family(0.35, 1.3),
    "per_model": Family(0.6, 1.05),
    "very_tight": Family(0.08, 0.5),
}


ALWAYS = ("loose", "binding", "per_model")
"""Families whose batches are solved by the thousand."""


def estimates(n: int, m: int, seed: int = SEED) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Synthetic quality and cost: models of rising skill and price, queries of unlike difficulty and length.

    Returns
    -------
    quality : ndarray of float32, shape (n, m), in [0, 1]
    cost : ndarray of float32, shape (n, m), USD
    """
    quality, cost = np.empty((n, m), np.float32), np.empty((n, m), np.float32)
    for rows, better, dearer in estimate_blocks(n, m, seed):
        quality[rows], cost[rows] = better, dearer
    return quality, cost


def estimate_blocks(
    n: int, m: int, seed: int = SEED
) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.float64]]]:
    """The same by blocks of rows: which rows, their quality, their cost."""
    rng = np.random.default_rng(seed)
    skill, price = np.linspace(0.35, 0.9, m), 5e-5 * np.geomspace(1, 150, m) * rng.uniform(0.7, 1.4, m)
    for start in range(0, n, 1 << 16):
        rows = min(1 << 16, n - start)
        logit = 4 * (skill - rng.beta(2, 2, (rows, 1))) + rng.normal(0, 0.8, (rows, m))
        length = rng.lognormal(0, 0.7, (rows, 1)) * rng.lognormal(0, 0.25, (rows, m))
        yield slice(start, start + rows), 1 / (1 + np.exp(-logit)), price * length


def instance(
    family: Family, quality: NDArray[np.float32], cost: NDArray[np.float32], batches: int = 1, seed: int = SEED
) -> Problem:
    """A night of a family over given estimates."""
    rng = np.random.default_rng(seed + 1)
    n, m = quality.shape
    best = float(cost[np.arange(n), quality.argmax(axis=1)].sum(dtype=np.float64))
    capacity = np.full(m, UNLIMITED)
    if family.room is not None:
        capacity = np.ceil(family.room * n / batches * rng.dirichlet(np.full(m, 3.0))).astype(np.int64)
    penalty = rng.choice(np.array([0.02, 0.05, 0.1]), n)
    return Problem(quality, cost, penalty, family.budget * best, capacity, batches)


def bench_solver(queries: int, models: int, families: Sequence[str] = tuple(FAMILIES)) -> list[dict[str, Any]]:
    """Solve one night of each family in a process of its own.

    Returns
    -------
    list of dict
        One row per family, with the keys of ``COLUMNS``.
    """
    quality, cost = estimates(queries, models)
    return [_solved_apart(name, instance(FAMILIES[name], quality, cost)) for name in families]


def bench_real(table: Path, queries: int) -> list[dict[str, Any]]:
    """The same on nights drawn from estimates of real queries, as they are and varied a little.

    As they are, each of a few thousand rows stands in the night hundreds of times: ties as no real night has them.
    """
    quality, cost = real_estimates(table)
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(0, len(quality), queries)
    quality, cost = quality[drawn], cost[drawn]
    tied = [_solved_apart(f"{name} (real, repeated)", instance(one, quality, cost)) for name, one in FAMILIES.items()]
    quality = np.clip(quality + rng.normal(0, VARIED_QUALITY, quality.shape), 0, 1).astype(np.float32)
    cost = (cost * rng.lognormal(0, VARIED_COST, cost.shape)).astype(np.float32)
    return [_solved_apart(f"{name} (real)", instance(one, quality, cost)) for name, one in FAMILIES.items()] + tied


def _solved_apart(name: str, problem: Problem) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        for field in ("quality", "cost", "penalty", "capacity"):
            np.save(Path(folder) / field, getattr(problem, field))
        call = "import sys; from routing_core.bench.solver import solve_saved; solve_saved(*sys.argv[1:])"
        command = [sys.executable, "-c", call, folder, repr(problem.budget)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {"family": name, **json.loads(done.stdout)}


def solve_saved(folder: str, budget: str) -> None:
    """Load a night, time argmax and solve, print the row: what the fresh process runs."""
    arrays = {field: np.load(Path(folder) / f"{field}.npy") for field in ("quality", "cost", "penalty", "capacity")}
    inputs = sum(array.nbytes for array in arrays.values()) / 2**20
    quality = arrays["quality"]
    solve(Problem(quality[:2000], arrays["cost"][:2000], arrays["penalty"][:2000], 1.0, arrays["capacity"]))
    problem = Problem(**arrays, budget=float(budget))
    argmax = min(_seconds(lambda: quality.argmax(axis=1)) for _ in range(REPEATS))
    start = time.perf_counter()
    solution = solve(problem)
    seconds, peak = time.perf_counter() - start, peak_rss_mib()
    row = {
        "queries": len(problem),
        "models": problem.n_models,
        "seconds": round(seconds, 4),
        "argmax_seconds": round(argmax, 5),
        "argmax_ratio": round(seconds / argmax, 1),
        "gap": solution.gap,
        "feasible": verify(problem, solution).ok,
        "passes": solution.passes,
        "core_queries": solution.core_queries,
        "peak_rss_mib": peak,
        "inputs_mib": round(inputs, 1),
    }
    print(json.dumps(row))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bench_batches(
    models: int,
    batches: int,
    families: Sequence[str] = tuple(FAMILIES),
    *,
    table: Path | None = None,
    parameters: Parameters = Parameters(gap=5e-3),  # noqa: B008 — frozen
) -> list[dict[str, Any]]:
    """Batches of a hundred queries, solved together and singly, against HiGHS and CVXPY + SCIP on the same ones.

    Parameters
    ----------
    models, batches : int
    families : sequence of str
    table : path or None
        Draw the queries from estimates of this RouterBench table instead.
    parameters : Parameters

    Returns
    -------
    list of dict
        One row per family, with the keys of ``BATCH_COLUMNS``; times are medians, milliseconds.
    """
    n = BATCH * batches
    quality, cost = estimates(n, models) if table is None else real_estimates(table)
    drawn = np.arange(n) if table is None else np.random.default_rng(SEED).integers(0, len(quality), n)
    suffix = "" if table is None else " (real)"
    rows = []
    for name in families:
        night = instance(FAMILIES[name], quality[drawn], cost[drawn], batches)
        rows.append({"family": name + suffix, **_batches(night, parameters)})
    return rows


def _batches(night: Problem, parameters: Parameters) -> dict[str, Any]:
    batch_of = np.repeat(np.arange(1, night.batches + 1), BATCH)
    found = solve_arrival(night, batch_of, parameters)
    few = [_one_batch(night, b) for b in range(min(RIVAL_BATCHES, night.batches))]
    together = 1e3 * found.seconds / night.batches
    alike = replace(parameters, gap=RIVAL_GAP)
    single, highs, scip = (
        1e3 * float(np.median([_seconds(lambda b=b, f=f: f(b)) for b in few]))  # type: ignore[misc]
        for f in (lambda b: solve(b, alike), solve_by_highs, solve_by_scip)
    )
    return {
        "queries": BATCH,
        "models": night.n_models,
        "batches": night.batches,
        "ms_per_batch": round(together, 3),
        "ms_single": round(single, 2),
        "ms_highs": round(highs, 1),
        "ms_cvxpy_scip": round(scip, 1),
        "scip_per_batch": round(scip / together, 1),
        "scip_single": round(scip / single, 1),
        "gap_median": float(np.median(found.gap)),
        "gap_p90": float(np.quantile(found.gap, 0.9)),
        "gap_worst": float(found.gap.max()),
        "exact_batches": found.exact_batches,
        "feasible": verify(night, found.as_solution(night, parameters)).ok,
    }


EXACT = Parameters(gap=1e-6, core_effort=0.5)
"""An exact core within a limit on nodes, some hundreds of them, or half a unit of CP-SAT's deterministic time."""


def bench_exact(models: int, batches: int, family: str = "very_tight") -> dict[str, Any]:
    """Batches of a hundred solved exactly within a limit on nodes: how far each got.

    Returns
    -------
    dict
        ``proven`` counts the batches whose gap is at most ``asked_gap``; times are milliseconds.
    """
    night = instance(FAMILIES[family], *estimates(BATCH * batches, models), batches)
    gaps, times, feasible = [], [], True
    for b in range(batches):
        problem, start = _one_batch(night, b), time.perf_counter()
        found = solve(problem, EXACT)
        times.append(1e3 * (time.perf_counter() - start))
        gaps.append(found.gap)
        feasible &= verify(problem, found).ok
    return {
        "family": family,
        "queries": BATCH,
        "models": models,
        "batches": batches,
        "asked_gap": EXACT.gap,
        "effort": EXACT.core_effort,
        "proven": sum(gap <= EXACT.gap for gap in gaps),
        "gap_median": float(np.median(gaps)),
        "gap_p90": float(np.quantile(gaps, 0.9)),
        "gap_worst": max(gaps),
        "ms_median": round(float(np.median(times)), 1),
        "ms_worst": round(max(times), 1),
        "feasible": feasible,
    }


def _one_batch(night: Problem, b: int) -> Problem:
    rows = slice(b * BATCH, (b + 1) * BATCH)
    return Problem(
        night.quality[rows], night.cost[rows], night.penalty[rows], night.budget / night.batches, night.capacity
    )


def solve_by_highs(problem: Problem) -> float:
    """The batch as a mixed-integer model for HiGHS at a gap of 1 %: its objective."""
    from scipy import optimize, sparse

    n, m = problem.quality.shape
    gain = (problem.quality + problem.penalty[:, None]).astype(np.float64)
    decide = sparse.kron(sparse.eye(n), np.ones((1, m)))
    room = sparse.kron(np.ones((1, n)), sparse.eye(m))
    limits = np.concatenate([np.ones(n), np.minimum(problem.capacity, n), [problem.budget]])
    rows = sparse.vstack([decide, room, sparse.csr_matrix(problem.cost.astype(np.float64).reshape(1, -1))])
    found = optimize.milp(
        -gain.ravel(),
        constraints=optimize.LinearConstraint(rows, ub=limits),
        integrality=np.ones(n * m),
        bounds=optimize.Bounds(0, 1),
        options={"mip_rel_gap": RIVAL_GAP},
    )
    return float(-found.fun - problem.penalty.sum())


def solve_by_scip(problem: Problem) -> float:
    """The batch as a CVXPY model for SCIP at a gap of 1 %: its objective."""
    import cvxpy as cp

    x = cp.Variable(problem.quality.shape, boolean=True)
    gain = (problem.quality + problem.penalty[:, None]).astype(np.float64)
    limits = [
        cp.sum(x, axis=1) <= 1,
        cp.sum(x, axis=0) <= np.minimum(problem.capacity, len(problem)),
        cp.sum(cp.multiply(problem.cost.astype(np.float64), x)) <= problem.budget,
    ]
    model = cp.Problem(cp.Maximize(cp.sum(cp.multiply(gain, x))), limits)
    model.solve(solver=cp.SCIP, scip_params={"limits/gap": RIVAL_GAP})
    return float(model.value - problem.penalty.sum())


def real_estimates(table: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Out-of-fold nearest-neighbour estimates over RouterBench's wide table.

    Parameters
    ----------
    table : path
        Parquet with ``prompt``, one column of quality per model and one named ``<model>|total_cost``.
    """
    import pandas as pd
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.neighbors import KNeighborsRegressor

    frame = pd.read_parquet(table)
    models = [column.removesuffix("|total_cost") for column in frame.columns if column.endswith("|total_cost")]
    frame = frame.dropna(subset=[*models, *(f"{j}|total_cost" for j in models)])
    words = TfidfVectorizer(max_features=20_000, sublinear_tf=True).fit_transform(frame["prompt"])
    features = TruncatedSVD(64, random_state=SEED).fit_transform(words)
    labels = np.hstack(
        [frame[models].to_numpy(np.float64), np.log(frame[[f"{j}|total_cost" for j in models]].to_numpy() + 1e-7)]
    )
    folds = KFold(5, shuffle=True, random_state=SEED)
    predicted = cross_val_predict(KNeighborsRegressor(40, weights="distance"), features, labels, cv=folds)
    quality, cost = predicted[:, : len(models)], np.exp(predicted[:, len(models) :])
    return np.clip(quality, 0, 1).astype(np.float32), cost.astype(np.float32)


def render_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table."""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(_shown(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2e}" if 0 < abs(value) < 1e-2 else f"{value:g}"
    return "yes" if value is True else "no" if value is False else str(value)


def write_results(
    path: Path,
    nights: Sequence[Mapping[str, Any]] | None,
    batches: Sequence[Mapping[str, Any]],
    exact: Sequence[Mapping[str, Any]],
    command: str,
) -> None:
    """Keep the tables, with the machine they were measured on; without nights, those that ``path`` holds stay."""
    head = path.read_text().partition("## Batches")[0] if nights is None else _about_nights(nights, command)
    path.write_text(
        f"""{head}## Batches of a hundred

{_machine()}. `ms_per_batch` when all are solved at once, to a gap of 0.5 %; `ms_single` one by one, to 1 %, as
HiGHS and CVXPY + SCIP. The last two ratios are how many times longer CVXPY + SCIP takes.

{render_table(batches)}

## Very tight batches, exactly

One by one to a gap of {EXACT.gap:g}, with at most `effort` of deterministic time for exact cores (CP-SAT's own count,
or 400 nodes of SCIP a unit, fewer over more than 240 kinds). `proven` counts the batches that reached the gap.

{render_table(exact)}
"""
    )


def _machine() -> str:
    import os

    cores = f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} cores"
    return f"{cores}, {platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}"


def _about_nights(nights: Sequence[Mapping[str, Any]], command: str) -> str:
    return f"""# Solver

{_machine()}. Made by `{command}`. Times drift with the machine; the ratios are taken within one run.

## Nights

`seconds` is one solve to a proven gap of 1e-6, `argmax_seconds` the best of {REPEATS} of one `argmax(axis=1)` over
the same float32 matrix. `peak_rss_mib` is the whole process, interpreter and inputs included. Rows marked *real* are
drawn from out-of-fold estimates of RouterBench queries, each varied a little; *repeated* ones are not varied, so
that every distinct row stands there hundreds of times.

{render_table(nights)}

"""


def run(
    path: Path | None = None, table: Path | None = None, *, nights_too: bool = True
) -> dict[str, list[dict[str, Any]]]:
    """The whole table: nights of a million and fewer, batches of a hundred, exact ones; kept in ``path`` if given."""
    nights = _nights(table) if nights_too else None
    batches = [row for m, count in ((11, 10_000), (20, 2000)) for row in bench_batches(m, count, ALWAYS)]
    batches += bench_batches(11, 200, ("very_tight",))
    if table is not None:
        batches += bench_batches(11, 2000, ALWAYS, table=table)
    exact = [bench_exact(11, 60)]
    if path is not None:
        write_results(path, nights, batches, exact, "routing bench solver")
    return {**({} if nights is None else {"nights": nights}), "batches": batches, "exact": exact}


def _nights(table: Path | None) -> list[dict[str, Any]]:
    sizes = ((1_000_000, 11), (1_000_000, 20), (100_000, 11), (10_000, 11))
    nights = [row for n, m in sizes for row in bench_solver(n, m)]
    return nights if table is None else nights + bench_real(table, 1_000_000)
