"""How a contract for a Parquet partition is written down: one :class:`Column` a line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a column holds."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    TIMESTAMP = "timestamp, UTC"
    STRINGS = "list of strings"
    VECTOR = "list of numbers"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a contract.

    Attributes
    ----------
    name : str
    kind : Kind
    meaning : str
        One sentence, with the unit where there is one.
    required : bool
        Whether the file must have the column. A required column takes no nulls.
    low, high : float or None
        Inclusive range of a number; None leaves the side open. Non-finite values never pass.
    """

    name: str
    kind: Kind
    meaning: str
    required: bool = True
    low: float | None = None
    high: float | None = None
