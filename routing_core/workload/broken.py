"""Rows broken on purpose, each in one way, so that a night can show what it does with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from routing_core.records.assignments import Reason

Row = dict[str, Any]


def _set(**values: Any) -> Callable[[Row, Row, date], Row]:
    return lambda row, before, day: row | values


def _repeat_id(row: Row, before: Row, day: date) -> Row:
    return row | {"query_id": before["query_id"]}


def _expire(row: Row, before: Row, day: date) -> Row:
    return row | {"deadline": datetime.combine(day, time(12)), "submitted_at": datetime.combine(day, time(9))}


WAYS: Mapping[str, tuple[Reason, Callable[[Row, Row, date], Row]]] = {
    "null query_id": (Reason.MALFORMED, _set(query_id=None)),
    "repeated query_id": (Reason.DUPLICATE, _repeat_id),
    "negative input_tokens": (Reason.MALFORMED, _set(input_tokens=-7)),
    "NaN priority": (Reason.MALFORMED, _set(priority=float("nan"))),
    "unknown allowed model": (
        Reason.NO_ELIGIBLE_MODEL,
        _set(allowed_models=["a-model-nobody-has"], required_tags=None),
    ),
    "expired deadline": (Reason.EXPIRED, _expire),
    "null prompt": (Reason.MALFORMED, _set(prompt=None)),
    "NUL in task": (Reason.MALFORMED, _set(task="co\0de")),
    "infinite max_cost_usd": (Reason.MALFORMED, _set(max_cost_usd=float("inf"))),
    "empty query_id": (Reason.MALFORMED, _set(query_id="")),
}
"""What is broken: the reason it should be rejected for, and a function of (row, row before it, day)."""


def broken_rows(seed: int, rows: int, broken: int) -> dict[int, str]:
    """Row numbers to break, spread over ``rows``, and the way of each, in turn.

    The row before a broken one is whole, so that the id it lends is a good one.
    """
    broken = min(broken, rows // 3)
    stretch = rows // max(broken, 1)
    offsets = np.random.default_rng(seed).integers(1, max(stretch - 1, 2), size=broken)
    ways = tuple(WAYS)
    return {k * stretch + int(offset): ways[k % len(ways)] for k, offset in enumerate(offsets)}


def break_rows(
    table: pa.Table, first: int, plan: Mapping[int, str], day: date, before: Callable[[int], Row]
) -> pa.Table:
    """``table``, whose first row has number ``first``, with the planned rows broken.

    Parameters
    ----------
    before : function of int
        The whole row before a row number, which may lie outside the table.
    """
    at: NDArray[np.int64] = np.array([n for n in sorted(plan) if first <= n < first + len(table)], dtype=np.int64)
    if not len(at):
        return table
    rows = [WAYS[plan[n]][1](table.slice(n - first, 1).to_pylist()[0], before(n), day) for n in at.tolist()]
    order = np.arange(len(table))
    order[at - first] = len(table) + np.arange(len(at))
    return pa.concat_tables([table, pa.Table.from_pylist(rows, schema=table.schema)]).take(pa.array(order))
