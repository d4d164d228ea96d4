"""A night solved from mapped shards is the night that was written, and it is solved as any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from routing_core.bench import mapped
from routing_core.bench.solver import FAMILIES, estimates
from routing_core.errors import SettingsError
from routing_core.store.gather import gather


def test_what_is_gathered_from_the_shards_is_what_is_made_at_once(tmp_path: Path) -> None:
    limits = mapped.write_night(tmp_path, 100_000, 3, FAMILIES["loose"])
    night = gather(sorted(tmp_path.iterdir()), 3, [])
    quality, cost = estimates(100_000, 3)
    place = np.concatenate(night.places)
    assert np.array_equal(np.sort(place), np.arange(100_000))
    assert np.array_equal(night.lower_quality[place], quality)
    assert np.array_equal(night.cost_usd[place], cost)
    best = cost[np.arange(len(cost)), quality.argmax(axis=1)].sum(dtype=np.float64)
    assert limits["budget"] == pytest.approx(FAMILIES["loose"].budget * best, rel=1e-6)


def test_a_mapped_night_is_solved_to_its_gap_and_its_memory_told_apart() -> None:
    figures = mapped.bench_mapped(20_000, 5)
    assert figures["feasible"]
    assert figures["gap"] <= mapped.GAP
    assert 0 < figures["peak_anonymous_mib"] <= figures["peak_rss_mib"]


def test_an_unknown_family_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"loose.*got 'lavish'"):
        mapped.bench_mapped(10, 2, "lavish")
