"""Larger cores: branch and bound over the LP, by MathOpt's SCIP with one thread and a limit on nodes."""

from __future__ import annotations

import datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from ortools.math_opt.python import mathopt

from routing_core.route.block import Block, CoreAnswer, holds
from routing_core.route.kinds import Kinds, alike

NODES_PER_EFFORT = 400
"""Nodes over a core of ``QUERIES`` that count as one unit of deterministic time."""
QUERIES = 240
"""A node over more takes so many times as long."""
LP_TOLERANCE = 1e-7
"""What SCIP's LP may be off by for each query, quality units; the bound allows for it."""
HELD_BACK = 2e-6
"""Share of a budget kept back when a decision used the solver's own tolerance to break it."""


def solve_milp(
    block: Block,
    allowed: NDArray[np.bool_],
    choice: NDArray[np.int16],
    *,
    effort: float,
    tolerance: float = 0.0,
    wall_seconds: float = np.inf,
) -> CoreAnswer:
    """Decide a block of one problem; the arguments are those of :func:`~routing_core.route.core.solve_core`."""
    first = _search(block, allowed, choice, effort, tolerance, wall_seconds, 0.0)
    if first.choice is None or holds(block, first.choice):
        return first
    second = _search(block, allowed, choice, effort, tolerance, wall_seconds, HELD_BACK)
    return CoreAnswer(second.choice, first.bound, first.effort + second.effort)


def _search(
    block: Block,
    allowed: NDArray[np.bool_],
    choice: NDArray[np.int16],
    effort: float,
    tolerance: float,
    wall_seconds: float,
    held_back: float,
) -> CoreAnswer:
    kinds = alike(block, allowed)
    best = np.where(allowed, block.value[0], -np.inf).max(axis=0)
    model, pairs = mathopt.Model(), np.argwhere(allowed[:, kinds.first].T)
    kind, option = pairs.T
    query = kinds.first[kind]
    variables = [model.add_integer_variable(lb=0.0, ub=float(kinds.count[g])) for g in kind]
    _add_decisions(model, variables, kind, kinds.count)
    for r in range(block.amount.shape[1]):
        _add_limit(model, variables, query, option, block, r, held_back)
    gain = block.value[0, option, query] - best[query]
    model.maximize(mathopt.fast_sum(float(g) * x for g, x in zip(gain, variables, strict=True) if g))
    taken = kinds.taken(choice, len(allowed))[option, kind]
    hint = mathopt.SolutionHint(variable_values={x: float(count) for x, count in zip(variables, taken, strict=True)})
    parameters = mathopt.SolveParameters(
        threads=1,
        random_seed=1,
        node_limit=max(int(effort * _nodes_per_effort(kinds)), 1),
        absolute_gap_tolerance=tolerance,
        relative_gap_tolerance=0.0,
        time_limit=datetime.timedelta(seconds=max(wall_seconds, 0.01)) if np.isfinite(wall_seconds) else None,
    )
    result = mathopt.solve(
        model,
        mathopt.SolverType.GSCIP,
        params=parameters,
        model_params=mathopt.ModelSolveParameters(solution_hints=[hint]),
    )
    return _answer(result, variables, pairs, kinds, best, len(allowed))


def _nodes_per_effort(kinds: Kinds) -> float:
    return NODES_PER_EFFORT * min(QUERIES / len(kinds.first), 1.0)


def _add_decisions(
    model: mathopt.Model,
    variables: list[mathopt.Variable],
    kind: NDArray[np.intp],
    count: NDArray[np.int64],
) -> None:
    """Every query of a kind takes one option; variables come sorted by kind."""
    edges = np.searchsorted(kind, np.arange(len(count) + 1))
    for (start, stop), number in zip(pairwise(edges), count, strict=True):
        model.add_linear_constraint(mathopt.fast_sum(variables[start:stop]) == float(number))


def _add_limit(
    model: mathopt.Model,
    variables: list[mathopt.Variable],
    query: NDArray[np.intp],
    option: NDArray[np.intp],
    block: Block,
    r: int,
    held_back: float,
) -> None:
    """Hold one limit; money is counted in shares of what there is."""
    group = np.zeros(len(query), dtype=np.intp) if block.group is None else block.group[query]
    effect = np.concatenate([block.effect, np.zeros_like(block.effect[:, :1])], axis=1)
    amount = float(block.amount[0, r])
    if block.effect[:, 0, r].any():
        weight = effect[group, 0, r] * block.cost[0, option, query]
        unit = max(abs(amount), float(weight.max(initial=0.0)) * 1e-6, 1e-300)
        weight, limit = weight / unit, amount / unit - held_back
    else:
        weight, limit = effect[group, 1 + option, r], float(np.floor(amount + 1e-9))
    terms = (float(w) * x for w, x in zip(weight, variables, strict=True) if w)
    model.add_linear_constraint(mathopt.fast_sum(terms) <= limit)


def _answer(
    result: mathopt.SolveResult,
    variables: list[mathopt.Variable],
    pairs: NDArray[np.intp],
    kinds: Kinds,
    best: NDArray[np.float64],
    n_options: int,
) -> CoreAnswer:
    nodes = max(result.solve_stats.node_count, 1) / _nodes_per_effort(kinds)
    bound = float(result.termination.objective_bounds.dual_bound) + float(best.sum()) + LP_TOLERANCE * len(best)
    if not result.has_primal_feasible_solution():
        return CoreAnswer(None, bound, nodes)
    taken = np.zeros((n_options, len(kinds.first)), dtype=np.int64)
    taken[pairs[:, 1], pairs[:, 0]] = np.rint(result.variable_values(variables))
    if np.any(taken.sum(axis=0) != kinds.count):
        return CoreAnswer(None, bound, nodes)
    return CoreAnswer(kinds.spread(taken), bound, nodes)
