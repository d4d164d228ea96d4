"""Batches: dealing holds capacity and deadlines; arrival holds each batch's own budget and proof."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing_core.errors import ProblemError
from routing_core.route.problem import Problem
from routing_core.route.solve import Parameters, solve
from routing_core.route.verify import verify
from routing_core.route.waves import Money, crowded_deadlines, deal, solve_arrival, uncrowd


@settings(derandomize=True, deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32 - 1), capacity=st.integers(1, 4), batches=st.integers(1, 6))
def test_dealing_meets_every_deadline_that_can_be_met(seed: int, capacity: int, batches: int) -> None:
    """After the crowd is thinned, earliest deadline first serves everybody in time, at most K in a batch."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 20))
    ones = np.ones((n, 1), np.float32)
    due = rng.integers(1, batches + 1, n, dtype=np.int32)
    night = Problem(ones, ones, np.zeros(n), np.inf, np.array([capacity]), batches, last_batch=due)
    model = uncrowd(night, np.zeros(n, np.int16), rng.random(n))
    assert not crowded_deadlines(night, model)
    batch = deal(night, model)
    assert (batch[model == 0] <= due[model == 0]).all()
    assert np.bincount(batch[model == 0], minlength=1).max(initial=0) <= capacity
    assert (batch[model == -1] == 0).all()


def test_thinning_gives_up_what_is_worth_least() -> None:
    """Three queries due in the first batch of two slots: the cheapest loss waits."""
    ones = np.ones((3, 1), np.float32)
    night = Problem(ones, ones, np.zeros(3), np.inf, np.array([2]), 5, last_batch=np.array([1, 1, 1], np.int32))
    assert uncrowd(night, np.zeros(3, np.int16), np.array([0.5, 0.1, 0.9])).tolist() == [0, -1, 0]


def _arrivals(kit: Any, sizes: list[int], **more: Any) -> tuple[Problem, np.ndarray[Any, Any]]:
    n = sum(sizes)
    night = kit.night(n, 5, capacity=np.array([8, 8, 8, 8, 8]), batches=len(sizes), **more)
    return night, np.repeat(np.arange(1, len(sizes) + 1), sizes)


def test_each_arriving_batch_is_what_a_solve_of_it_alone_gives(kit: Any) -> None:
    """Solved together or one by one, intervals of objective and bound overlap, and each keeps its budget."""
    night, batch_of = _arrivals(kit, [30, 30, 17, 1, 30])
    together = solve_arrival(night, batch_of, Parameters(gap=1e-5))
    verify(night, together.as_solution(night, Parameters())).raise_if_broken()
    assert (together.gap <= 1e-5).all()
    for b in range(5):
        rows = batch_of == b + 1
        share = night.budget * rows.mean()
        assert together.spend[b] <= share * (1 + 1e-12)
        alone = solve(Problem(night.quality[rows], night.cost[rows], night.penalty[rows], share, night.capacity))
        assert together.objective[b] <= alone.bound + 1e-9
        assert alone.objective <= together.bound[b] + 1e-9


def test_many_batches_keep_the_gap_they_are_asked_for(kit: Any) -> None:
    """A hundred batches of a hundred: a tight proof in the median, the asked one at worst."""
    night = kit.night(10_000, 11, batches=100, capacity=np.full(11, 12), budget=0.35)
    found = solve_arrival(night, np.repeat(np.arange(1, 101), 100), Parameters(gap=5e-3))
    verify(night, found.as_solution(night, Parameters())).raise_if_broken()
    assert np.median(found.gap) <= 1e-3
    assert found.gap.max() <= 5e-3


def test_planning_the_night_is_never_worse_than_taking_it_as_it_comes(kit: Any) -> None:
    """With the same budget, batches and penalties, in the planned objective."""
    night, batch_of = _arrivals(kit, [40] * 6)
    assert solve(night).bound >= solve_arrival(night, batch_of).objective.sum() - 1e-9


def test_carried_budget_is_never_overdrawn_and_threads_change_nothing(kit: Any) -> None:
    """What a batch leaves, the next may spend: at any time no more than has been due."""
    night, batch_of = _arrivals(kit, [40] * 5)
    carried = solve_arrival(night, batch_of, Parameters(gap=1e-4), money=Money.CARRIED)
    verify(night, carried.as_solution(night, Parameters())).raise_if_broken()
    assert (carried.spend.cumsum() <= night.budget * np.arange(1, 6) / 5 * (1 + 1e-12)).all()
    one, three = (solve_arrival(night, batch_of, Parameters(gap=1e-4, threads=t)) for t in (1, 3))
    assert np.array_equal(one.model, three.model)


def test_a_night_price_spends_where_it_is_worth_most(kit: Any) -> None:
    """Batches of unlike worth under one price: at least as good as equal shares, within the night's budget."""
    night, batch_of = _arrivals(kit, [40] * 6, budget=0.2)
    price = solve(night).prices.budget
    priced = solve_arrival(night, batch_of, Parameters(gap=1e-5), money=Money.NIGHT_PRICE, night_price=price)
    own = solve_arrival(night, batch_of, Parameters(gap=1e-5))
    verify(night, priced.as_solution(night, Parameters())).raise_if_broken()
    assert priced.spend.sum() <= night.budget * (1 + 1e-12)
    assert priced.objective.sum() >= own.objective.sum() * 0.99


def test_late_and_poor_queries_wait(kit: Any) -> None:
    """A query that comes after its last batch, or whose team has nothing, is not served."""
    night, batch_of = _arrivals(kit, [10, 10])
    last = np.full(20, 2, np.int32)
    last[15] = 1
    late = solve_arrival(replace(night, last_batch=last), batch_of)
    assert late.model[15] == -1
    team = np.where(np.arange(20) < 3, 0, -1).astype(np.int32)
    poor = solve_arrival(replace(night, team=team, team_budget=np.zeros(1)), batch_of)
    assert (poor.model[:3] == -1).all()


def test_a_team_that_is_short_has_a_price_in_batches_as_in_the_night(kit: Any) -> None:
    """The mean over the batches, as for capacity; a team with money enough has none."""
    night, batch_of = _arrivals(kit, [60, 60])
    team = np.arange(120, dtype=np.int32) % 2
    asked = np.bincount(team, weights=night.cost.max(axis=1))
    shared = replace(night, budget=np.inf, team=team, team_budget=asked * np.array([0.05, 1.0]))
    found = solve_arrival(shared, batch_of)
    assert found.team_price.shape == (2, 2)
    prices = found.as_solution(shared, Parameters()).prices.team
    assert prices[0] == pytest.approx(found.team_price[:, 0].mean())
    assert prices[0] > 0
    assert prices[1] == pytest.approx(0, abs=1e-12)


def test_arrival_refuses_what_it_cannot_do(kit: Any) -> None:
    """Batches out of range, wrong shapes, and budgeted uncertainty are named."""
    night, batch_of = _arrivals(kit, [5, 5])
    with pytest.raises(ProblemError, match=r"batch_of: must be in \[1, 2\], got \[1, 3\]"):
        solve_arrival(night, np.where(batch_of == 2, 3, 1))
    with pytest.raises(ProblemError, match="batch_of: must be integers of shape"):
        solve_arrival(night, batch_of[:3])
    with pytest.raises(ProblemError, match="gamma: must be 0 in arrival mode"):
        solve_arrival(replace(night, deviation=night.quality, gamma=1.0), batch_of)
