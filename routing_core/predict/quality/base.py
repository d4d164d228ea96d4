"""The contract of quality predictors: scikit-learn's, with several models at once and labels that may be missing."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from routing_core.errors import ProblemError
from routing_core.predict.state import State

if TYPE_CHECKING:
    from sklearn.utils import Tags


class QualityModel:
    """Expected quality of each model on each query.

    Subclasses implement `_learn` and `_estimate`, and name their fitted arrays in `fitted`. It is a regressor to
    scikit-learn (but for metadata routing) and none of its classes: every task that estimates would wait a second for
    their import.
    """

    method: ClassVar[str]
    """Name of the method in a recipe."""
    fitted: ClassVar[tuple[str, ...]]
    """Learnt arrays, each an attribute ending in ``_``: together they are the whole fitted state."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; ``deep`` is scikit-learn's, and changes nothing."""
        return {name: getattr(self, name) for name in self._parameters()}

    def set_params(self, **params: Any) -> Self:
        """Set parameters.

        Raises
        ------
        ValueError
            If one is unknown: the error that scikit-learn's contract asks for.
        """
        unknown = set(params) - set(self._parameters())
        if unknown:
            raise ValueError(f"{self.method} has no parameter {', '.join(sorted(unknown))}")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    @classmethod
    def _parameters(cls) -> list[str]:
        return [] if cls.__init__ is object.__init__ else list(inspect.signature(cls).parameters)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.get_params().items())})"

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn asks of an estimator: a regressor that needs labels."""
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags  # noqa: PLC0415 — slow to import

        return Tags(
            estimator_type="regressor",
            target_tags=TargetTags(required=True),
            transformer_tags=None,
            classifier_tags=None,
            regressor_tags=RegressorTags(),
            input_tags=InputTags(),
        )

    def score(
        self, X: NDArray[np.float32], y: NDArray[np.float32], sample_weight: NDArray[np.float32] | None = None
    ) -> float:
        """R² of the expected quality, as of every regressor in scikit-learn."""
        from sklearn.metrics import r2_score  # noqa: PLC0415 — slow to import

        return float(r2_score(y, self.predict(X), sample_weight=sample_weight))

    def fit(
        self, X: NDArray[np.float32], y: NDArray[np.float32], sample_weight: NDArray[np.float32] | None = None
    ) -> Self:
        """Learn.

        Parameters
        ----------
        X : ndarray of shape (n_queries, n_features)
        y : ndarray of shape (n_queries, n_models), in [0, 1]
            NaN where the model was not seen.
        sample_weight : ndarray of shape (n_queries, n_models) or (n_queries,), at least 0, optional
            Ignored where ``y`` is NaN.

        Raises
        ------
        ProblemError
            If shapes do not match, a feature is not finite, or there is no label at all.
        """
        X = np.ascontiguousarray(X, np.float32)
        y = np.asarray(y, np.float32)
        targets = y[:, None] if y.ndim == 1 else y
        weight = _weights(targets, sample_weight)
        self._check(X, targets, weight)
        self.n_features_in_ = X.shape[1]
        self.n_models_ = targets.shape[1]
        self.flat_ = y.ndim == 1
        self.mean_ = column_means(targets, weight)
        self._learn(X, np.where(weight > 0, targets, 0).astype(np.float32), weight)
        return self

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Expected quality.

        Returns
        -------
        ndarray of float32, shape (n_queries, n_models), in [0, 1]
            For a model without labels, the mean over those that have some.
        """
        mean = np.clip(self._mean(self._checked(X)), 0, 1)
        return mean[:, 0] if self.flat_ else mean

    def predict_with_std(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Expected quality, and the standard deviation its estimate would show over bootstrap samples.

        Returns
        -------
        mean, std : ndarray of float32, shape (n_queries, n_models)
            The spread is of the *estimate* (epistemic), not of single answers; NaN where the method knows none.
        """
        mean, std = self._estimate(self._checked(X))
        return np.clip(mean, 0, 1), std

    def state(self) -> State:
        """Parameters and learnt arrays."""
        meta = {"params": self.get_params(), "flat": self.flat_, "n_features": self.n_features_in_}
        return State(meta, {"mean_": self.mean_} | {name: getattr(self, name) for name in self.fitted})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted predictor that `state` described."""
        model = cls(**state.meta["params"])
        model.flat_ = state.meta["flat"]
        model.n_features_in_ = state.meta["n_features"]
        for name, array in state.arrays.items():
            setattr(model, name, array)
        model.n_models_ = len(model.mean_)
        return model

    def _learn(self, X: NDArray[np.float32], y: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
        """Learn from labels ``y`` where ``weight`` is above 0."""
        raise NotImplementedError

    def _estimate(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation, each (n_queries, n_models)."""
        raise NotImplementedError

    def _mean(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean alone, where it takes less than both."""
        return self._estimate(X)[0]

    def _checked(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        if not hasattr(self, "mean_"):
            from sklearn.exceptions import NotFittedError  # noqa: PLC0415 — slow to import

            raise NotFittedError(f"{self.method} has not been fitted")
        X = np.ascontiguousarray(X, np.float32)
        if X.ndim != 2 or X.shape[1] != self.n_features_in_:
            raise ProblemError(f"{self.method}: X must have {self.n_features_in_} features, got shape {X.shape}")
        return X

    def _check(self, X: NDArray[Any], y: NDArray[Any], weight: NDArray[Any]) -> None:
        if X.ndim != 2 or len(X) != len(y) or weight.shape != y.shape:
            raise ProblemError(
                f"{self.method}: X, y and sample_weight must have the same queries, got shapes "
                f"{X.shape}, {y.shape}, {weight.shape}"
            )
        if not np.isfinite(X).all():
            raise ProblemError(
                f"{self.method}: features must be finite, got {int((~np.isfinite(X)).sum())} that are not"
            )
        if not (weight > 0).any():
            raise ProblemError(f"{self.method}: at least one label is needed, got none")


def _weights(y: NDArray[np.float32], sample_weight: NDArray[np.float32] | None) -> NDArray[np.float32]:
    weight = np.ones_like(y) if sample_weight is None else np.asarray(sample_weight, np.float32)
    if weight.ndim == 1:
        weight = np.broadcast_to(weight[:, None], y.shape)
    return np.where(np.isnan(y), 0, weight).astype(np.float32)


def column_means(y: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted mean of each model's labels; for a model without any, the mean over those that have some."""
    total = weight.sum(axis=0, dtype=np.float64)
    sums = (np.nan_to_num(y) * weight).sum(axis=0, dtype=np.float64)
    means = np.divide(sums, total, out=np.full(len(total), np.nan), where=total > 0)
    known = means[total > 0]
    return np.where(total > 0, means, known.mean() if len(known) else 0.5).astype(np.float32)
