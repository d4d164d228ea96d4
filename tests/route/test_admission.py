"""Admission: who may take a query, what leaving it costs, and until which batch it may run."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from routing_core.records.catalog import Catalog, Model, Price, Serving
from routing_core.records.estimates import Estimates
from routing_core.records.queries import Queries
from routing_core.route.admission import (
    EXPIRED,
    Night,
    Patience,
    candidate_bits,
    capacity_per_batch,
    deferral_penalty,
    eligibility,
    last_batches,
    why_none,
)

PRICE = (Price(date(2026, 1, 1), 1.0, 1.0),)
SMALL = Model("small", Serving.API, PRICE, context_window=100, rate_limit_per_minute=2.5, tags=frozenset({"eu"}))
LARGE = Model("large", Serving.SELF_HOSTED, PRICE, 1000, "h100", 2, 8, tags=frozenset({"eu", "private"}))
CATALOG = Catalog((SMALL, LARGE))
NIGHT = Night(date(2026, 11, 23), batches=10, batch_minutes=6.0)
PATIENCE = Patience(quality=0.1, growth=0.5, urgency=2.0)


def queries(n: int = 1, **columns) -> Queries:
    return Queries(
        **{
            "query_id": np.array([f"q{i}" for i in range(n)], object),
            "task": np.array(["t"] * n, object),
            "prompt": ["p"] * n,
            "input_tokens": np.full(n, 10),
            "embedding": None,
            "priority": np.ones(n),
            "deadline": np.full(n, np.datetime64("NaT", "us")),
            "max_cost_usd": np.full(n, np.inf),
            "min_quality": np.zeros(n),
            "team": np.full(n, None, object),
            "allowed_models": [None] * n,
            "denied_models": [None] * n,
            "required_tags": [None] * n,
            "submitted_at": np.full(n, np.datetime64("NaT", "us")),
            "first_dt": np.full(n, np.datetime64("2026-11-22")),
            **columns,
        }
    )


def estimates(n: int = 1) -> Estimates:
    quality = np.tile(np.float32([0.5, 0.9]), (n, 1))
    return Estimates(CATALOG.names, quality, quality, np.tile(np.float32([0.01, 0.1]), (n, 1)))


@pytest.mark.parametrize(
    ("columns", "allowed"),
    [
        ({}, [True, True]),
        ({"input_tokens": np.array([100])}, [False, True]),
        ({"max_cost_usd": np.array([0.05])}, [True, False]),
        ({"min_quality": np.array([0.6])}, [False, True]),
        ({"allowed_models": [("small", "unknown")]}, [True, False]),
        ({"allowed_models": [()]}, [True, True]),
        ({"denied_models": [("small",)]}, [False, True]),
        ({"required_tags": [("private", "eu")]}, [False, True]),
        ({"required_tags": [("moon",)]}, [False, False]),
    ],
)
def test_each_rule_rules_out_the_models_it_should(columns, allowed):
    assert eligibility(queries(**columns), estimates(), CATALOG).tolist() == [allowed]


def test_a_query_that_no_model_may_take_says_which_rules_and_values():
    one = queries(required_tags=[("moon",)], max_cost_usd=np.array([0.001]))
    why = why_none(one, estimates(), CATALOG, 0)
    assert "required_tags is moon" in why
    assert "max_cost_usd is 0.001, the cheapest model is expected to cost 0.01" in why
    assert "context window" not in why


def test_a_deadline_allows_the_batches_that_end_before_it():
    deadlines = [
        "2026-11-22T23:59",
        "2026-11-23T00:05",
        "2026-11-23T00:06",
        "2026-11-23T00:17",
        "2026-11-24T00:00",
        "NaT",
    ]
    batches = last_batches(np.array(deadlines, "datetime64[us]"), NIGHT)
    assert batches.tolist() == [EXPIRED, EXPIRED, 1, 2, 10, 10]


def test_penalty_grows_with_priority_waiting_and_a_deadline_that_leaves_no_other_night():
    four = queries(
        4,
        priority=np.array([1.0, 3.0, 1.0, 1.0]),
        deadline=np.array(["NaT", "NaT", "NaT", "2026-11-23T12:00"], "datetime64[us]"),
    )
    penalty = deferral_penalty(four, np.array([0, 0, 2, 0]), NIGHT, PATIENCE)
    assert penalty == pytest.approx([0.1, 0.3, 0.2, 0.2])


def test_capacity_is_instances_times_concurrency_or_the_rate_in_a_batch():
    assert capacity_per_batch(LARGE, 3, 6.0) == 24
    assert capacity_per_batch(SMALL, 0, 6.0) == 15
    assert capacity_per_batch(replace(SMALL, rate_limit_per_minute=None), 0, 6.0) is None


def test_candidates_are_bits_in_catalog_order():
    assert candidate_bits(np.array([[True, False], [False, True], [True, True]])).tolist() == [1, 2, 3]
    assert candidate_bits(np.ones((1, 63), bool))[0] == 2**63 - 1
    assert candidate_bits(np.ones((1, 64), bool)) is None
