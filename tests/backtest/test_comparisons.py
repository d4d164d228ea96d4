"""What a backtest claims: nothing where there is nothing, and never at unequal spend."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from small_histories import QUICK, trade_off_world, write_long, write_wide

from routing_core.backtest.comparisons import margin
from routing_core.backtest.duels import routing_duels
from routing_core.backtest.history import read_history
from routing_core.backtest.matching import Pair
from routing_core.backtest.replay import plan_nights, replay
from routing_core.backtest.report import render
from routing_core.backtest.routings import as_they_come, better_nights, night_by_night, objective
from routing_core.backtest.run import BUDGETS, Backtest, Options, budgets_of, run_backtest
from routing_core.backtest.stage import Caps, Order, Result, Stage, set_stage
from routing_core.errors import ContractError
from routing_core.route.verdict import WITHIN, Verdict


def test_where_joint_routing_cannot_help_the_report_says_no_gain(tmp_path: Path) -> None:
    """One model is best on every query and cheapest: everybody routes alike, and nobody has gained."""
    n = 500
    quality = np.tile([1.0, 0.3, 0.2], (n, 1)) * (np.random.default_rng(1).random((n, 1)) < 0.9)
    cost = np.tile([1e-5, 4e-5, 9e-5], (n, 1))
    file = write_wide(tmp_path / "flat.parquet", n, quality, cost)
    found = run_backtest(file, Options(seeds=(0,), nights=1, budgets=(2e-4,), recipe=QUICK, jobs=1))
    uncapped = [line for line in found.comparisons if line.caps == "none"]
    assert uncapped
    for line in uncapped:
        assert line.margin.verdict == Verdict.NO_GAIN, line
        assert line.margin.gain_pct == pytest.approx(0, abs=1e-9)
        assert line.margin.spend_ratio == pytest.approx(1)
    assert "no gain" in render(found)


def test_every_cell_is_there_with_the_keys_that_were_promised(small_backtest: Backtest) -> None:
    lines = json.loads(json.dumps(small_backtest.as_dict(), allow_nan=False))["comparisons"]
    keys = {
        "name",
        "order",
        "fallback",
        "caps",
        "budget_usd",
        "ours",
        "theirs",
        "gain_pct",
        "stderr_pct",
        "spend_ratio",
    }
    assert all(keys <= set(line) for line in lines)
    cells = Counter((line["name"], line["order"], line["fallback"], line["caps"], line["budget_usd"]) for line in lines)
    assert max(cells.values()) == 1
    for order in ("random", "task", "length", "predicted_spend"):
        for caps in ("none", "twice_even"):
            for budget in (4e-4, None):
                assert ("robust_vs_point", order, "none", caps, budget) in cells
                assert ("planned_vs_arrival", order, "none", caps, budget) in cells
                for fallback in ("cheapest_feasible", "best_feasible", "unserved"):
                    assert ("batch_vs_per_query", order, fallback, caps, budget) in cells
    for line in lines:
        assert line["gain_pct"] == pytest.approx(100 * (line["ours"] / line["theirs"] - 1))
    assert {"allocation_vs_uniform", "allocation_vs_greedy"} <= {line["name"] for line in lines}
    printed = render(small_backtest)
    assert sum(text.startswith("| ") for text in printed.splitlines()) == len(lines) + 2 * 4


def test_nothing_is_claimed_at_unequal_spend(small_backtest: Backtest) -> None:
    """Within one per cent, or the verdict says that spend is not matched."""
    cells = [line for line in small_backtest.comparisons if line.budget_usd is not None]
    for line in cells:
        for one in filter(None, (line.margin, line.at_their_best)):
            assert abs(one.spend_ratio - 1) <= WITHIN or one.verdict == Verdict.UNMATCHED
    matched = [line for line in cells if line.margin.verdict != Verdict.UNMATCHED]
    assert len(matched) > 0.8 * len(cells)


def test_what_was_planned_is_told_for_every_order(small_backtest: Backtest) -> None:
    """A night's objective is never below that of its batches, in any line of the report."""
    told = [line.planned for line in small_backtest.comparisons if line.name == "planned_vs_arrival"]
    assert len(told) == 16
    assert all(plans is not None and plans[0] >= plans[1] - 1e-12 for plans in told)


@pytest.mark.big
def test_the_same_seeds_give_the_same_backtest(wide_file: Path, small_backtest: Backtest) -> None:
    """Over two processes as over one."""
    again = run_backtest(wide_file, Options(seeds=(0,), nights=1, budgets=(4e-4,), recipe=QUICK, jobs=2))
    assert again.comparisons == small_backtest.comparisons


@pytest.fixture(scope="module")
def stages(wide_file: Path) -> dict[Order, Stage]:
    history = read_history(wide_file)
    nights = replay(history, plan_nights(history, [3], 2), recipe=QUICK)
    return {order: set_stage(history, nights, order) for order in Order}


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("caps", [Caps.NONE, Caps.TWICE_EVEN])
@pytest.mark.parametrize("budget", [5e-5, 4e-4, 1.5e-3])
def test_planned_nights_are_never_worse_than_batches_as_they_come(
    stages: dict[Order, Stage], order: Order, caps: Caps, budget: float
) -> None:
    """In planned objective, night by night, with the batches' budgets and capacities added up."""
    stage = stages[order]
    capacity = stage.capacity(caps)
    arrival = as_they_come(stage, stage.lower, budget, capacity)
    night = better_nights(stage, stage.lower, night_by_night(stage, stage.lower, budget, capacity), arrival)
    by_night = [np.bincount(stage.night, objective(stage, stage.lower, choice)) for choice in (night, arrival)]
    assert (by_night[0] >= by_night[1] - 1e-9).all()
    _keeps_the_limits_of_its_nights(stage, night, budget, capacity)


def _keeps_the_limits_of_its_nights(stage: Stage, choice: np.ndarray, budget: float, capacity: np.ndarray) -> None:
    for k in np.unique(stage.night):
        rows = np.flatnonzero((stage.night == k) & (choice >= 0))
        size = int((stage.night == k).sum())
        batches = len(np.unique(stage.batch_of[stage.night == k]))
        assert stage.cost[rows, choice[rows]].astype(float).sum() <= budget * size * (1 + 1e-9)
        assert (np.bincount(choice[rows], minlength=len(capacity)) <= batches * capacity).all()


def test_the_better_of_two_plans_is_taken_for_each_night_by_itself(stages: dict[Order, Stage]) -> None:
    """A search that found nothing loses to the batches as they came, whatever the other nights did."""
    stage = stages[Order.RANDOM]
    arrival = as_they_come(stage, stage.lower, 4e-4, stage.capacity(Caps.NONE))
    nothing = np.where(stage.night == 0, -1, arrival).astype(np.int16)
    assert np.array_equal(better_nights(stage, stage.lower, nothing, arrival), arrival)


@pytest.mark.parametrize("order", Order)
def test_batches_are_cut_in_the_order_asked_for(stages: dict[Order, Stage], order: Order, wide_file: Path) -> None:
    stage, labels = stages[order], read_history(wide_file).labels
    key = {
        Order.TASK: labels.task[stage.rows].astype(str),
        Order.LENGTH: labels.input_tokens[stage.rows],
        Order.PREDICTED_SPEND: stage.cost.mean(axis=1),
    }.get(order)
    assert np.array_equal(np.sort(stage.rows), np.sort(stages[Order.RANDOM].rows))
    assert (np.diff(stage.batch_of) >= 0).all()
    assert np.bincount(stage.batch_of)[1:].tolist() == [100, 75, 100, 75]
    for night in (0, 1):
        if key is not None:
            here = key[stage.night == night]
            assert (here[1:] >= here[:-1]).all()


def _pair(ours: list[float], theirs: list[float], spend: float = 1.0) -> Pair:
    n = len(ours)
    return Pair(Result(np.array(ours), np.full(n, spend)), Result(np.array(theirs), np.full(n, 1.0)))


def test_a_query_seen_twice_counts_once_in_the_standard_error() -> None:
    """Four queries, then the same four a second time: as many independent ones as before."""
    ours, theirs = [1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]
    once = margin([_pair(ours, theirs)], np.arange(4))
    twice = margin([_pair(ours * 2, theirs * 2)], np.tile(np.arange(4), 2))
    assert twice.stderr_pct == pytest.approx(once.stderr_pct)
    assert once.gain_pct == pytest.approx(50)
    residual = np.array([-0.5, 1.0, 0.0, -0.5])
    assert once.stderr_pct == pytest.approx(100 * math.sqrt(4 / 3 * (residual**2).sum()) / 2)


def test_a_gain_bought_with_more_money_is_no_gain() -> None:
    rich = margin([_pair([1.0] * 50, [0.5] * 50, spend=1.02)], np.arange(50))
    assert rich.verdict == Verdict.UNMATCHED
    assert margin([_pair([1.0] * 50, [0.5] * 50)], np.arange(50)).verdict == Verdict.GAIN
    assert margin([_pair([0.5] * 50, [1.0] * 50)], np.arange(50)).verdict == Verdict.LOSS


def test_an_opponent_that_realised_nothing_makes_no_percentage() -> None:
    nothing = margin([_pair([1.0] * 50, [0.0] * 50)], np.arange(50))
    assert (nothing.gain_pct, nothing.stderr_pct) == (None, None)


def test_partial_logs_are_valued_doubly_robustly_and_said_to_be(tmp_path: Path) -> None:
    root = write_long(tmp_path / "outcomes", 2100, days=3, logged="one")
    found = run_backtest(root, Options(seeds=(0,), nights=1, budgets=(4e-4,), recipe=QUICK, jobs=1))
    assert any("doubly robust" in note for note in found.notes)


def test_too_thin_a_log_is_refused(tmp_path: Path) -> None:
    """A night of a few queries, one answer each, says nothing of other plans."""
    root = write_long(tmp_path / "outcomes", 240, days=8, logged="one")
    with pytest.raises(ContractError, match="effective"):
        run_backtest(root, Options(seeds=(0,), nights=1, budgets=(4e-4,), recipe=QUICK, jobs=1))


def test_budgets_are_such_that_they_bind(tmp_path: Path) -> None:
    """The usual ones where models cost such sums; between the cheapest and the dearest where they cost others."""
    quality, cost = trade_off_world(300)
    assert budgets_of(read_history(write_wide(tmp_path / "usual.parquet", 300, quality, cost))) == BUDGETS
    dear = budgets_of(read_history(write_wide(tmp_path / "dear.parquet", 300, quality, 100 * cost)))
    low, high = 100 * cost.mean(axis=0).min(), 100 * cost.mean(axis=0).max()
    assert len(dear) == len(BUDGETS)
    assert low < dear[0] < dear[-1] < high


@pytest.mark.big
def test_what_the_public_outcomes_must_show(routerbench_file: Path) -> None:
    """Batch over per-query, best-feasible, no caps, at matched spend: by predicted spend ≥ +3 %, random ≥ +0.3 %."""
    history = read_history(routerbench_file)
    nights = replay(history, plan_nights(history, [0, 1], 1), jobs=2)
    for order, bar in ((Order.PREDICTED_SPEND, 3.0), (Order.RANDOM, 0.3)):
        stage = set_stage(history, nights, order)
        pairs = []
        for budget in budgets_of(history):
            for duel in routing_duels(stage, order, Caps.NONE, budget):
                if duel.name == "batch_vs_per_query" and duel.fallback == "best_feasible":
                    pairs.append(duel.pair)
                    assert abs(duel.pair.ours.usd / duel.pair.theirs.usd - 1) <= WITHIN
        assert margin(pairs, stage.rows).gain_pct >= bar
