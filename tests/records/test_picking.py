"""Rows out of columns."""

from __future__ import annotations

import numpy as np
import pytest

from routing_core.records.picking import join, pick


@pytest.mark.parametrize(
    "column", [np.arange(12.0).reshape(4, 3), np.arange(4), list("abcd"), np.array(list("abcd"), object)]
)
def test_a_row_is_picked_whole_whatever_the_column_is(column):
    """An embedding is a row of a matrix: picking it must not flatten the matrix."""
    picked = pick(column, np.array([2, 0]))
    assert np.array_equal(np.asarray(picked), np.asarray(column)[[2, 0]])
    assert np.array_equal(np.asarray(join([picked, picked])), np.concatenate([np.asarray(picked)] * 2))


def test_no_column_has_no_rows():
    assert pick(None, np.array([0])) is None
