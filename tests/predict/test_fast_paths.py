"""What is computed in a roundabout way because it is faster is what the plain way gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from routing_core.predict.features import CHARACTERS, _character_counts
from routing_core.predict.quality import knn
from routing_core.predict.quality.forest import SharedForest, _leaf_sums
from routing_core.predict.quality.knn import GROUP, LOOKED_UP, NearestNeighbours, _nearest

FEW_VALUES = st.sampled_from([np.float32(v) for v in (-1.5, -0.25, 0.0, 2.0**-21, 0.5, 3.0)])
ANY_VALUES = st.floats(-4, 4, width=32, allow_subnormal=False)


@given(st.data())
def test_the_nearest_are_the_smallest_in_order_each_column_once(data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 40))
    elements = data.draw(st.sampled_from([FEW_VALUES, ANY_VALUES]))
    distance = data.draw(arrays.arrays(np.float32, (rows, columns), elements=elements))
    count = data.draw(st.integers(1, columns))
    found = _nearest(distance, count)
    assert np.array_equal(np.take_along_axis(distance, found, axis=1), np.sort(distance, axis=1)[:, :count])
    assert all(len(set(row)) == count for row in found.tolist())


@pytest.mark.parametrize("columns", [GROUP * 7, GROUP * 7 + 5, 1000])
@pytest.mark.parametrize("values", [2, 50, 10**6])
def test_leaving_out_what_is_far_changes_no_neighbour(
    columns: int, values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many references to a neighbour, distances tied or not, below 0 or above."""
    distance = np.random.default_rng(values).integers(-values, values, (40, columns)).astype(np.float32) / 64
    found = _nearest(distance, 7)
    monkeypatch.setattr(knn, "GROUP", columns)
    assert np.array_equal(found, _nearest(distance, 7))
    assert np.array_equal(np.take_along_axis(distance, found, axis=1), np.sort(distance, axis=1)[:, :7])


@given(st.integers(0, 10))
def test_a_rows_neighbours_do_not_depend_on_the_rows_beside_it(seed: int) -> None:
    distance = np.random.default_rng(seed).integers(-3, 3, (16, 50)).astype(np.float32)
    together = _nearest(distance, 9)
    assert all(np.array_equal(_nearest(distance[i : i + 1], 9)[0], together[i]) for i in range(16))


def test_votes_are_the_weighted_mean_of_the_nearest_labels_and_its_deviation() -> None:
    """More queries than are looked up at once; weights by rank and by importance."""
    rng = np.random.default_rng(3)
    X, at = (rng.integers(-64, 64, (n, 5)).astype(np.float32) / 64 for n in (90, LOOKED_UP + 7))
    y, weight = rng.random((90, 3)).astype(np.float32), rng.uniform(0.5, 2, (90, 3)).astype(np.float32)
    model = NearestNeighbours(neighbours=12).fit(X, y, weight)
    by_rank, spread = model._rank_weights(90)
    mean, std = model.predict_with_std(at)
    for i in (0, LOOKED_UP - 1, LOOKED_UP + 6):
        near = np.argsort(((X - at[i]) ** 2).sum(axis=1), kind="stable")[: len(by_rank)]
        share = weight[near] * by_rank[:, None]
        expected = (share * y[near]).sum(axis=0) / share.sum(axis=0)
        deviation = (weight[near] * (y[near] - expected)) ** 2 * spread[:, None]
        np.testing.assert_allclose(mean[i], expected, rtol=1e-5)
        np.testing.assert_allclose(std[i], np.sqrt(deviation.sum(axis=0)) / share.sum(axis=0), rtol=1e-4)


@given(st.lists(st.text(max_size=30), max_size=5), st.integers(0, 300))
def test_characters_of_many_texts_are_counted_as_of_each(texts: list[str], more: int) -> None:
    many = [*texts, *["A 1?"] * more]
    alone = [_character_counts([text]) for text in many]
    assert np.array_equal(_character_counts(many), np.concatenate([np.empty((0, len(CHARACTERS))), *alone]))


def test_leaves_and_their_sums_are_those_of_going_down_tree_by_tree() -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(300, 6)).astype(np.float32)
    y = (X[:, :2] > 0).astype(np.float32)
    forest = SharedForest(trees=5, leaf=5, seed=1).fit(X, y)
    expected = np.array([[_descend(forest, root, x) for root in forest.roots_] for x in X])
    leaves = forest._leaves(X)
    assert np.array_equal(leaves, expected)
    np.testing.assert_allclose(_leaf_sums(leaves, forest.value_), forest.value_[expected].sum(axis=1), rtol=1e-5)


def _descend(forest: SharedForest, node: int, x: np.ndarray) -> int:
    while forest.left_[node] != node:
        goes_left = x[forest.feature_[node]] <= forest.threshold_[node]
        node = int(forest.left_[node] if goes_left else forest.right_[node])
    return node
