"""Strangers: queries unlike anything in the training mix, by task and by distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.features import FeatureMap
from routing_core.predict.linear import blocks
from routing_core.predict.state import State
from routing_core.records.estimates import FAR, NEW_TASK

LANDMARKS = 1024
"""Training queries that stand for the mix."""
FAR_QUANTILE = 0.99
"""Quantile of the training queries' own distances beyond which a query is far."""


@dataclass(frozen=True, slots=True)
class StrangerShare:
    """Share of queries that lie outside the training mix.

    Attributes
    ----------
    share : float, in [0, 1]
        By task or by distance.
    by_task : float, in [0, 1]
        Of a task never seen.
    by_distance : float, in [0, 1]
        Farther from the training queries than 99 % of these are from each other; about 0.01 is expected.
    """

    share: float
    by_task: float
    by_distance: float


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """What is near to the training mix.

    Attributes
    ----------
    landmarks : ndarray of float32, shape (n_landmarks, n_features)
    radius : float
        Squared distance to the nearest landmark beyond which a query is far.
    """

    landmarks: NDArray[np.float32]
    radius: float

    def far(self, X: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which queries are far from every landmark.

        Parameters
        ----------
        X : ndarray of float32, shape (n_queries, n_features)
        """
        return _squared_distance(X, self.landmarks) > self.radius

    def state(self) -> State:
        """Landmarks and radius."""
        return State({"radius": self.radius}, {"landmarks": self.landmarks})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The neighbourhood that `state` described."""
        return cls(state.arrays["landmarks"], state.meta["radius"])


def learn_neighbourhood(X: NDArray[np.float32], seed: int) -> Neighbourhood:
    """Landmarks drawn from the training queries; the radius from other training queries.

    Parameters
    ----------
    X : ndarray of float32, shape (n_queries, n_features)
    seed : int
    """
    order = np.random.default_rng(seed).permutation(len(X))
    cut = min(LANDMARKS, (len(X) + 1) // 2)
    landmarks, others = X[np.sort(order[:cut])], X[order[cut : 5 * cut]]
    distances = _squared_distance(others, landmarks)
    return Neighbourhood(landmarks, float(np.quantile(distances, FAR_QUANTILE)) if len(distances) else float("inf"))


def strangeness(
    features: FeatureMap, near: Neighbourhood, X: NDArray[np.float32], task: NDArray[np.object_]
) -> NDArray[np.int8]:
    """What is strange about each query: 0, or the sum of `NEW_TASK` and `FAR`.

    Parameters
    ----------
    features : FeatureMap
    near : Neighbourhood
    X : ndarray of float32, shape (n_queries, n_features)
    task : ndarray of str objects, shape (n_queries,)

    Returns
    -------
    ndarray of int8, shape (n_queries,)
    """
    new = ~np.isin(task.astype(str), np.array(features.tasks, dtype=str))
    return (NEW_TASK * new + FAR * near.far(X)).astype(np.int8)


def stranger_share(strange: NDArray[np.int8]) -> StrangerShare:
    """Shares of what `strangeness` found; all 0 of no query."""
    if not len(strange):
        return StrangerShare(0.0, 0.0, 0.0)
    return StrangerShare(*(float(((strange & what) > 0).mean()) for what in (NEW_TASK | FAR, NEW_TASK, FAR)))


def _squared_distance(X: NDArray[np.float32], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distance to the nearest landmark; infinite where there is none."""
    if not len(landmarks):
        return np.full(len(X), np.inf, np.float32)
    nearest = np.empty(len(X), np.float32)
    half = 0.5 * (landmarks**2).sum(axis=1)
    for rows in blocks(len(X)):
        closest = (half - X[rows] @ landmarks.T).min(axis=1)
        nearest[rows] = (X[rows] ** 2).sum(axis=1) + 2 * closest
    return np.maximum(nearest, 0)
