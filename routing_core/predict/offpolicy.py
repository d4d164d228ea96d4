"""What a plan would have been worth, when only the answers of the models that answered are known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from routing_core.predict.labels import Labels

LARGEST_RATIO = 20.0
"""Ceiling of an inverse propensity: a little bias for much less variance."""


@dataclass(frozen=True, slots=True, eq=False)
class PlanValue:
    """Estimated mean quality of a plan.

    Attributes
    ----------
    parts : ndarray of float64, shape (n_queries,)
        One contribution a query, whose mean is the value: what paired comparisons are made of.
    effective : float
        Effective sample size of the answers it rests on; n_queries with full feedback.
    """

    parts: NDArray[np.float64]
    effective: float

    @property
    def value(self) -> float:
        """Mean quality of the plan."""
        return float(self.parts.mean()) if len(self.parts) else 0.0


def propensities(labels: Labels, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probability that the log shows each (query, model).

    Logged propensities are used where there are some; elsewhere the share of the task's queries that the model
    answered. A query that shows all known models has probability 1 for each.

    Returns
    -------
    ndarray of float64, shape (len(rows), n_models), in (0, 1], NaN where not seen
    """
    seen = labels.seen[rows]
    logged = labels.propensity[rows].astype(np.float64)
    share = np.ones(seen.shape)
    for task in np.unique(labels.task[rows].astype(str)):
        here = labels.task[rows].astype(str) == task
        share[here] = np.maximum(seen[here].mean(axis=0), 1e-3)
    return np.where(seen, np.where(np.isnan(logged), share, logged), np.nan)


def plan_value(
    choice: NDArray[np.integer],
    labels: Labels,
    rows: NDArray[np.int64],
    model: NDArray[np.float32],
) -> PlanValue:
    """Doubly robust, self-normalised value of a plan (Dudík et al., 2011; Swaminathan & Joachims, 2015).

    With full feedback every chosen answer is known and the value is their plain mean. A deferred query is worth 0.

    Parameters
    ----------
    choice : ndarray of int, shape (n_queries,)
        Model of each query, −1 where deferred.
    labels : Labels
    rows : ndarray of int64, shape (n_queries,)
        Queries of ``labels`` that are planned.
    model : ndarray of float32, shape (n_queries, n_models)
        Predicted quality that stands in where no answer is known; must not have seen ``rows``.
    """
    at = np.arange(len(rows))
    served = choice >= 0
    chosen = np.where(served, choice, 0)
    known = served & labels.seen[rows][at, chosen]
    guess = np.where(served, model[at, chosen], 0).astype(np.float64)
    actual = np.where(known, np.nan_to_num(labels.quality[rows][at, chosen]), 0).astype(np.float64)
    if known[served].all():
        return PlanValue(actual, float(len(rows)))
    ratio = np.where(known, np.minimum(1 / propensities(labels, rows)[at, chosen], LARGEST_RATIO), 0)
    total = ratio.sum()
    if total == 0:
        return PlanValue(guess, 0.0)
    # Answers correct the guess over the served queries, of which there may be fewer than queries.
    parts = guess + served.sum() * ratio / total * np.where(known, actual - guess, 0)
    return PlanValue(parts, float(total**2 / (ratio**2).sum()))


LEAST_EFFECTIVE = 30.0
"""Effective answers below which nothing is said of a policy."""
UNSEEN = 0.02
"""Share of a policy's decisions that may lie where the log never decides so, beyond what chance explains."""
_CHANCE = 3.0
"""Standard errors within which the mean weight may miss 1."""


@dataclass(frozen=True, slots=True)
class Value:
    """An estimate of mean quality per query, with its 95 % interval."""

    value: float
    stderr: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """What a policy would have been worth, by logs of another.

    Attributes
    ----------
    ips, snips, dr : Value or None
        By inverse propensity (Horvitz & Thompson, 1952), self-normalised (Swaminathan & Joachims, 2015), and doubly
        robust (Dudík et al., 2011). None if refused.
    gain : Value or None
        Doubly robust value less what the log itself earned, paired by query.
    logged : Value
        What the log earned.
    effective : float
        Effective sample size (Σw)² / Σw².
    support : float
        Mean weight: 1 where the log may decide as the policy does, less by the share where it never does.
    refusal : str or None
        Why nothing is said.
    """

    ips: Value | None
    snips: Value | None
    dr: Value | None
    gain: Value | None
    logged: Value
    effective: float
    support: float
    refusal: str | None


def policy_value(
    agrees: NDArray[np.floating] | NDArray[np.bool_],
    propensity: NDArray[np.float64],
    reward: NDArray[np.float64],
    logged_guess: NDArray[np.floating],
    policy_guess: NDArray[np.floating],
) -> PolicyValue:
    """Value a policy by the answers that another one's choices got.

    Intervals are of Student's t with as many degrees of freedom as there are effective answers, less one. Weights are
    not clipped: doubly robust and inverse-propensity values have no bias where the log may decide as the policy does,
    and are refused where it may not.

    Parameters
    ----------
    agrees : ndarray of bool, or float in [0, 1], shape (n_queries,)
        Probability with which the policy takes the logged decision; of a policy that does not draw, whether it does.
    propensity : ndarray of float64, shape (n_queries,), in (0, 1]
        Probability with which the log took it.
    reward : ndarray of float64, shape (n_queries,), in [0, 1]
        Realised quality of it; 0 of a deferred query.
    logged_guess : ndarray of float, shape (n_queries,), in [0, 1]
        Predicted quality of the logged decision, by a predictor that has not seen these answers.
    policy_guess : ndarray of float, shape (n_queries,), in [0, 1]
        The same of the policy's decision.
    """
    n, weight = len(reward), np.asarray(agrees, np.float64) / propensity
    total, square = float(weight.sum()), float((weight**2).sum())
    effective = total**2 / square if square > 0 else 0.0
    support = total / n if n else 0.0
    logged = _mean_of(reward, float(n)) if n else Value(0.0, 0.0, 0.0, 0.0)
    refusal = _refusal(weight, effective, support)
    if refusal:
        return PolicyValue(None, None, None, None, logged, effective, support, refusal)
    doubly = policy_guess + weight * (reward - logged_guess)
    normal = float(weight @ reward) / total
    spread = math.sqrt(float((weight**2 * (reward - normal) ** 2).sum())) / total
    return PolicyValue(
        ips=_mean_of(weight * reward, effective),
        snips=_value(normal, spread, effective),
        dr=_mean_of(doubly, effective),
        gain=_mean_of(doubly - reward, effective),
        logged=logged,
        effective=effective,
        support=support,
        refusal=None,
    )


def _refusal(weight: NDArray[np.float64], effective: float, support: float) -> str | None:
    """Why the overlap of log and policy is too thin, or None."""
    if effective < LEAST_EFFECTIVE:
        return (
            f"too few logged decisions are the policy's: {effective:.1f} effective answers, at least "
            f"{LEAST_EFFECTIVE:g} are needed; log more, or explore (exploration_share)"
        )
    allowed = UNSEEN + _CHANCE * float(weight.std(ddof=1)) / math.sqrt(len(weight))
    if abs(support - 1.0) > allowed:
        what = "the policy decides as the log never does" if support < 1 else "propensities are not those of the log"
        return f"{what}: the mean weight is {support:.3f}, and must be within {allowed:.3f} of 1"
    return None


def _mean_of(parts: NDArray[np.float64], effective: float) -> Value:
    spread = float(parts.std(ddof=1)) / math.sqrt(len(parts)) if len(parts) > 1 else 0.0
    return _value(float(parts.mean()), spread, effective)


def _value(mean: float, stderr: float, effective: float) -> Value:
    half = float(stdtrit(max(effective - 1.0, 1.0), 0.975)) * stderr
    return Value(mean, stderr, mean - half, mean + half)
