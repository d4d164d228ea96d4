"""Shadow prices in words, and causes that a person would name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from routing_core.records.assignments import Constraint
from routing_core.route.explain import binding, cheapest_relief, deferral_causes, runner_up
from routing_core.route.problem import UNLIMITED, Problem
from routing_core.route.solve import solve


def _night(n: int = 40, **more: Any) -> Problem:
    rng = np.random.default_rng(0)
    quality = rng.uniform(0.4, 0.9, (n, 1)).astype(np.float32)
    cost = np.ones((n, 1), np.float32)
    fields: dict[str, Any] = {"budget": np.inf, "capacity": np.array([UNLIMITED])}
    return Problem(quality, cost, np.full(n, 0.1), **{**fields, **more})


TEAM = {"team": np.zeros(40, np.int32), "team_budget": np.array([10.0])}
CAUSES: list[tuple[dict[str, Any], Constraint]] = [
    ({"budget": 10.0}, Constraint.BUDGET),
    ({"budget": 0.0}, Constraint.BUDGET),
    ({"capacity": np.array([10])}, Constraint.CAPACITY),
    ({"capacity": np.array([0])}, Constraint.CAPACITY),
    (TEAM, Constraint.TEAM_BUDGET),
    ({**TEAM, "team_budget": np.zeros(1)}, Constraint.TEAM_BUDGET),
    ({"capacity": np.array([10]), "batches": 9, "last_batch": np.ones(40, np.int32)}, Constraint.DEADLINE),
    ({"last_batch": np.zeros(40, np.int32)}, Constraint.DEADLINE),
    ({"eligible": np.zeros((40, 1), bool)}, Constraint.VALUE),
]


@pytest.mark.parametrize(("fields", "cause"), CAUSES, ids=[f"{c}-{i}" for i, (_, c) in enumerate(CAUSES)])
def test_the_limit_that_bound_is_named(fields: dict[str, Any], cause: Constraint) -> None:
    """One limit at a time: whoever waits, waits because of it; whoever is served has no cause."""
    night = _night(**fields)
    solution = solve(night)
    causes = deferral_causes(night, solution)
    assert set(causes[solution.model == -1]) == {cause}
    assert set(causes[solution.model >= 0]) <= {None}


def test_binding_limits_come_in_words_with_the_best_relief_first(kit: Any) -> None:
    """Names are the caller's, sentences say how much is used and what more would bring."""
    night = kit.night(500, 3, budget=0.3, room=0.9)
    found = binding(night, solve(night), models=["small", "middle", "large"])
    assert any("the budget of the night binds" in one.sentence for one in found)
    assert all(one.used <= one.amount * (1 + 1e-12) for one in found)
    gains = [one.price * one.amount for one in found]
    assert gains == sorted(gains, reverse=True)
    assert "Raising" in cheapest_relief(found)
    loose = replace(night, budget=np.inf, capacity=np.full(3, UNLIMITED))
    assert "Nothing bound" in cheapest_relief(binding(loose, solve(loose)))


def test_a_price_foretells_what_relief_brings(kit: Any) -> None:
    """A little more budget gains what its shadow price says, within rounding of queries."""
    night = kit.night(20_000, 4, budget=0.3, room=9.0)
    poor, price = solve(night), solve(night).prices.budget
    more = 0.01 * night.budget
    rich = solve(replace(night, budget=night.budget + more))
    assert rich.objective - poor.objective == pytest.approx(price * more, rel=0.05)


def test_runner_up_is_the_second_best_under_the_prices() -> None:
    """Without limits, plain second-best quality; with a dear best, the regret counts the price."""
    quality = np.array([[0.9, 0.7, 0.1], [0.2, 0.3, 0.35]], np.float32)
    night = Problem(quality, np.zeros_like(quality), np.zeros(2), np.inf, np.full(3, UNLIMITED))
    model, regret = runner_up(night, solve(night))
    assert model.tolist() == [1, 1]
    assert regret == pytest.approx([0.2, 0.05], abs=1e-6)
    lonely = Problem(quality[:, :1], quality[:, :1], np.zeros(2), np.inf, np.full(1, UNLIMITED))
    assert runner_up(lonely, solve(lonely))[0].tolist() == [-1, -1]
