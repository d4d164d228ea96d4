"""The simulated night keeps the laws of scheduling."""

from __future__ import annotations

from dataclasses import replace

import pytest

from routing_core.bench.scale import Rates, simulate_night

CALM = Rates(spread=0, lost=0, handed_out=1e9)


def test_without_luck_and_waiting_a_stage_takes_its_work_divided_by_the_workers() -> None:
    night = simulate_night(8_000_000, 11, 4, 1_000_000, replace(CALM, start_seconds=0))
    assert night["estimate"] == pytest.approx(8 * CALM.estimate_us / 4)


def test_more_workers_never_write_faster_than_the_database_takes_rows() -> None:
    few, many = (simulate_night(10**8, 11, workers, 250_000, CALM) for workers in (64, 512))
    assert many["write"] == few["write"] >= 10**8 / CALM.database_rows - 0.1  # seconds are told in tenths
    assert many["estimate"] < few["estimate"]


def test_a_lost_worker_costs_what_it_had_done_and_what_it_takes_to_notice() -> None:
    calm = simulate_night(1_000_000, 11, 1, 1_000_000, CALM)
    lost = simulate_night(1_000_000, 11, 1, 1_000_000, replace(CALM, lost=1.0))
    assert lost["estimate"] == pytest.approx(1.5 * calm["estimate"] + CALM.noticed_seconds, abs=0.1)


def test_a_slow_scheduler_holds_up_many_small_tasks() -> None:
    night = simulate_night(1_000_000, 11, 64, 1_000, replace(CALM, handed_out=2.0))
    assert night["estimate"] >= 999 / 2.0


def test_rivals_are_valued_beside_the_writes() -> None:
    night = simulate_night(10**7, 11, 8, 250_000, CALM)
    apart = night["estimate"] + night["solve"] + night["check"]
    assert night["seconds"] == pytest.approx(apart + max(night["write"], night["compare"]), abs=0.3)
