"""Cost: how long the answer will be, and so what it will cost at the prices of the day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.linear import TOKEN_STEP, on_grid, product
from routing_core.predict.state import State
from routing_core.records.outcomes import Outcomes

PENALTY = 1.0
"""Ridge on the coefficients common to all models, in labels."""
OWN_PENALTY = 3.0
"""Ridge on how a model's coefficients differ from the common ones, in labels."""
UNKNOWN_TOKENS = 256.0
"""Answer length assumed when no outcome of any model is known, tokens."""
HEADROOM = np.log(2.0)
"""How far beyond the longest answer seen a prediction may go, in log tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenModel:
    """Expected answer length: exp of a ridge on log tokens, times a smearing factor (Duan, 1983) per model.

    Attributes
    ----------
    coefficients : ndarray of float32, shape (n_features, n_models)
        On features as `cost_features` makes them.
    level : ndarray of float32, shape (n_models,)
    smearing : ndarray of float32, shape (n_models,)
        Mean tokens over mean exp(log prediction).
    ceiling : ndarray of float32, shape (n_models,)
        Largest log prediction allowed.
    """

    coefficients: NDArray[np.float32]
    level: NDArray[np.float32]
    smearing: NDArray[np.float32]
    ceiling: NDArray[np.float32]

    def tokens(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Expected answer tokens: ndarray of float32, shape (n_queries, n_models), at least 0."""
        logs = np.clip(product(features, self.coefficients) + self.level, 0, self.ceiling)
        return on_grid(self.smearing * np.expm1(logs), TOKEN_STEP)

    def state(self) -> State:
        """The arrays."""
        return State({}, {name: getattr(self, name) for name in ("coefficients", "level", "smearing", "ceiling")})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The model that `state` described."""
        return cls(**state.arrays)


def cost_features(X: NDArray[np.float32], embedded: slice, n_shape: int) -> NDArray[np.float32]:
    """Features for answer length: shape features at unit scale, and log length within each task.

    Parameters
    ----------
    X : ndarray of float32, shape (n_queries, n_features)
        Embedding, shape and task columns, in this order.
    embedded : slice
    n_shape : int
        Columns of shape; the first is standardised log tokens.
    """
    shape = X[:, embedded.stop : embedded.stop + n_shape] * 10
    tasks = X[:, embedded.stop + n_shape :]
    return np.hstack([X[:, embedded], shape, tasks, tasks * shape[:, :1]])


def learn_tokens(
    features: NDArray[np.float32], tokens: NDArray[np.float32], weight: NDArray[np.float32], *, flat: bool = False
) -> TokenModel:
    """Learn answer lengths from the outcomes of each model.

    What models have in common is learnt from all outcomes, what sets one apart from its own, so that a model with
    few outcomes, or none, is predicted like the others.

    Parameters
    ----------
    features : ndarray of float32, shape (n_queries, n_features)
    tokens : ndarray of float32, shape (n_queries, n_models), NaN where the model was not seen
    weight : ndarray of float32, shape (n_queries, n_models)
    flat : bool
        Predict each model's mean whatever the query.
    """
    w = np.where(np.isnan(tokens), 0, weight).astype(np.float64)
    logs = np.log1p(np.nan_to_num(tokens)).astype(np.float64)
    total = w.sum(axis=0)
    known = total > 0
    level = np.where(known, (w * logs).sum(axis=0) / np.maximum(total, 1e-12), 0)
    level = np.where(known, level, level[known].mean() if known.any() else np.log1p(UNKNOWN_TOKENS))
    coefficients = np.zeros((features.shape[1], tokens.shape[1]))
    if known.any() and not flat:
        coefficients = _coefficients(features.astype(np.float64), logs - level, w)
    # Features are centred on the whole log, a model's own queries need not be: put its mean residual into the level.
    fitted = features @ coefficients
    level = level - np.where(known, (w * (level + fitted - logs)).sum(axis=0) / np.maximum(total, 1e-12), 0)
    longest = np.where(known, np.where(w > 0, logs, 0).max(axis=0, initial=0), np.log1p(UNKNOWN_TOKENS))
    ceiling = np.where(known, longest, longest.max(initial=0)) + HEADROOM
    predicted = np.expm1(np.clip(level + fitted, 0, ceiling))
    spent, expected = (w * np.nan_to_num(tokens)).sum(axis=0), (w * predicted).sum(axis=0)
    smearing = np.divide(spent, expected, out=np.ones_like(spent), where=expected > 0)
    smearing = np.where(known, smearing, smearing[known].mean() if known.any() else 1.0)
    return TokenModel(*(a.astype(np.float32) for a in (coefficients, level, smearing, ceiling)))


def _coefficients(
    features: NDArray[np.float64], logs: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Common coefficients from all outcomes, plus each model's own deviation from them."""
    overall = weight.sum(axis=1)
    pooled = (weight * logs).sum(axis=1)
    gram = (features * overall[:, None]).T @ features
    common = np.linalg.solve(gram + PENALTY * np.eye(len(gram)), features.T @ pooled)
    own = np.repeat(common[:, None], weight.shape[1], axis=1)
    for j in np.flatnonzero(weight.any(axis=0)):
        rows = np.flatnonzero(weight[:, j])
        weighted = features[rows] * weight[rows, j][:, None]
        residual = logs[rows, j] - features[rows] @ common
        own[:, j] += np.linalg.solve(
            weighted.T @ features[rows] + OWN_PENALTY * np.eye(len(gram)), weighted.T @ residual
        )
    return own


def cost_usd(
    input_tokens: NDArray[np.float64], output_tokens: NDArray[np.float32], prices: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What queries cost.

    Parameters
    ----------
    input_tokens : ndarray of float64, shape (n_queries,), tokens
    output_tokens : ndarray of float32, shape (n_queries, n_models), tokens
    prices : ndarray of float64, shape (n_models, 2), USD per token of (input, output)
    """
    return np.asarray(input_tokens[:, None] * prices[:, 0] + output_tokens * prices[:, 1], np.float64)


def implied_prices(outcomes: Outcomes, models: tuple[str, ...]) -> NDArray[np.float64]:
    """Prices at which the log was billed, by non-negative least squares of cost on tokens.

    What is learnt from held-out nights needs prices, and a recipe must not depend on tonight's.

    Parameters
    ----------
    outcomes : Outcomes
    models : tuple of str

    Returns
    -------
    ndarray of float64, shape (n_models, 2), USD per token of (input, output)
        For a model without outcomes, the mean over the others.
    """
    from scipy.optimize import nnls  # noqa: PLC0415 — slow to import, and estimating does without

    prices = np.full((len(models), 2), np.nan)
    for j, name in enumerate(models):
        rows = np.flatnonzero(outcomes.model == name)
        # Sums of floats depend on their order, and the order of the log must not matter.
        rows = rows[np.lexsort((outcomes.cost_usd[rows], outcomes.output_tokens[rows], outcomes.input_tokens[rows]))]
        tokens = np.stack([outcomes.input_tokens[rows], outcomes.output_tokens[rows]], axis=1).astype(np.float64)
        if len(rows):
            prices[j] = nnls(tokens, outcomes.cost_usd[rows] * 1e6)[0] / 1e6
    known = ~np.isnan(prices[:, 0])
    prices[~known] = prices[known].mean(axis=0) if known.any() else 1e-6
    return prices
