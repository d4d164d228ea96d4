"""What the nights of the tiny world come to when nothing is in their way."""

from __future__ import annotations

from dataclasses import replace

from results import Results

from routing_core.steps import route

BUDGETS = (0.0003, 0.0005)
"""Every schedule plans what the one before has planned, with the other budget: there is always an old night to see."""

Wanted = dict[tuple[str, float], Results]


def options(budget: float, carry_over: str) -> route.RouteOptions:
    return replace(route.RouteOptions(budget_usd=budget), carry_over=carry_over)
