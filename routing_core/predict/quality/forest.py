"""A random forest whose trees all models share, so that a log with one model per query still shapes them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from routing_core.predict.linear import blocks
from routing_core.predict.quality.base import QualityModel

PRIOR_LABELS = 2.0
"""Labels' worth of the model's mean in each leaf."""


class SharedForest(QualityModel):
    """Trees split where queries differ for any model; each leaf then holds a mean per model.

    Splits are found by scikit-learn on deviations from each model's mean, a missing label counting as none; leaves
    take all labelled rows, so a leaf's mean is of far more queries than its tree was grown on.

    Parameters
    ----------
    trees : int
    leaf : int
        Least queries, of those a tree is grown on, in a leaf.
    features : float
        Share of features tried at a split.
    max_rows : int
        Most queries a tree is grown on.
    seed : int
    """

    method: ClassVar[str] = "forest"
    fitted: ClassVar[tuple[str, ...]] = ("feature_", "threshold_", "left_", "right_", "value_", "roots_", "depth_")

    def __init__(
        self, trees: int = 64, leaf: int = 20, features: float = 0.33, max_rows: int = 4000, seed: int = 0
    ) -> None:
        self.trees = trees
        self.leaf = leaf
        self.features = features
        self.max_rows = max_rows
        self.seed = seed

    def _learn(self, X: NDArray[np.float32], y: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
        deviation = np.where(weight > 0, y - self.mean_, 0)
        # With one label in m a leaf needs more queries, though not m times as many, to hold the same evidence.
        density = (weight > 0).sum() / (len(X) * max(int(weight.any(axis=0).sum()), 1))
        self._least = int(np.clip(round(self.leaf / np.sqrt(density)), 1, max(len(X) // 10, 1)))
        rng = np.random.default_rng(self.seed)
        grown = [self._grow(X, deviation, rng) for _ in range(self.trees)]
        offsets = np.cumsum([0, *(tree.node_count for tree in grown)])
        self.roots_ = offsets[:-1].astype(np.int32)
        self.depth_ = np.array([max(tree.max_depth for tree in grown)], np.int32)
        self.feature_ = np.concatenate([np.maximum(tree.feature, 0) for tree in grown]).astype(np.int32)
        self.threshold_ = np.concatenate([tree.threshold for tree in grown]).astype(np.float32)
        # A leaf is its own child: going down further than a branch is deep stays in its leaf.
        self.left_, self.right_ = (
            np.concatenate(
                [
                    np.where(side >= 0, side, np.arange(tree.node_count)) + offset
                    for tree, offset in zip(grown, offsets[:-1], strict=True)
                    for side in (getattr(tree, f"children_{name}"),)
                ]
            ).astype(np.int32)
            for name in ("left", "right")
        )
        self.value_ = self._leaf_means(X, y, weight, int(offsets[-1]))

    def _grow(self, X: NDArray[np.float32], deviation: NDArray[np.float32], rng: np.random.Generator):  # type: ignore[no-untyped-def]
        """One tree on a bootstrap sample; what scikit-learn calls ``tree_``."""
        from sklearn.tree import DecisionTreeRegressor  # noqa: PLC0415 — slow to import

        rows = rng.integers(0, len(X), min(len(X), self.max_rows))
        seed = int(rng.integers(2**31))
        tree = DecisionTreeRegressor(min_samples_leaf=self._least, max_features=self.features, random_state=seed)
        return tree.fit(X[rows], deviation[rows]).tree_

    def _leaf_means(
        self, X: NDArray[np.float32], y: NDArray[np.float32], weight: NDArray[np.float32], nodes: int
    ) -> NDArray[np.float32]:
        sums = np.zeros((nodes, self.n_models_))
        totals = np.zeros((nodes, self.n_models_))
        for rows in blocks(len(X), 8192):
            leaves = self._leaves(X[rows])
            for j in range(self.n_models_):
                seen = np.flatnonzero(weight[rows, j] > 0)
                at = leaves[seen].ravel()
                share = np.repeat(weight[rows, j][seen], leaves.shape[1])
                totals[:, j] += np.bincount(at, share, nodes)
                sums[:, j] += np.bincount(at, share * np.repeat(y[rows, j][seen], leaves.shape[1]), nodes)
        return ((sums + PRIOR_LABELS * self.mean_) / (totals + PRIOR_LABELS)).astype(np.float32)

    def _leaves(self, X: NDArray[np.float32]) -> NDArray[np.intp]:
        """Leaf of each row in each tree: ndarray of intp, shape (n_queries, n_trees)."""
        flat, start = X.ravel(), (np.arange(len(X)) * X.shape[1])[:, None]
        feature, child = self.feature_.astype(np.intp), np.stack([self.right_, self.left_], axis=1).astype(np.intp)
        node = np.broadcast_to(self.roots_.astype(np.intp), (len(X), len(self.roots_)))
        for _ in range(int(self.depth_[0])):
            goes_left = flat.take(start + feature.take(node)) <= self.threshold_.take(node)
            node = child.take(2 * node + goes_left)
        return node

    def _estimate(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The mean over trees. Their spread is not that of the estimate, so none is claimed."""
        mean = np.empty((len(X), self.n_models_), np.float32)
        for rows in blocks(len(X)):
            mean[rows] = _leaf_sums(self._leaves(X[rows]), self.value_) / len(self.roots_)
        return mean, np.full_like(mean, np.nan)


def _leaf_sums(leaves: NDArray[np.intp], value: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum of each row's leaves' values, shape (n_queries, n_models), as a product with a matrix of ones."""
    n_rows, n_trees = leaves.shape
    ends = np.arange(n_rows + 1) * n_trees
    ones = sparse.csr_matrix((np.ones(leaves.size, np.float32), leaves.ravel(), ends), shape=(n_rows, len(value)))
    return np.asarray(ones @ value, np.float32)
