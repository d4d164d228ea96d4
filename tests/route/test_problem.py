"""Bad input is a named error that says which argument, which rule, and what was seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from routing_core.errors import ProblemError


def _with(value: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    matrix = np.full((4, 2), 0.5, dtype=np.float32)
    matrix[2, 1] = value
    return matrix


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"quality": _with(np.nan)}, r"quality: must be finite and in \[0, 1\], got nan at \[2, 1\]"),
    ({"quality": _with(1.5)}, r"quality: .* got 1.5 at \[2, 1\]"),
    ({"quality": np.zeros((0, 2), np.float32)}, r"quality: must have shape .* at least one of each, got \(0, 2\)"),
    ({"quality": np.zeros((4, 0), np.float32)}, r"quality: must have shape .* got \(4, 0\)"),
    ({"quality": np.zeros(4, np.float32)}, r"quality: must have shape"),
    ({"quality": np.full((4, 2), 0.5)}, r"quality: must be of float32, got float64"),
    ({"cost": _with(-1.0)}, r"cost: must be finite and at least 0, got -1.0 at \[2, 1\]"),
    ({"cost": _with(np.inf)}, r"cost: .* got inf at \[2, 1\]"),
    ({"cost": _with(np.nan)}, r"cost: .* got nan at \[2, 1\]"),
    ({"cost": np.zeros((4, 3), np.float32)}, r"cost: must have shape \(4, 2\), got \(4, 3\)"),
    ({"penalty": np.array([0.0, 0.0, -0.1, 0.0])}, r"penalty: .* got -0.1 at \[2\]"),
    ({"penalty": np.zeros(3)}, r"penalty: must have shape \(4,\), got \(3,\)"),
    ({"budget": -1.0}, r"budget: must be at least 0, got -1.0"),
    ({"budget": np.nan}, r"budget: must be at least 0, got nan"),
    ({"capacity": np.array([1, -1])}, r"capacity: must be at least 0, got -1"),
    ({"capacity": np.array([1, 1, 1])}, r"capacity: must have shape \(2,\), got \(3,\)"),
    ({"capacity": [1, 1]}, r"capacity: must be a NumPy array, got list"),
    ({"batches": 0}, r"batches: must be at least 1, got 0"),
    ({"eligible": np.ones((4, 3), bool)}, r"eligible: must have shape \(4, 2\), got \(4, 3\)"),
    ({"team": np.zeros(4, np.int32)}, r"team: needs team_budget"),
    ({"team": np.full(4, 1, np.int32), "team_budget": np.ones(1)}, r"team: .* in \[-1, 0\], got 1"),
    ({"team": np.zeros(4, np.int32), "team_budget": np.array([np.nan])}, r"team_budget: must be at least 0"),
    ({"last_batch": np.full(4, 2, np.int32)}, r"last_batch: .* in \[0, 1\], got 2"),
    ({"gamma": 1.0}, r"deviation: is needed where gamma is above 0"),
    ({"gamma": -1.0}, r"gamma: must be finite and at least 0, got -1.0"),
    ({"gamma": 1.0, "deviation": _with(np.nan)}, r"deviation: .* got nan at \[2, 1\]"),
]


@pytest.mark.parametrize(("fields", "message"), BROKEN, ids=[f"{next(iter(f))}-{i}" for i, (f, _) in enumerate(BROKEN)])
def test_broken_arguments_are_refused_by_name(kit: Any, fields: dict[str, Any], message: str) -> None:
    """Every rule of the problem, broken one at a time."""
    night = kit.night(4, 2, capacity=np.array([4, 4]))
    with pytest.raises(ProblemError, match=message):
        replace(night, **fields)
