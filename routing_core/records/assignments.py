"""Assignments: the decision for each query."""

from __future__ import annotations

from enum import StrEnum

DEFERRED = -1
"""Model index that stands for «waits for the next night»."""


class Reason(StrEnum):
    """Why a backlog row cannot be routed at all."""

    MALFORMED = "malformed"
    """A value breaks the contract."""
    DUPLICATE = "duplicate"
    """Another row of the night has the same query_id."""
    NO_ELIGIBLE_MODEL = "no_eligible_model"
    """Every model is ruled out by context window, lists, tags, cost cap or minimum quality."""
    EXPIRED = "expired"
    """Its deadline is before the night's work can begin."""


class Constraint(StrEnum):
    """What kept a query from being served tonight."""

    BUDGET = "budget"
    """The budget's shadow price made every model worth less than waiting."""
    CAPACITY = "capacity"
    """The capacity of the models it would have taken is worth more to others."""
    TEAM_BUDGET = "team_budget"
    """Its team's budget is spent."""
    DEADLINE = "deadline"
    """No batch before its deadline has room."""
    VALUE = "value"
    """No model is expected to beat waiting, even with nothing binding."""
