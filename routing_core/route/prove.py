"""Closing the gap: exact cores of growing size, until the gap asked for is proven or the effort is spent."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_core.route.block import Block, CoreAnswer
from routing_core.route.core import solve_core
from routing_core.route.decide import as_options, put_back, shed, take_pool
from routing_core.route.milp import solve_milp
from routing_core.route.parameters import Parameters
from routing_core.route.passes import Certificate, nearest
from routing_core.route.rows import Rows
from routing_core.route.solution import proven_gap

FIRST_CORE = 60
"""Rows of the first core."""
GROWTH = 4
"""Factor from one core to the next."""
WHOLE_NUMBERS = 120
"""Rows up to which a core is solved in whole numbers by CP-SAT; above, branch and bound over an LP is faster."""
SHARE = 0.25
"""Share of what is left of the effort that a core which proves nothing by itself may take."""


@dataclass(slots=True)
class Incumbent:
    """The best decision so far, and the least bound.

    Attributes
    ----------
    model : ndarray of int16, shape (n_queries,)
    objective, bound : float, quality units
    core_queries : int
    """

    model: NDArray[np.int16]
    objective: float
    bound: float
    core_queries: int

    def take(self, rows: Rows, model: NDArray[np.int16]) -> None:
        """Keep a feasible decision if it is better."""
        objective = rows.objective(model)
        if objective > self.objective:
            self.model, self.objective = model, objective


@dataclass(frozen=True, slots=True)
class Search:
    """What a search for better decisions may use.

    Attributes
    ----------
    tolerance : float, quality units
        How far from the optimum it may stop.
    effort : float
        Deterministic time.
    deadline : float
        ``time.perf_counter`` at which the safety net ends it.
    """

    tolerance: float
    effort: float
    deadline: float


def prove(
    rows: Rows,
    prices: NDArray[np.float64],
    certificate: Certificate,
    incumbent: Incumbent,
    parameters: Parameters,
    deadline: float,
    sure: float = np.inf,
) -> float:
    """Solve cores exactly, each larger than the last, until the gap is proven.

    A row is in the core if another option costs it, in reduced value, no more than a threshold. Once the threshold
    is the whole gap in quality units, every better decision lies within the core (reduced-cost fixing), and
    the core's bound is the night's.

    Parameters
    ----------
    rows, prices, certificate, parameters
    incumbent : Incumbent
        Improved in place.
    deadline : float
        ``time.perf_counter`` at which the safety net ends the search.
    sure : float, quality units
        What a row that is not among these loses at the least by another option; only a smaller gap proves by a core.

    Returns
    -------
    float
        Deterministic time that is left.
    """
    effort, size = parameters.core_effort, FIRST_CORE
    while effort > 0 and time.perf_counter() < deadline and not is_proven(rows, incumbent, parameters):
        width = gap_width(certificate.bound, incumbent.objective)
        near = np.flatnonzero(certificate.margin <= width)
        whole = len(near) <= min(parameters.core_queries, size * GROWTH) and width < sure
        if not whole:
            near = nearest(certificate.margin, size)
            width = float(certificate.margin[near].max())
        search = Search(_tolerance(rows, incumbent, parameters), effort if whole else SHARE * effort, deadline)
        effort -= _solve_one(rows, prices, certificate, incumbent, near, width, whole, search)
        if whole or size >= min(parameters.core_queries, len(rows)):
            break
        size = min(size * GROWTH, parameters.core_queries)
    return effort


def prove_at_once(
    rows: Rows,
    prices: NDArray[np.float64],
    certificate: Certificate,
    incumbent: Incumbent,
    parameters: Parameters,
    effort: float,
    deadline: float,
) -> None:
    """Solve the one core that holds every better decision, if it is small enough; arguments as of :func:`prove`."""
    width = gap_width(certificate.bound, incumbent.objective)
    near = np.flatnonzero(certificate.margin <= width)
    if effort > 0 and time.perf_counter() < deadline and len(near) <= parameters.core_queries:
        search = Search(_tolerance(rows, incumbent, parameters), effort, deadline)
        _solve_one(rows, prices, certificate, incumbent, near, width, True, search)


def is_proven(rows: Rows, incumbent: Incumbent, parameters: Parameters) -> bool:
    """Whether the gap asked for is reached."""
    return proven_gap(incumbent.objective, incumbent.bound, rows.penalties) <= parameters.gap


def _tolerance(rows: Rows, incumbent: Incumbent, parameters: Parameters) -> float:
    return 0.5 * parameters.gap * (incumbent.bound + rows.penalties)


def gap_width(bound: float, objective: float) -> float:
    """The gap in quality units, widened by more than float32 margins are off: no better decision loses more."""
    return (bound - objective) * (1 + 1e-6) + 1e-6


def _solve_one(
    rows: Rows,
    prices: NDArray[np.float64],
    certificate: Certificate,
    incumbent: Incumbent,
    picked: NDArray[np.intp],
    width: float,
    whole: bool,
    search: Search,
) -> float:
    """Solve one core; returns the deterministic time it took."""
    if whole:  # a row outside the core takes its best option in every better decision
        base = certificate.choice.copy()
        base[picked] = incumbent.model[picked]
    else:
        base = incumbent.model.copy()
    pool = take_pool(rows, base, picked)
    choice = as_options(pool, base)
    own = float(np.sum(pool.block.value[0, choice, np.arange(len(choice))]))
    fixed = rows.objective(base) - own
    answer = exact(pool.block, prices, choice, width, search)
    incumbent.core_queries = max(incumbent.core_queries, len(pool.rows))
    if answer.choice is not None:
        put_back(pool, answer.choice, base)
        incumbent.take(rows, shed(rows, base))
    if whole:
        slack = 1e-13 * (abs(fixed) + abs(own) + len(rows))
        incumbent.bound = min(incumbent.bound, max(incumbent.objective, fixed + answer.bound) + slack)
    return max(answer.effort, 1e-3)


def exact(
    block: Block, prices: NDArray[np.float64], choice: NDArray[np.int16], width: float, search: Search
) -> CoreAnswer:
    """Decide a block among the options that lose at most ``width`` of reduced value, and those taken now."""
    if not len(choice):
        return CoreAnswer(choice, 0.0, 0.0)
    worth = block.reduced(prices[None])[0]
    allowed = worth >= worth.max(axis=0) - width
    allowed[choice, np.arange(len(choice))] = True
    solver = solve_core if block.value.shape[2] <= WHOLE_NUMBERS else solve_milp
    return solver(
        block,
        allowed,
        choice,
        effort=search.effort,
        tolerance=search.tolerance,
        wall_seconds=search.deadline - time.perf_counter(),
    )
