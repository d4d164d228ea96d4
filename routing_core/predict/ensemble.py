"""The ensemble: members fitted on the same features, averaged, their disagreement counted as doubt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.quality import METHODS, LowRankLogistic, NearestNeighbours, QualityModel, SharedForest
from routing_core.predict.recipe import Recipe
from routing_core.predict.state import State, joined, part


@dataclass(frozen=True, slots=True)
class Candidacy:
    """What a candidate would bring to the ensemble.

    Attributes
    ----------
    member : str
    gain, standard_error : float
        By how much it lowers the squared error of held-out answers, per unit of weight, paired by query.
    joins : bool
    """

    member: str
    gain: float
    standard_error: float
    joins: bool


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """Fitted members, each with an equal voice.

    Attributes
    ----------
    members : tuple of QualityModel
        None, if there was not a single outcome to learn from.
    n_models : int
    """

    members: tuple[QualityModel, ...]
    n_models: int

    def estimate(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean over members, and the standard deviation of the estimate.

        Returns
        -------
        mean, std : ndarray of float32, shape (n_queries, n_models)
            As `combined` makes them.
        """
        return combined(*self.by_member(X))

    def mean(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean over members alone, to the bit the one of `estimate`: float32, shape (n_queries, n_models)."""
        if not self.members:
            return self.by_member(X)[0][0]
        return np.asarray(np.stack([member.predict(X) for member in self.members]).mean(axis=0), np.float32)

    def by_member(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What each member says; without members, one that knows nothing.

        Returns
        -------
        means, stds : ndarray of float32, shape (max(n_members, 1), n_queries, n_models)
        """
        if not self.members:
            shape = (1, len(X), self.n_models)
            return np.full(shape, 0.5, np.float32), np.full(shape, np.nan, np.float32)
        means, stds = zip(*(member.predict_with_std(X) for member in self.members), strict=True)
        return np.stack(means), np.stack(stds)

    def state(self) -> State:
        """The members' states, in order."""
        states = joined({str(i): member.state() for i, member in enumerate(self.members)})
        methods = [member.method for member in self.members]
        return State({"methods": methods, "n_models": self.n_models, **states.meta}, states.arrays)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The ensemble that `state` described."""
        methods = state.meta["methods"]
        members = (METHODS[name].from_state(part(state, str(i))) for i, name in enumerate(methods))
        return cls(tuple(members), state.meta["n_models"])


def combined(means: NDArray[np.float32], stds: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean over members, and the standard deviation of the estimate.

    Members learn from the same labels, so their errors are taken as fully correlated: variances are averaged, not
    divided, and what members disagree by is added.

    Parameters
    ----------
    means, stds : ndarray of float32, shape (n_members, n_queries, n_models)
        A standard deviation is NaN where a member does not know its own.

    Returns
    -------
    mean, std : ndarray of float32, shape (n_queries, n_models)
        ``std`` is NaN where no member knows its own.
    """
    variances = stds**2
    known = ~np.isnan(variances)
    own = np.where(known, variances, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    total = np.where(known.any(axis=0), own + means.var(axis=0), np.nan)
    return means.mean(axis=0), np.sqrt(total).astype(np.float32)


def fit_ensemble(
    recipe: Recipe,
    X: NDArray[np.float32],
    y: NDArray[np.float32],
    weight: NDArray[np.float32],
    seed: int,
    members: Sequence[str] | None = None,
) -> Ensemble:
    """Fit the members of an ensemble.

    Parameters
    ----------
    recipe : Recipe
    X : ndarray of float32, shape (n_queries, n_features)
    y, weight : ndarray of float32, shape (n_queries, n_models)
    seed : int
    members : sequence of str, optional
        By name; by default those that ``recipe`` has in any case.
    """
    fitted = (_MAKE[name](recipe, seed).fit(X, y, weight) for name in (members or recipe.quality))
    return Ensemble(tuple(fitted) if weight.any() else (), y.shape[1])


_MAKE: dict[str, Callable[[Recipe, int], QualityModel]] = {
    "means": lambda recipe, seed: METHODS["means"](),
    "knn": lambda recipe, seed: NearestNeighbours(
        neighbours=recipe.neighbours, bagged=recipe.bagged, resample=recipe.resample
    ),
    "low_rank": lambda recipe, seed: LowRankLogistic(rank=recipe.rank, seed=seed),
    "ridge": lambda recipe, seed: METHODS["ridge"](),
    "task_ridge": lambda recipe, seed: METHODS["task_ridge"](),
    "forest": lambda recipe, seed: SharedForest(trees=recipe.trees, seed=seed),
}
