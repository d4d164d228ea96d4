"""A whole backtest: read the history, replay its nights, hold every duel, say what came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
from numpy.typing import NDArray

from routing_core.backtest.comparisons import Comparison, compare
from routing_core.backtest.duels import Duel, allocation_duels, routing_duels
from routing_core.backtest.history import History, read_history
from routing_core.backtest.replay import BATCH, Night, Plan, plan_nights, replay
from routing_core.backtest.stage import Caps, Order, set_stage
from routing_core.errors import ContractError
from routing_core.predict.judge import LEAST_EFFECTIVE
from routing_core.predict.recipe import DEFAULT, Recipe
from routing_core.records.catalog import Catalog, Model, Serving
from routing_core.workload.tiers import GPU_TYPE, fleet_catalog

BUDGETS = (1.5e-4, 3e-4, 6e-4, 1.2e-3, 2.5e-3)
"""USD per query, where a history's models cost such sums."""
ROWS = 6000
"""Queries of all nights together up to which a log's own nights are repeated with other orders."""
_METHODS = {"none": "the mean itself"}


@dataclass(frozen=True, slots=True)
class Backtest:
    """What a backtest found.

    Attributes
    ----------
    outcomes : str
        The file.
    comparisons : tuple of Comparison
    queries, models : int
        Of the history.
    nights : tuple of str
        Replayed.
    seeds : tuple of int
    batch : int
        Queries that run together.
    notes : tuple of str
        What a reader must know: how days came about, what was left out and why.
    seconds : float
    """

    outcomes: str
    comparisons: tuple[Comparison, ...]
    queries: int
    models: int
    nights: tuple[str, ...]
    seeds: tuple[int, ...]
    batch: int
    notes: tuple[str, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The backtest as plain data."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return plain | {"comparisons": [line.as_dict() for line in self.comparisons]}


@dataclass(frozen=True, slots=True)
class Options:
    """How to replay.

    Attributes
    ----------
    seeds : tuple of int
        Of the draws, where the history has no days; of the order queries come in.
    nights : int
        Nights of a log, or of each draw.
    budgets : tuple of float, USD per query, or None
        By default :data:`BUDGETS`; as many between the cheapest model's mean cost and the dearest's, where fewer than
        two of those lie there.
    gpus : int
        GPUs of each type for the fleets that are compared.
    catalog : Catalog or None
        What instances take; by default what the models' names tell, or their costs.
    recipe : Recipe
        Of the predictor, fitted anew before each night.
    jobs : int
        Processes.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    nights: int = 2
    budgets: tuple[float, ...] | None = None
    gpus: int = 16
    catalog: Catalog | None = None
    recipe: Recipe = DEFAULT
    jobs: int = 2


@dataclass(frozen=True, slots=True)
class _World:
    """What every duel needs."""

    history: History
    nights: tuple[Night, ...]
    catalog: Catalog
    gpu_budget: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Task:
    """Duels that are held together, in one process; without caps, those of fleets."""

    order: Order
    caps: Caps
    budget: float


def run_backtest(outcomes: Path, options: Options = Options()) -> Backtest:
    """Replay an outcome history and compare.

    Parameters
    ----------
    outcomes : Path
        As :func:`~routing_core.backtest.history.read_history` takes.
    options : Options

    Raises
    ------
    ContractError
        If the history cannot be read, is too short, or logs too few of the answers that plans choose.
    """
    start = time.perf_counter()
    history = read_history(outcomes)
    plans = plan_nights(history, options.seeds, options.nights)
    nights = _repeated(replay(history, plans, recipe=options.recipe, jobs=options.jobs), options.seeds)
    catalog = _catalog(history, options.catalog)
    world = _World(
        history, tuple(nights), catalog, dict.fromkeys({m.gpu_type or GPU_TYPE for m in catalog}, options.gpus)
    )
    hosted = any(model.serving is Serving.SELF_HOSTED for model in catalog)
    budgets = options.budgets or budgets_of(history)
    duels, effective = _hold(world, list(_tasks(budgets, hosted)), options.jobs)
    if effective < LEAST_EFFECTIVE:
        raise ContractError(
            f"{outcomes}: the log shows too few of the answers that plans choose, {effective:.0f} effective, "
            f"{LEAST_EFFECTIVE:.0f} needed",
            remedy="log with exploration, or replay more nights (--nights)",
        )
    return Backtest(
        outcomes=str(outcomes),
        comparisons=tuple(compare(duels)),
        queries=len(history.labels),
        models=len(history.labels.models),
        nights=tuple(night.name for night in nights),
        seeds=options.seeds,
        batch=BATCH,
        notes=tuple(_notes(history, plans, nights, hosted, effective)),
        seconds=round(time.perf_counter() - start, 1),
    )


def _repeated(nights: list[Night], seeds: Sequence[int]) -> list[Night]:
    """A log's own nights once for each seed, in other orders, as long as they are not too many queries."""
    if len({night.seed for night in nights}) > 1:
        return nights
    copies = max(1, min(len(seeds), ROWS // sum(len(night.rows) for night in nights)))
    return [replace(night, seed=seed) for seed in seeds[:copies] for night in nights]


def _catalog(history: History, given: Catalog | None) -> Catalog:
    """The history's models in its order, as the catalog given has them; others by what their names and costs tell."""
    tiered = fleet_catalog(history.labels.models, _mean_cost(history)[None])
    if given is None:
        return tiered
    known: dict[str, Model] = {model.name: model for model in given}
    return Catalog(tuple(known.get(model.name, model) for model in tiered))


def budgets_of(history: History) -> tuple[float, ...]:
    """Budgets that bind on a history, USD per query: what it is asked about, and nothing that decides."""
    mean = _mean_cost(history)
    low, high = float(mean[mean > 0].min(initial=np.inf)), float(mean.max())
    if not low < high or sum(low < usd < high for usd in BUDGETS) > 1:
        return BUDGETS
    return tuple(float(f"{usd:.2g}") for usd in np.geomspace(low, high, len(BUDGETS) + 2)[1:-1])


def _mean_cost(history: History) -> NDArray[np.float64]:
    """Mean cost of each model's answers, USD; 0 of a model that nobody saw."""
    with catch_warnings():
        simplefilter("ignore", RuntimeWarning)  # a model that nobody saw has no mean
        return np.nan_to_num(np.nanmean(history.paid, axis=0))


def _tasks(budgets: Sequence[float], hosted: bool) -> list[_Task]:
    """The longest first, so that no process waits long for the other."""
    fleets = [_Task(Order.RANDOM, Caps.FLEET, budget) for budget in budgets] if hosted else []
    capped = [_Task(order, Caps.TWICE_EVEN, budget) for budget in budgets for order in Order]
    return [*capped, *fleets, *(_Task(order, Caps.NONE, budget) for budget in budgets for order in Order)]


def _hold(world: _World, tasks: list[_Task], jobs: int) -> tuple[list[Duel], float]:
    """Hold all duels; and the least effective number of known answers that any rests on."""
    if jobs == 1:
        found = [_held(world, task) for task in tasks]
    else:
        with ProcessPoolExecutor(jobs, get_context("spawn"), _enter, (world,)) as pool:
            found = list(pool.map(_held_here, tasks))
    found = [part for _, part in sorted(zip(tasks, found, strict=True), key=lambda pair: _place(pair[0]))]
    return [duel for duels, _ in found for duel in duels], min(effective for _, effective in found)


def _place(task: _Task) -> tuple[int, int]:
    return list(Caps).index(task.caps), list(Order).index(task.order)


_world: _World | None = None


def _enter(world: _World) -> None:
    """Give a process the world once, not with every task."""
    global _world  # noqa: PLW0603 — a process has no other place for what it starts with
    _world = world


def _held_here(task: _Task) -> tuple[list[Duel], float]:
    assert _world is not None
    return _held(_world, task)


def _held(world: _World, task: _Task) -> tuple[list[Duel], float]:
    stage = set_stage(world.history, world.nights, task.order)
    if task.caps is Caps.FLEET:
        duels = list(allocation_duels(stage, world.nights, world.catalog, world.gpu_budget, task.budget))
    else:
        duels = routing_duels(stage, task.order, task.caps, task.budget)
    return duels, stage.answers.effective


def _notes(history: History, plans: list[Plan], nights: list[Night], hosted: bool, effective: float) -> list[str]:
    methods = Counter(night.method for night in nights).most_common()
    notes = [
        "The history has no days: each seed draws half of the queries as the past, the others are its nights."
        if plans[0].before is None
        else f"Nights are the log's own days: {plans[0].name} to {plans[-1].name}.",
        "The lower estimate that evidence chose before each night: "
        + ", ".join(f"{_METHODS.get(method, method)} ({count} of {len(nights)})" for method, count in methods)
        + ".",
    ]
    if not history.labels.complete:
        notes.append(
            "The log shows some answers only: realised figures are doubly robust estimates, on "
            f"{effective:.0f} effective answers at least."
        )
    if history.rejected:
        notes.append(f"{history.rejected} rows of the file are not used: incomplete, repeated or broken.")
    if history.left_out:
        notes.append(f"Models with too few scores are left out: {', '.join(history.left_out)}.")
    if not hosted:
        notes.append("No fleets are compared: the catalog has no model on GPUs of ours.")
    return notes
