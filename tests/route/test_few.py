"""A few queries by themselves: the same prices, proof and feasibility as by the machinery of nights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from routing_core.route.block import holds
from routing_core.route.coupling import couple
from routing_core.route.few.beam import beam
from routing_core.route.few.matrices import Few
from routing_core.route.few.plan import Plan
from routing_core.route.few.prices import Descent
from routing_core.route.few.solve import solve_few
from routing_core.route.parameters import Parameters
from routing_core.route.passes import certify
from routing_core.route.prices import descend
from routing_core.route.problem import UNLIMITED, Problem
from routing_core.route.rows import Rows
from routing_core.route.solution import Status
from routing_core.route.solve import solve
from routing_core.route.verify import verify

SCARCE = {"loose": (0.95, 9.0), "binding": (0.35, 1.3), "very_tight": (0.08, 0.5)}


def _problem(kit, seed: int, scarce: str) -> Problem:
    """A hundred queries, some pairs of which are not eligible."""
    budget, room = SCARCE[scarce]
    problem = kit.night(100, seed=seed, budget=budget, room=room)
    eligible = np.random.default_rng(seed).random(problem.quality.shape) < 0.9
    return replace(problem, eligible=eligible if seed % 2 else None)


def _rows(problem: Problem) -> Rows:
    return Rows(problem, couple(problem))


@pytest.mark.parametrize("scarce", SCARCE)
@pytest.mark.parametrize("seed", range(4))
def test_the_descent_reaches_the_bound_that_the_descent_of_stacks_reaches(kit, seed: int, scarce: str) -> None:
    rows = _rows(_problem(kit, seed, scarce))
    few, block = Few.of(rows), rows.block(np.arange(100), rows.coupling.amount)
    descent = Descent(few)
    descent.until(1e-4, 200)
    stacked = descend(block, tolerance=1e-4)
    bound = float(block.bound(few.in_usd(descent.point.prices)[None])[0])
    assert bound == pytest.approx(float(block.bound(stacked.prices)[0]), abs=2e-4)
    assert descent.point.bound == pytest.approx(bound, abs=1e-9)


def test_a_descent_taken_up_again_goes_on_from_where_it_was(kit) -> None:
    few = Few.of(_rows(_problem(kit, 3, "binding")))
    once, twice = Descent(few), Descent(few)
    twice.until(0.5, 200)
    before = twice.passes
    for descent in (once, twice):
        descent.until(1e-4, 200)
    assert before < twice.passes < before + once.passes
    assert twice.point.bound == pytest.approx(once.point.bound, abs=2e-4)


@pytest.mark.parametrize("scarce", SCARCE)
@pytest.mark.parametrize("seed", range(4))
def test_a_plan_holds_every_limit_and_keeps_its_books(kit, seed: int, scarce: str) -> None:
    """From a choice that breaks them: what the plan says is left, and its value, are what a recount finds."""
    rows = _rows(_problem(kit, seed, scarce))
    few, block = Few.of(rows), rows.block(np.arange(100), rows.coupling.amount)
    plan = Plan(few, few.value.argmax(axis=0))
    assert not plan.holds or scarce == "loose"
    assert plan.run(few.value, np.inf, 400)
    assert holds(block, plan.choice.astype(np.int16))
    again = Plan(few, plan.choice.copy())
    assert plan.value == pytest.approx(again.value, abs=1e-9)
    assert np.allclose(plan.left, again.left)


@pytest.mark.parametrize("seed", range(6))
def test_a_beam_finds_the_best_of_the_smallest_problems(kit, seed: int) -> None:
    """Five queries and three models have no more partial decisions than it keeps: what it finds is the optimum."""
    problem = kit.night(5, 3, seed=seed, budget=0.5, room=0.8)
    few = Few.of(_rows(problem))
    descent = Descent(few)
    descent.until(1e-3, 200)
    point, best = descent.point, kit.optimum(problem)
    found = beam(few, few.reduced(point.prices), point.prices, point.bound - best + 1e-6)
    assert found is not None
    assert Plan(few, found).holds
    assert Plan(few, found).value == pytest.approx(best, abs=1e-9)
    assert beam(few, few.reduced(point.prices), point.prices, point.bound - best - 1e-6) is None


@pytest.mark.parametrize("gap", [1e-2, 1e-4, 1e-6])
def test_what_it_proves_is_what_a_certificate_of_all_rows_proves(kit, gap: float) -> None:
    rows = _rows(_problem(kit, 1, "binding"))
    incumbent, certificate, prices, _ = solve_few(rows, Parameters(gap=gap))
    whole = certify(rows, prices)
    assert certificate.bound == pytest.approx(whole.bound, abs=1e-9)
    assert np.array_equal(certificate.choice, whole.choice)
    assert np.allclose(certificate.margin, whole.margin, atol=1e-6)
    assert incumbent.objective <= certificate.bound


@pytest.mark.parametrize("scarce", SCARCE)
@pytest.mark.parametrize("seed", range(3))
def test_whatever_gap_is_asked_for_is_proven_and_the_proofs_agree(kit, seed: int, scarce: str) -> None:
    """Every objective is at most every bound, since all are of one optimum; and each answer stands by itself."""
    problem = _problem(kit, seed, scarce)
    found = [solve(problem, Parameters(gap=gap)) for gap in (5e-2, 1e-2, 1e-3, 1e-6)]
    assert all(one.status is Status.PROVEN for one in found)
    assert max(one.objective for one in found) <= min(one.bound for one in found)
    for one in found:
        verify(problem, one).raise_if_broken()
    assert found[0].passes <= found[-1].passes


def test_many_that_are_alike_are_shared_out(kit) -> None:
    """All queries tie at the prices: which one moves is no matter, how many do is."""
    one = kit.night(1, seed=4)
    alike = {name: np.repeat(getattr(one, name), 200, axis=0) for name in ("quality", "cost", "penalty")}
    problem = replace(kit.night(200, seed=4), **alike, capacity=np.full(11, 15))
    found = solve(problem, Parameters(gap=1e-3))
    verify(problem, found).raise_if_broken()
    assert found.status is Status.PROVEN


def test_without_limits_everyone_takes_the_best(kit) -> None:
    problem = replace(kit.night(50, seed=2), budget=np.inf, capacity=np.full(11, UNLIMITED))
    found = solve(problem)
    assert np.array_equal(found.model, problem.quality.argmax(axis=1))
    assert (found.status, found.core_queries) == (Status.PROVEN, 0)
