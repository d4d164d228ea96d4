"""The linear program behind a night's last digits: it must end where the whole one does, from however few columns."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linprog

from routing_core.route.block import Block
from routing_core.route.vertex import sift, whole


def block(n: int, m: int, seed: int, count: NDArray[np.float64] | None = None) -> Block:
    """A night of ``n`` columns under a budget and a capacity for each model, all scarce."""
    rng = np.random.default_rng(seed)
    value, cost = np.zeros((1, m + 1, n)), np.zeros((1, m + 1, n))
    value[0, :m], cost[0, :m] = rng.uniform(0, 1, (m, n)), rng.lognormal(0, 0.5, (m, n)) * np.arange(1, m + 1)[:, None]
    value[0, m] = -0.05
    often = np.ones(n) if count is None else count
    amount = np.append(0.6 * (cost[0, :m].mean(axis=0) @ often), 0.8 * rng.dirichlet(np.full(m, 3.0)) * often.sum())
    effect = np.zeros((1, 1 + m, 1 + m))
    effect[0] = np.eye(1 + m)
    return Block(value, cost, amount[None], effect, None, count)


def whole_program(one: Block) -> float:
    """The optimum over all columns and options at once, by another formulation."""
    options, n = one.value.shape[1:]
    often = np.ones(n) if one.count is None else one.count
    usage = [one.cost[0].ravel()] + [np.repeat(np.arange(options) == j, n).astype(float) for j in range(options - 1)]
    found = linprog(
        -one.value[0].ravel(),
        A_ub=np.array(usage),
        b_ub=one.amount[0],
        A_eq=np.tile(np.eye(n), options),
        b_eq=often,
    )
    return -float(found.fun)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("error", [0.01, 0.3])
def test_it_meets_the_whole_program_from_prices_that_are_somewhat_off(seed: int, error: float) -> None:
    one = block(900, 3, seed)
    exact = whole_program(one)
    near = sift(one, np.zeros(4), np.zeros(4), 1e-9)
    assert near is not None
    off = near.prices * (1 + error * np.random.default_rng(seed).uniform(-1, 1, 4))
    found = sift(one, off, np.abs(off - near.prices), 1e-9)
    assert found is not None
    assert found.value == pytest.approx(exact, rel=1e-9)
    assert one.bound(found.prices[None])[0] == pytest.approx(exact, rel=1e-9)


def test_no_more_columns_are_split_than_there_are_limits_and_rounding_keeps_their_counts() -> None:
    count = np.random.default_rng(5).integers(1, 40, 700).astype(np.float64)
    one = block(700, 3, 5, count)
    found = sift(one, np.zeros(4), np.ones(4), 1e-9)
    assert found is not None
    assert found.value == pytest.approx(whole_program(one), rel=1e-9)
    split = (np.abs(found.taken - np.round(found.taken)) > 1e-6).any(axis=0)
    assert split.sum() <= len(one.amount[0])
    rounded = whole(found.taken, count.astype(np.int64))
    assert np.array_equal(rounded.sum(axis=0), count)
    assert np.abs(rounded - found.taken).max() < 1 + 1e-6


def test_columns_that_would_break_a_limit_are_not_held_to_their_choice() -> None:
    """Prices of zero crowd the best model: the nearest columns alone leave no decision, so more take part."""
    one = block(3000, 3, 1)
    found = sift(one, np.zeros(4), np.ones(4), 1e-6)
    assert found is not None
    assert found.value == pytest.approx(whole_program(one), rel=1e-7)
    usage = np.append((one.cost[0] * found.taken).sum(), found.taken[:-1].sum(axis=1))
    assert np.all(usage <= one.amount[0] * (1 + 1e-9))
