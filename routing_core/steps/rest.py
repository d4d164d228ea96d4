"""What has not been sent of a night, planned anew with what is left; what was sent stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing_core.errors import SettingsError
from routing_core.records.allocation import Allocation
from routing_core.records.assignments import DEFERRED
from routing_core.records.catalog import Catalog, Serving
from routing_core.route.admission import capacity_per_batch
from routing_core.route.parameters import Parameters
from routing_core.route.problem import Problem
from routing_core.route.solution import proven_gap
from routing_core.route.solve import solve
from routing_core.route.verify import verify
from routing_core.settings import Settings
from routing_core.steps import figures, plan
from routing_core.store.gather import Gathered
from routing_core.store.kept import Kept


@dataclass(frozen=True, slots=True)
class Loss:
    """What went missing since the night was planned.

    Attributes
    ----------
    withdrawn : frozenset of str
        Models that take no more queries.
    lost : mapping of str to int
        Instances lost, by self-hosted model.
    """

    withdrawn: frozenset[str]
    lost: Mapping[str, int]

    def and_before(self, options: Mapping[str, Any]) -> Loss:
        """The loss on top of the one in the options of the run before."""
        before: Mapping[str, int] = options.get("lose") or {}
        lost = {model: before.get(model, 0) + self.lost.get(model, 0) for model in {*before, *self.lost}}
        return Loss(self.withdrawn | frozenset(options.get("withdraw") or ()), lost)

    def check(self, catalog: Catalog, fleet: Allocation) -> None:
        """Refuse a loss that cannot be.

        Raises
        ------
        CatalogError, SettingsError
            Naming the model, the rule and the value.
        """
        for name in sorted(self.withdrawn):
            catalog.index(name)
        for name, count in sorted(self.lost.items()):
            if catalog.models[catalog.index(name)].serving is not Serving.SELF_HOSTED:
                raise SettingsError(f"lose: {name} is an api model and has no instances", remedy=f"--withdraw {name}")
            running = fleet.instances.get(name, 0)
            if not 0 < count <= running:
                raise SettingsError(f"lose: {name} has {running} instances that night; it cannot lose {count} in all")

    def fleet(self, fleet: Allocation) -> Allocation:
        """The instances that are left."""
        gone = {
            name: count if name in self.withdrawn else self.lost.get(name, 0) for name, count in fleet.instances.items()
        }
        return replace(fleet, instances={name: count - gone[name] for name, count in fleet.instances.items()})

    def capacity(self, catalog: Catalog, fleet: Allocation, batch_minutes: float) -> tuple[int | None, ...]:
        """Queries each model still takes in a batch; None is no limit."""
        left = self.fleet(fleet).instances
        return tuple(
            0 if model.name in self.withdrawn else capacity_per_batch(model, left.get(model.name, 0), batch_minutes)
            for model in catalog
        )


def decide(
    night: Gathered,
    kept: Kept,
    through: int,
    loss: Loss,
    catalog: Catalog,
    fleet: Allocation,
    settings: Settings,
    margin_of: Callable[[int], float],
    prices: NDArray[np.float64],
) -> figures.Explained:
    """Plan what is not kept over the batches after ``through``, and explain the night as a whole.

    The rest has what the kept leave of the planning budgets, and the capacity that is left in the batches after
    ``through``. It is planned as one problem, however the batches were formed at first.

    Parameters
    ----------
    night : Gathered
        The whole night.
    kept : Kept
    through : int
        Last batch of which anything was sent.
    loss : Loss
    catalog, fleet, settings, margin_of, prices
        As for :func:`routing_core.steps.plan.make` and :func:`routing_core.steps.figures.explain`; ``fleet`` is the
        one the night was planned with.

    Raises
    ------
    SolverError
        If the solution of the rest does not survive verification.
    """
    whole = plan.make_empty(night, catalog, fleet, settings, margin_of)
    rows = np.flatnonzero(~kept.fixed)
    left = replace(whole, capacity=loss.capacity(catalog, fleet, settings.batch_minutes))
    rest = _rows_of(night, rows, through, settings.batches)
    if len(rows):
        problem = _pose(rest, night, kept, left, settings, through)
        solution = solve(problem, Parameters(gap=settings.gap, seed=settings.seed))
        verify(problem, solution, settings.gap).raise_if_broken()
        left = replace(left, problem=problem, solution=solution, propensity=np.ones(len(rows)))
    planned = settings.model_copy(update={"batching": "planned"})
    explained = figures.explain(left, rest, catalog, loss.fleet(fleet), planned, prices)
    decided = _together(kept, rows, explained.decided, through)
    tables = figures.served_tables(
        whole, night, decided["model"], decided["batch"], catalog, loss.fleet(fleet), settings, prices
    )
    for row, slots in zip(tables["run_models"], left.capacity, strict=True):
        row["capacity_left_per_batch"] = slots
    receipts = []
    if left.problem is not None and left.solution is not None:
        lines = figures.receipt_rows(left.problem, left.solution.model, rest, catalog.names, planned)
        receipts = [{**row, "words": f"of what was left: {row['words']}"} for row in lines]
    return figures.Explained(
        decided,
        {**explained.figures, **_figures(night, kept, decided["model"], explained.figures)},
        {**explained.tables, **tables, "receipts": receipts},
    )


def _rows_of(night: Gathered, rows: NDArray[np.int64], through: int, batches: int) -> Gathered:
    """Some queries of a night, their batches counted from the first that is left."""
    return replace(
        night,
        mean_quality=night.mean_quality[rows],
        lower_quality=night.lower_quality[rows],
        cost_usd=night.cost_usd[rows],
        careful_quality=night.careful_quality[rows],
        unfamiliar=night.unfamiliar[rows],
        eligible=night.eligible[rows],
        penalty=night.penalty[rows],
        last_batch=np.clip(night.last_batch[rows] - through, 0, batches - through).astype(np.int32),
        team=night.team[rows],
        arrival=np.arange(len(rows)),
    )


def _pose(rest: Gathered, night: Gathered, kept: Kept, left: plan.Plan, settings: Settings, through: int) -> Problem:
    sent = np.flatnonzero(kept.fixed & (kept.decided["model"] != DEFERRED))
    paid = night.cost_usd[sent, kept.decided["model"][sent]].astype(np.float64)
    teams = plan.team_budgets(settings)
    mine = night.team[sent] >= 0
    paid_by = np.bincount(night.team[sent][mine], paid[mine], minlength=len(teams))
    return plan.pose(
        rest,
        left.capacity,
        max(0.0, left.budget - float(paid.sum())),
        np.maximum(0.0, teams / left.team_margin - paid_by),
        # A night whose last batch has begun has none left; the one posed stands empty, for all are too late for it.
        max(1, settings.batches - through),
    )


def _together(
    kept: Kept, rows: NDArray[np.int64], planned: Mapping[str, NDArray[Any]], through: int
) -> dict[str, NDArray[Any]]:
    """The decisions of the night: those kept, and those of the rest in the night's own batches."""
    decided = {name: values.copy() for name, values in kept.decided.items()}
    for name, values in planned.items():
        decided[name][rows] = values
    later = planned["batch"]
    decided["batch"][rows] = np.where(later > 0, later + through, 0)
    return decided


def _figures(night: Gathered, kept: Kept, model: NDArray[np.int16], planned: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of the whole night; its bound is over all plans that keep what is kept."""
    sent = np.flatnonzero(kept.fixed & (model != DEFERRED))
    waiting = np.flatnonzero(kept.fixed & (model == DEFERRED))
    fixed = float(night.lower_quality[sent, model[sent]].sum(dtype=np.float64))
    fixed -= float(night.penalty[waiting].sum(dtype=np.float64))
    objective, bound = planned["objective"] + fixed, planned["bound"] + fixed
    return {
        **figures.served_figures(night, model),
        "objective": objective,
        "bound": bound,
        "gap": proven_gap(objective, bound, float(night.penalty.sum(dtype=np.float64))),
    }
