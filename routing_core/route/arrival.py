"""Arrival mode: batches as they come, each with its budget, many solved at once."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from routing_core.errors import ProblemError
from routing_core.records.assignments import DEFERRED
from routing_core.route.block import Block, to_models
from routing_core.route.coupling import couple
from routing_core.route.parameters import Parameters
from routing_core.route.prices import Descent, descend
from routing_core.route.problem import NO_TEAM, Problem
from routing_core.route.repair import Repair, round_shares
from routing_core.route.rows import Rows
from routing_core.route.solution import Prices, Solution, Status, proven_gap
from routing_core.route.solve import solve_nominal
from routing_core.route.threads import serial_blas

TOGETHER = 1 << 14
"""Queries of the batches that are solved together: their arrays stay in cache."""
LAST_TAU = 3e-5
"""Smoothing at which a batch's prices are near enough, quality units."""
STARTS = (0.0, 0.5)
"""Where roundings of the shares start, for batches whose gap the prices' own choice leaves too wide."""


class Money(StrEnum):
    """How the night's budget reaches its batches."""

    OWN = "own"
    """Each batch has its share by number of queries, and what it leaves is lost (the paper)."""
    CARRIED = "carried"
    """Each batch has its share and what those before it left."""
    NIGHT_PRICE = "night_price"
    """Each batch pays one price per USD, that of the whole night, until the night's budget is spent."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """Decisions of batches taken as they came.

    Attributes
    ----------
    model : ndarray of int16, shape (n_queries,)
    batch : ndarray of int32, shape (n_queries,)
        The batch a served query runs in, from 1; 0 where deferred.
    objective, bound : ndarray of float64, shape (n_batches,), quality units
        Of each batch by itself, under the budget it had, and given the night's price if there is one.
    gap : ndarray of float64, shape (n_batches,)
    budget, spend : ndarray of float64, shape (n_batches,), USD
    budget_price : ndarray of float64, shape (n_batches,), quality per USD
    capacity_price : ndarray of float64, shape (n_batches, n_models), quality per query
    team_price : ndarray of float64, shape (n_batches, n_teams), quality per USD
    load : ndarray of int64, shape (n_batches, n_models)
    exact_batches : int
        Batches whose gap was too wide when solved with others, so that they were solved by themselves.
    seconds : float
    """

    model: NDArray[np.int16]
    batch: NDArray[np.int32]
    objective: NDArray[np.float64]
    bound: NDArray[np.float64]
    gap: NDArray[np.float64]
    budget: NDArray[np.float64]
    spend: NDArray[np.float64]
    budget_price: NDArray[np.float64]
    capacity_price: NDArray[np.float64]
    team_price: NDArray[np.float64]
    load: NDArray[np.int64]
    exact_batches: int
    seconds: float

    def as_solution(self, problem: Problem, parameters: Parameters) -> Solution:
        """The night as one solution; its bound is that of the batches as they came, prices are means over them."""
        objective, bound = float(self.objective.sum()), float(self.bound.sum())
        gap = proven_gap(objective, bound, float(np.sum(problem.penalty, dtype=np.float64)))
        return Solution(
            model=self.model,
            batch=self.batch,
            objective=objective,
            bound=bound,
            gap=gap,
            prices=Prices(
                float(self.budget_price.mean()), self.capacity_price.mean(axis=0), self.team_price.mean(axis=0)
            ),
            spend=float(self.spend.sum()),
            load=self.load.sum(axis=0),
            status=Status.PROVEN if float(self.gap.max()) <= parameters.gap else Status.LIMITED,
            seconds={"batches": self.seconds},
        )


@dataclass(slots=True)
class _Books:
    """The arrays of an :class:`Arrival` while they fill."""

    model: NDArray[np.int16]
    objective: NDArray[np.float64]
    bound: NDArray[np.float64]
    spend: NDArray[np.float64]
    prices: NDArray[np.float64]
    """Of the budget, every model and every team, by batch."""
    exact_batches: int = 0


def solve_arrival(
    problem: Problem,
    batch_of: NDArray[np.integer],
    parameters: Parameters = Parameters(),  # noqa: B008 — frozen
    *,
    money: Money = Money.OWN,
    night_price: float = 0.0,
) -> Arrival:
    """Decide batches as they come.

    Parameters
    ----------
    problem : Problem
        The whole night. A batch of n_b queries gets ``budget · n_b / N``, and of each team's budget its share by the
        team's queries; ``capacity`` holds in each batch.
    batch_of : ndarray of int, shape (n_queries,), in [1, batches]
        The batch each query comes in. A query whose last batch is before cannot be served.
    parameters : Parameters
        Batches whose gap stays above ``gap`` are solved by themselves, ``core_effort`` each.
    money : Money
    night_price : float, quality per USD, at least 0
        With ``Money.NIGHT_PRICE``: what a planned night's budget was worth.

    Raises
    ------
    ProblemError
        If ``batch_of`` does not fit the problem, or budgeted uncertainty is asked for.
    """
    started = time.perf_counter()
    _check(problem, batch_of, night_price)
    order = np.argsort(batch_of, kind="stable")
    members = np.split(order, np.searchsorted(batch_of[order], np.arange(2, problem.batches + 1)))
    sizes = np.array([len(rows) for rows in members])
    budget = _shares(problem.budget, sizes, len(problem))
    in_time = problem if problem.last_batch is None else _in_time(problem, batch_of)
    teams = 0 if problem.team_budget is None else len(problem.team_budget)
    books = _Books(
        model=np.full(len(problem), DEFERRED, dtype=np.int16),
        objective=np.zeros(len(members)),
        bound=np.zeros(len(members)),
        spend=np.zeros(len(members)),
        prices=np.zeros((len(members), 1 + problem.n_models + teams)),
    )
    with serial_blas():
        if money is Money.OWN and problem.team is None:
            _solve_together(in_time, members, budget, parameters, books)
        else:
            budget = _solve_in_turn(in_time, members, budget, parameters, books, money, night_price)
    return _arrival(problem, batch_of, members, budget, books, time.perf_counter() - started)


def _check(problem: Problem, batch_of: NDArray[np.integer], night_price: float) -> None:
    if problem.robust:
        raise ProblemError("gamma: must be 0 in arrival mode, plan the night instead, got " + str(problem.gamma))
    if batch_of.shape != (len(problem),) or batch_of.dtype.kind not in "iu":
        raise ProblemError(
            f"batch_of: must be integers of shape ({len(problem)},), got {batch_of.dtype} {batch_of.shape}"
        )
    if batch_of.min() < 1 or batch_of.max() > problem.batches:
        raise ProblemError(f"batch_of: must be in [1, {problem.batches}], got [{batch_of.min()}, {batch_of.max()}]")
    if not (night_price >= 0 and math.isfinite(night_price)):
        raise ProblemError(f"night_price: must be finite and at least 0, got {night_price}")


def _shares(amount: float, sizes: NDArray[np.int64], total: int) -> NDArray[np.float64]:
    return amount * (sizes / total) if math.isfinite(amount) else np.full(len(sizes), math.inf)


def _in_time(problem: Problem, batch_of: NDArray[np.integer]) -> Problem:
    """The problem with late queries shut out of every model."""
    assert problem.last_batch is not None
    late = np.where(batch_of > problem.last_batch, 0, problem.batches).astype(np.int32)
    return replace(problem, last_batch=late)


def _solve_together(
    problem: Problem,
    members: list[NDArray[np.intp]],
    budget: NDArray[np.float64],
    parameters: Parameters,
    books: _Books,
) -> None:
    """Solve all batches in stacks of alike size, several stacks at a time."""
    rows = Rows(problem, couple(replace(problem, budget=math.inf)))
    stacks = list(_stacks(members))
    with ThreadPoolExecutor(parameters.workers) as pool:
        jobs = [pool.submit(_solve_stack, rows, members, stack, budget, parameters, books) for stack in stacks]
        books.exact_batches = sum(job.result() for job in jobs)


def _stacks(members: list[NDArray[np.intp]]) -> Iterator[NDArray[np.intp]]:
    """Batches of alike size, so many at a time as stay in cache."""
    sizes = np.array([len(rows) for rows in members])
    order = np.argsort(sizes, kind="stable")
    order = order[sizes[order] > 0]
    while len(order):
        count = max(1, TOGETHER // int(sizes[order[0]]))
        while count > 1 and sizes[order[min(count, len(order)) - 1]] > 1.25 * sizes[order[0]] + 4:
            count //= 2
        yield order[:count]
        order = order[count:]


def _solve_stack(
    rows: Rows,
    members: list[NDArray[np.intp]],
    stack: NDArray[np.intp],
    budget: NDArray[np.float64],
    parameters: Parameters,
    books: _Books,
) -> int:
    """Solve one stack into the books; how many of its batches were then solved by themselves."""
    block = _stack_block(rows, members, stack, budget[stack])
    served = block.value.max(axis=1).sum(axis=1) - block.value[:, -1].sum(axis=1)
    found = descend(block, tolerance=0.1 * max(parameters.gap, 1e-4) * np.maximum(served, 1e-9), last_tau=LAST_TAU)
    bound = block.bound(found.prices)
    bound += 1e-13 * (np.abs(bound) + block.value.shape[2] + np.einsum("pr,pr->p", found.prices, block.amount))
    choice, value = _best_whole(block, found, bound, parameters)
    hard = np.flatnonzero(_gaps(block, value, bound) > parameters.gap)
    for p in hard.tolist():
        batch = _batch_problem(rows.problem, members[stack[p]], float(budget[stack[p]]))
        _close(batch, p, choice, value, bound, parameters)
    _enter(rows, members, stack, block, choice, books)
    books.objective[stack], books.bound[stack], books.prices[stack] = value, np.maximum(bound, value), found.prices
    return len(hard)


def _stack_block(
    rows: Rows, members: list[NDArray[np.intp]], stack: NDArray[np.intp], budget: NDArray[np.float64]
) -> Block:
    """Batches as one block, filled up with queries that no model takes and that lose nothing by waiting."""
    m, longest = rows.problem.n_models, max(len(members[b]) for b in stack)
    value = np.full((len(stack), m + 1, longest), -np.inf)
    value[:, m] = 0.0
    cost = np.zeros_like(value)
    for p, b in enumerate(stack):
        value[p, :, : len(members[b])], cost[p, :, : len(members[b])] = rows.options(members[b])
    dear = cost > budget[:, None, None]
    value[dear], cost[dear] = -np.inf, 0.0
    amount = np.empty((len(stack), 1 + m))
    amount[:, 0] = np.minimum(budget, 2.0 * cost.max(axis=1).sum(axis=1) + 1e-300)
    amount[:, 1:] = np.minimum(rows.problem.capacity, longest)
    return Block(value, cost, amount, np.eye(1 + m)[None])


def _best_whole(
    block: Block, found: Descent, bound: NDArray[np.float64], parameters: Parameters
) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """The prices' own choice repaired, or a rounding of the shares where that leaves too wide a gap."""
    choice, value = _whole(block, found.prices, block.reduced(found.prices).argmax(axis=1).astype(np.int16))
    for offset in STARTS:
        poor = np.flatnonzero(_gaps(block, value, bound) > parameters.gap)
        if not len(poor):
            break
        part = block if len(poor) == len(value) else block.at(poor)
        other, reached = _whole(part, found.prices[poor], round_shares(found.shares[poor], offset))
        gains = reached > value[poor]
        choice[poor[gains]], value[poor[gains]] = other[gains], reached[gains]
    return choice, value


def _close(
    batch: Problem,
    p: int,
    choice: NDArray[np.int16],
    value: NDArray[np.float64],
    bound: NDArray[np.float64],
    parameters: Parameters,
) -> None:
    """Solve one batch by itself; arrays change in place."""
    found = solve_nominal(batch, parameters)
    if found.objective > value[p]:
        choice[p, : len(batch)] = np.where(found.model == DEFERRED, batch.n_models, found.model)
        value[p] = found.objective
    bound[p] = max(min(bound[p], found.bound), value[p])


def _whole(
    block: Block, prices: NDArray[np.float64], start: NDArray[np.int16]
) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Options that hold all limits, and their value; all deferred where repair finds none."""
    repair = Repair(block, start, prices)
    feasible = repair.run(4 * start.shape[1])
    repair.choice[~feasible] = block.n_models
    return repair.choice, repair.value()


def _gaps(block: Block, value: NDArray[np.float64], bound: NDArray[np.float64]) -> NDArray[np.float64]:
    """Proven gap of every batch: shape (n_problems,)."""
    penalties = -block.value[:, -1].sum(axis=1)
    return np.array([proven_gap(*figures) for figures in zip(value, bound, penalties, strict=True)])


def _enter(
    rows: Rows,
    members: list[NDArray[np.intp]],
    stack: NDArray[np.intp],
    block: Block,
    choice: NDArray[np.int16],
    books: _Books,
) -> None:
    for p, b in enumerate(stack):
        mine = choice[p, : len(members[b])]
        books.model[members[b]] = to_models(mine, block.n_models)
        books.spend[b] = float(block.cost[p, mine, np.arange(len(mine))].sum())


def _solve_in_turn(
    problem: Problem,
    members: list[NDArray[np.intp]],
    budget: NDArray[np.float64],
    parameters: Parameters,
    books: _Books,
    money: Money,
    night_price: float,
) -> NDArray[np.float64]:
    """Solve batch after batch, each with what those before it left; returns the budgets they had."""
    had = np.zeros(len(members))
    price = night_price if money is Money.NIGHT_PRICE else 0.0
    for b, rows in enumerate(members):
        due = {Money.OWN: budget[b], Money.CARRIED: budget[: b + 1].sum(), Money.NIGHT_PRICE: problem.budget}[money]
        had[b] = max(float(due) - (0.0 if money is Money.OWN else float(books.spend[:b].sum())), 0.0)
        if not len(rows):
            continue
        batch = _batch_problem(problem, rows, had[b])
        found = solve_nominal(batch, parameters, cost_price=price)
        books.model[rows], books.spend[b] = found.model, found.spend
        books.objective[b], books.bound[b] = found.objective, found.bound
        books.prices[b] = np.concatenate([[found.prices.budget + price], found.prices.capacity, found.prices.team])
    return had


def _batch_problem(problem: Problem, rows: NDArray[np.intp], budget: float) -> Problem:
    """One batch as a problem of its own, with its share of every team's budget."""
    team_budget = None
    if problem.team is not None and problem.team_budget is not None:
        count = np.bincount(problem.team[problem.team != NO_TEAM], minlength=len(problem.team_budget))
        here = problem.team[rows]
        mine = np.bincount(here[here != NO_TEAM], minlength=len(problem.team_budget))
        with np.errstate(invalid="ignore"):
            team_budget = np.where(mine > 0, problem.team_budget * (mine / np.maximum(count, 1)), 0.0)
    return Problem(
        quality=problem.quality[rows],
        cost=problem.cost[rows],
        penalty=problem.penalty[rows],
        budget=budget,
        capacity=problem.capacity,
        eligible=None if problem.eligible is None else problem.eligible[rows],
        team=None if problem.team is None else problem.team[rows],
        team_budget=team_budget,
        last_batch=None if problem.last_batch is None else np.minimum(problem.last_batch[rows], 1),
    )


def _arrival(
    problem: Problem,
    batch_of: NDArray[np.integer],
    members: list[NDArray[np.intp]],
    budget: NDArray[np.float64],
    books: _Books,
    seconds: float,
) -> Arrival:
    served = books.model != DEFERRED
    penalties = [float(np.sum(problem.penalty[rows], dtype=np.float64)) for rows in members]
    gaps = [proven_gap(*figures) for figures in zip(books.objective, books.bound, penalties, strict=True)]
    cell = (batch_of[served].astype(np.intp) - 1) * problem.n_models + books.model[served]
    load = np.bincount(cell, minlength=len(members) * problem.n_models).reshape(len(members), problem.n_models)
    return Arrival(
        model=books.model,
        batch=np.where(served, batch_of, 0).astype(np.int32),
        objective=books.objective,
        bound=books.bound,
        gap=np.array(gaps),
        budget=budget,
        spend=books.spend,
        budget_price=books.prices[:, 0],
        capacity_price=books.prices[:, 1 : 1 + problem.n_models],
        team_price=books.prices[:, 1 + problem.n_models :],
        load=load,
        exact_batches=books.exact_batches,
        seconds=seconds,
    )
