"""What tests of prediction share: a small world with known skills, and its logs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_world import make_outcomes

from routing_core.records.outcomes import Outcomes


@pytest.fixture(scope="session")
def outcomes() -> Outcomes:
    """Every model's answer to 600 queries."""
    return make_outcomes(600, seed=1)


@pytest.fixture(scope="session")
def partial_outcomes() -> Outcomes:
    """One model's answer to each of 1,500 queries."""
    return make_outcomes(1500, seed=2, logged="one")
