"""What a comparison of two ways of routing may claim: one notion for receipts and backtests."""

from __future__ import annotations

from enum import StrEnum

WITHIN = 0.01
"""Largest difference in spend, a share, that counts as the same spend."""


class Verdict(StrEnum):
    """What may be claimed."""

    GAIN = "gain"
    """Ours is better at the same spend, beyond chance."""
    LOSS = "loss"
    """Theirs is."""
    NO_GAIN = "no gain"
    """The difference is within what chance may make: nothing can be claimed, whatever it looks like."""
    UNMATCHED = "spend not matched"
    """Spends differ by more than one per cent although they need not, so nothing is claimed."""
