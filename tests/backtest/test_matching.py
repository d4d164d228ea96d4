"""Equal spend is found where it can be, and the trade-off that gets there is the least one."""

from __future__ import annotations

import numpy as np
import pytest

from routing_core.backtest.matching import cut, cut_the_dearer, sweep, trade_off
from routing_core.backtest.stage import Result
from routing_core.route.verdict import WITHIN


def _result(quality: float, usd: float) -> Result:
    return Result(np.array([quality]), np.array([usd]))


def _saturating(share: float) -> Result:
    """Spends what it gets up to 60 % of the budget, then no more."""
    return _result(share**0.5, 1e-3 * min(share, 0.6))


@pytest.mark.parametrize("usd", [1e-5, 3e-4, 5.9e-4])
def test_a_budget_is_cut_to_any_spend_below(usd: float) -> None:
    assert cut(_saturating, _saturating(1.0), usd).usd == pytest.approx(usd, rel=WITHIN)


def test_whoever_spends_more_is_cut() -> None:
    """The thrifty side keeps its whole budget, whichever it is."""
    thrifty = lambda share: _result(0.5 * share, 2e-4 * share)  # noqa: E731
    for pair in (cut_the_dearer(_saturating, thrifty), cut_the_dearer(thrifty, _saturating)):
        assert pair.ours.usd == pytest.approx(pair.theirs.usd, rel=WITHIN)
        assert pair.ours.usd == pytest.approx(2e-4, rel=WITHIN)


def test_a_trade_off_is_found_that_spends_what_was_asked_for() -> None:
    """Spend rises with a; the one found spends what the plan did, within one per cent."""
    asked: set[float] = set()

    def router(trade_offs: np.ndarray) -> list[Result]:
        asked.update(trade_offs.tolist())
        return [_result(a, 1e-4 + 1e-3 * a) for a in trade_offs]

    found = sweep(router, 1.0, 5.5e-4)
    assert found.matched.usd == pytest.approx(5.5e-4, rel=WITHIN)
    assert found.a == pytest.approx(0.45, abs=0.02)
    assert {0.0, 1.0} <= asked


def test_the_least_trade_off_that_spends_enough_is_taken() -> None:
    """Spend that rises, falls and rises again crosses three times; the first counts."""
    router = lambda trade_offs: [_result(a, 1e-3 * (1.2 * a if a < 0.6 else abs(a - 0.8))) for a in trade_offs]  # noqa: E731
    assert sweep(router, 1.0, 1.8e-4).a == pytest.approx(0.15, abs=0.01)


def test_a_jump_in_spend_is_taken_on_its_upper_side() -> None:
    """No trade-off spends what was asked for; the search ends all the same, with one that spends more."""
    found = sweep(lambda trade_offs: [_result(a, 1e-4 if a < 0.333 else 9e-4) for a in trade_offs], 1.0, 5e-4)
    assert found.matched.usd == pytest.approx(9e-4)
    assert found.a == pytest.approx(0.333, abs=1e-3)


def test_the_best_trade_off_need_not_be_the_one_that_spends_as_much() -> None:
    """Where spending more serves worse, the router is also shown where it serves best."""
    found = sweep(lambda trade_offs: [_result(1 - (a - 0.3) ** 2, 1e-3 * a) for a in trade_offs], 1.0, 9e-4)
    assert found.matched.usd == pytest.approx(9e-4, rel=WITHIN)
    assert found.best.usd == pytest.approx(3e-4, rel=0.2)
    assert found.best.value > found.matched.value


def test_a_router_that_cannot_spend_as_much_is_taken_where_it_spends_most() -> None:
    found = sweep(lambda trade_offs: [_result(a, 1e-4 * a) for a in trade_offs], 1.0, 5e-4)
    assert found.matched.usd == pytest.approx(1e-4)


def test_trade_offs_rise_with_the_dial() -> None:
    """At the typical cost, even odds weigh the typical cost like one unit of quality."""
    dials = trade_off(np.array([-5.0, 0.0, 5.0]), 1e-3)
    assert (np.diff(dials) > 0).all()
    assert dials[1] / (1 - dials[1]) == pytest.approx(1e-3)
