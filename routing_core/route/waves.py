"""Batches, either way: a planned night is dealt to its batches, or batches are taken as they arrive."""

from routing_core.route.arrival import Arrival, Money, solve_arrival
from routing_core.route.batches import crowded_deadlines, deal, uncrowd

__all__ = ["Arrival", "Money", "crowded_deadlines", "deal", "solve_arrival", "uncrowd"]
