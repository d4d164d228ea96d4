"""Which lower estimate to plan with, chosen by what it would have earned on held-out nights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.labels import Labels
from routing_core.predict.offpolicy import plan_value
from routing_core.predict.planning import Limits, budgets, plan
from routing_core.predict.uncertainty import CONFORMAL, NONE, QUANTILE, Robustness, robustness

CANDIDATES: tuple[tuple[str, float], ...] = ((QUANTILE, 0.25), (QUANTILE, 0.1), (QUANTILE, 0.05), (CONFORMAL, 0.25))
"""Methods and levels tried against planning with the mean."""
PROOF = 2.0
"""Standard errors by which a candidate must beat the mean: of several tried, one is ahead by chance."""
CONSERVATIVE = (QUANTILE, 0.05)
"""What a night far from the training mix falls back to."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a candidate earned on held-out nights.

    Attributes
    ----------
    method, level
        The candidate.
    value : float
        Mean realised quality over nights and budgets.
    gain, standard_error : float
        Against planning with the mean, paired by query.
    """

    method: str
    level: float
    value: float
    gain: float
    standard_error: float


@dataclass(frozen=True, slots=True, eq=False)
class RobustChoice:
    """The robust level chosen, and why.

    Attributes
    ----------
    chosen : Robustness
    conservative : Robustness
        For a night far from the training mix.
    reason : str
        In words.
    trials : tuple of Trial
        Empty if the recipe left no choice or there was nothing to learn from.
    """

    chosen: Robustness
    conservative: Robustness
    reason: str
    trials: tuple[Trial, ...]

    @property
    def method(self) -> str:
        """Method planned with."""
        return self.chosen.method

    @property
    def level(self) -> float:
        """Its level."""
        return self.chosen.level

    def to_dict(self) -> dict[str, Any]:
        """The choice and its evidence as plain data."""
        return {
            "method": self.method,
            "level": self.level,
            "reason": self.reason,
            "trials": [asdict(trial) for trial in self.trials],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], chosen: Robustness, conservative: Robustness) -> Self:
        """The choice that `to_dict` described, with its fitted methods."""
        return cls(chosen, conservative, data["reason"], tuple(Trial(**trial) for trial in data["trials"]))


def choose_robustness(
    method: str,
    level: float,
    mean: NDArray[np.float32],
    std: NDArray[np.float32],
    cost: NDArray[np.floating],
    labels: Labels,
    rows: NDArray[np.int64],
    fold: NDArray[np.int64],
    limits: Limits | None = None,
) -> RobustChoice:
    """Choose by realised quality on held-out nights, or take what the recipe fixes.

    A candidate must beat planning with the mean by `PROOF` standard errors of the paired difference; else there is
    «no gain» and the mean it is.

    Parameters
    ----------
    method, level
        Of the recipe; ``auto`` chooses.
    mean, std : ndarray of float32, shape (n_held_out, n_models)
        Out of fold and calibrated.
    cost : ndarray of float, shape (n_held_out, n_models), USD
    labels : Labels
    rows, fold : ndarray of int64, shape (n_held_out,)
        Which queries of ``labels``, and the night each is held out with.
    limits : Limits, optional
        The budget and capacities of the night to come, under which held-out nights are planned; by default budgets
        that bind, and no capacities.
    """
    quality = labels.quality[rows]
    conservative = robustness(*CONSERVATIVE, mean, quality)
    if method != "auto":
        return RobustChoice(robustness(method, level, mean, quality), conservative, "fixed by the recipe", ())
    plain = robustness(NONE, 0.0, mean, quality)
    if len(rows) < 2 or np.isnan(std).all():
        return RobustChoice(plain, conservative, "nothing to choose by: no held-out nights or no spread", ())
    options = [plain, *(robustness(*candidate, mean, quality) for candidate in CANDIDATES)]
    trials = _trials(options, mean, std, cost, labels, rows, fold, limits)
    under = "" if limits is None else f", at {limits.per_query:.3g} USD a query and the night's capacities"
    best = max(range(len(options)), key=lambda i: trials[i].gain - PROOF * trials[i].standard_error)
    if best and trials[best].gain > PROOF * trials[best].standard_error:
        trial = trials[best]
        reason = f"gains {trial.gain:+.4f} ± {trial.standard_error:.4f} realised quality over the mean{under}"
        return RobustChoice(options[best], conservative, reason, tuple(trials))
    return RobustChoice(
        plain,
        conservative,
        f"no gain: no lower estimate beat the mean by {PROOF:g} standard errors{under}",
        tuple(trials),
    )


def _trials(
    options: Sequence[Robustness],
    mean: NDArray[np.float32],
    std: NDArray[np.float32],
    cost: NDArray[np.floating],
    labels: Labels,
    rows: NDArray[np.int64],
    fold: NDArray[np.int64],
    limits: Limits | None,
) -> list[Trial]:
    """Plan every held-out night with every option under the same budgets and capacities.

    What an option learns, it learns from the other nights.
    """
    quality = labels.quality[rows]
    per_query = budgets(mean, cost) if limits is None else [limits.per_query]
    parts = np.zeros((len(options), len(rows)))
    for night in np.unique(fold):
        here, others = np.flatnonzero(fold == night), fold != night
        capacity = None if limits is None else limits.capacity_of(len(here))
        for option, earned in zip(options, parts, strict=True):
            learned = robustness(option.method, option.level, mean[others], quality[others])
            lower = learned.lower(mean[here], std[here])
            for budget in per_query:
                choice = plan(lower, cost[here], budget * len(here), capacity)
                earned[here] += plan_value(choice, labels, rows[here], mean[here]).parts / len(per_query)
    gains = parts - parts[0]
    errors = gains.std(axis=1) / np.sqrt(len(rows))
    return [
        Trial(option.method, option.level, float(earned.mean()), float(gain.mean()), float(error))
        for option, earned, gain, error in zip(options, parts, gains, errors, strict=True)
    ]
