"""The exact core: near-tied queries decided together by OR-Tools, under what the others leave of every limit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from ortools.sat.python import cp_model

from routing_core.route.block import Block, CoreAnswer, holds
from routing_core.route.kinds import Kinds, alike

WHOLE_BITS = 50
"""Bits of the largest sum of integers that stand for money or value; float64 holds them exactly."""


def solve_core(
    block: Block,
    allowed: NDArray[np.bool_],
    choice: NDArray[np.int16],
    *,
    effort: float,
    tolerance: float = 0.0,
    wall_seconds: float = np.inf,
) -> CoreAnswer:
    """Decide a block of one problem exactly.

    Money and value are counted in whole units. Costs are first rounded down, which relaxes the limits by
    less than a part in 10¹⁰, so that the bound is valid; should the decision then break a limit, costs
    are rounded up for another.

    Parameters
    ----------
    block : Block
        One problem.
    allowed : ndarray of bool, shape (n_options, n_queries)
        Options to choose among; at least one per query.
    choice : ndarray of int16, shape (n_queries,)
        A decision to start from.
    effort : float
        Most deterministic time.
    tolerance : float, quality units
        How far from the optimum the search may stop.
    wall_seconds : float
        Safety net.
    """
    relaxed = _search(block, allowed, choice, np.floor, effort, tolerance, wall_seconds)
    if relaxed.choice is None or holds(block, relaxed.choice):
        return relaxed
    rest = max(effort - relaxed.effort, 0.1 * effort)
    strict = _search(block, allowed, choice, np.ceil, rest, tolerance, wall_seconds)
    return CoreAnswer(strict.choice, relaxed.bound, relaxed.effort + strict.effort)


def _search(
    block: Block,
    allowed: NDArray[np.bool_],
    choice: NDArray[np.int16],
    rounding: np.ufunc,
    effort: float,
    tolerance: float,
    wall_seconds: float,
) -> CoreAnswer:
    kinds = alike(block, allowed)
    model = cp_model.CpModel()
    counts = _variables(model, allowed, kinds)
    pairs = np.array(list(counts), dtype=np.intp).T
    for r in range(block.amount.shape[1]):
        _add_limit(model, block, list(counts.values()), pairs, kinds, r, rounding)
    unit = _objective(model, block, list(counts.values()), pairs, kinds)
    now = kinds.taken(choice, len(allowed))
    for (k, g), count in counts.items():
        model.add_hint(count, int(now[k, g]))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    # A core is small and has no symmetry to speak of: what is looked for before the search costs more than it saves.
    solver.parameters.linearization_level = 2
    solver.parameters.cp_model_probing_level = 0
    solver.parameters.symmetry_level = 0
    solver.parameters.max_deterministic_time = effort
    solver.parameters.absolute_gap_limit = max(tolerance / unit, 0.5)
    solver.parameters.relative_gap_limit = 0.0
    if np.isfinite(wall_seconds):
        solver.parameters.max_time_in_seconds = max(wall_seconds, 0.01)
    status = solver.solve(model)
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    bound = solver.best_objective_bound * unit if found else -np.inf if status == cp_model.INFEASIBLE else np.inf
    effort_used = solver.response_proto.deterministic_time
    if not found:
        return CoreAnswer(None, bound, effort_used)
    for (k, g), count in counts.items():
        now[k, g] = solver.value(count)
    return CoreAnswer(kinds.spread(now), bound, effort_used)


def _variables(
    model: cp_model.CpModel, allowed: NDArray[np.bool_], kinds: Kinds
) -> dict[tuple[int, int], cp_model.IntVar]:
    """How many queries of each kind take each option."""
    counts = {}
    for g, (first, count) in enumerate(zip(kinds.first, kinds.count.tolist(), strict=True)):
        mine = [int(k) for k in np.flatnonzero(allowed[:, first])]
        for k in mine:
            counts[k, g] = model.new_int_var(0, count, "")
        if count == 1:
            model.add_exactly_one([counts[k, g] for k in mine])
        else:
            model.add(sum(counts[k, g] for k in mine) == count)
    return counts


def _add_limit(
    model: cp_model.CpModel,
    block: Block,
    counts: list[cp_model.IntVar],
    pairs: NDArray[np.intp],
    kinds: Kinds,
    r: int,
    rounding: np.ufunc,
) -> None:
    """Hold one limit; money is in whole units of which the largest possible sum has ``WHOLE_BITS`` bits."""
    amount, is_money = float(block.amount[0, r]), bool(block.effect[:, 0, r].any())
    option, query = pairs[0], kinds.first[pairs[1]]
    group = np.zeros_like(query) if block.group is None else block.group[query]
    effect = np.append(block.effect[:, :, r], np.zeros((len(block.effect), 1)), axis=1)
    weight = effect[group, 0] * block.cost[0, option, query] if is_money else effect[group, 1 + option]
    terms = np.flatnonzero(weight > 0)
    if not len(terms):
        return
    largest = max(float(weight.max()) * float(kinds.count.sum()), amount)
    scale = 2.0**WHOLE_BITS / largest if is_money else 1.0
    room = int(np.floor(max(amount, 0.0) * scale + (0.0 if is_money else 1e-9)))
    whole = rounding(weight[terms] * scale).astype(np.int64).tolist()
    model.add(cp_model.LinearExpr.weighted_sum([counts[t] for t in terms.tolist()], whole) <= room)


def _objective(
    model: cp_model.CpModel, block: Block, counts: list[cp_model.IntVar], pairs: NDArray[np.intp], kinds: Kinds
) -> float:
    """Maximise value, rounded up to whole units so that the bound stays one; returns the unit."""
    value = block.value[0, pairs[0], kinds.first[pairs[1]]]
    largest = float(np.abs(value).max(initial=0.0)) or 1.0
    unit = largest * max(float(kinds.count.sum()), 1.0) / 2.0**WHOLE_BITS
    model.maximize(cp_model.LinearExpr.weighted_sum(counts, np.ceil(value / unit).astype(np.int64).tolist()))
    return unit
