"""The judge: two recipes sit the same exam on days neither has seen, and only proof promotes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.cost import implied_prices
from routing_core.predict.drift import Drift, calibration_error, mix_distance, quality_shift
from routing_core.predict.fitting import fit
from routing_core.predict.labels import Labels, tabulate
from routing_core.predict.offpolicy import PlanValue, plan_value
from routing_core.predict.planning import budgets as binding_budgets
from routing_core.predict.planning import plan
from routing_core.predict.predictor import Predictor
from routing_core.predict.recipe import Recipe
from routing_core.predict.strangers import stranger_share
from routing_core.records.estimates import Estimates
from routing_core.records.outcomes import Outcomes
from routing_core.records.queries import Queries

LEAST_QUERIES = 100
"""Exam queries without which nothing is decided."""
LEAST_EFFECTIVE = 50.0
"""Effective sample size of the known answers without which nothing is decided."""
TOLERANCE = 0.02
"""Loss of quality that the interval must rule out before a challenger is promoted."""
RESAMPLES = 2000
"""Bootstrap samples of the paired difference."""


class Decision(StrEnum):
    """How a challenge ended."""

    PROMOTED = "promoted"
    """The challenger reigns: not worse on the exam, and not likely worse by more than the tolerance."""
    KEPT = "kept"
    """The champion stays: the challenger was worse, or may well be."""
    REFUSED = "refused"
    """Nothing was decided, for want of evidence; whoever reigned goes on."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision and its evidence.

    Attributes
    ----------
    decision : Decision
    reason : str
        In words.
    champion_quality, challenger_quality : float or None
        Mean realised routing quality on the exam; None where there was no exam.
    difference, low, high : float or None
        Challenger less champion, and its 95 % paired bootstrap interval.
    effective : float
        Least effective sample size of the known answers, queries.
    exam_queries : int
    budgets_usd : tuple of float
        USD per query that both planned with.
    drift : Drift or None
    """

    decision: Decision
    reason: str
    champion_quality: float | None = None
    challenger_quality: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    effective: float = 0.0
    exam_queries: int = 0
    budgets_usd: tuple[float, ...] = ()
    drift: Drift | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the difference, or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain data."""
        return asdict(self) | {"decision": str(self.decision)}


def judge(
    outcomes: Outcomes,
    models: tuple[str, ...],
    champion: Recipe | None,
    challenger: Recipe,
    *,
    dt: date,
    horizon_days: int,
    seed: int,
    budgets: Sequence[float] | None = None,
) -> Verdict:
    """Refit both recipes on outcomes up to ``dt − horizon_days`` and compare them on the days after.

    Parameters
    ----------
    outcomes : Outcomes
        Those logged after ``dt`` are not looked at.
    models : tuple of str
    champion : Recipe or None
        None if nobody reigns yet.
    challenger : Recipe
    dt : date
    horizon_days : int
        h, at least 1.
    seed : int
    budgets : sequence of float, USD per query, optional
        By default such as bind: between the cheapest and the best model for all.

    Returns
    -------
    Verdict
        The same for the same arguments.
    """
    last = np.datetime64(dt, "D")
    day = outcomes.logged_at.astype("datetime64[D]")
    split = np.datetime64(dt - timedelta(days=horizon_days), "D")
    past, exam = outcomes.take(day <= split), outcomes.take((day > split) & (day <= last))
    learnable = int((np.isin(past.model, models)).sum())
    if champion is None:
        return _first(past, exam, models, challenger, learnable, seed, budgets)
    labels = _labels(exam, models, challenger)
    if not learnable or len(labels) < LEAST_QUERIES:
        reason = f"too thin: {learnable} outcomes up to {split}, {len(labels)} queries after, {LEAST_QUERIES} needed"
        return Verdict(Decision.REFUSED, reason, exam_queries=len(labels))
    papers = _sit(past, exam, models, (champion, challenger), labels, seed, budgets)
    return _decide(champion, challenger, papers, seed)


@dataclass(frozen=True, slots=True, eq=False)
class _Papers:
    """What the exam brought: one value per recipe, and what both had in common."""

    values: tuple[PlanValue, ...]
    budgets: tuple[float, ...]
    drift: Drift


def _first(
    past: Outcomes,
    exam: Outcomes,
    models: tuple[str, ...],
    challenger: Recipe,
    learnable: int,
    seed: int,
    budgets: Sequence[float] | None,
) -> Verdict:
    """Nobody reigns: any predictor that has learnt from something is better than none."""
    labels = _labels(exam, models, challenger)
    if not learnable and not len(labels):
        return Verdict(Decision.REFUSED, "no champion yet, and no outcome of a model of the catalog to learn from")
    reason = "first champion: there is none to compare with"
    if not learnable or len(labels) < LEAST_QUERIES:
        return Verdict(Decision.PROMOTED, reason, exam_queries=len(labels))
    papers = _sit(past, exam, models, (challenger,), labels, seed, budgets)
    return Verdict(
        Decision.PROMOTED,
        reason,
        challenger_quality=papers.values[0].value,
        effective=papers.values[0].effective,
        exam_queries=len(labels),
        budgets_usd=papers.budgets,
        drift=papers.drift,
    )


def _decide(champion: Recipe, challenger: Recipe, papers: _Papers, seed: int) -> Verdict:
    theirs, ours = papers.values
    gains = ours.parts - theirs.parts
    low, high = paired_interval(gains, seed)
    verdict = Verdict(
        Decision.REFUSED,
        "",
        champion_quality=theirs.value,
        challenger_quality=ours.value,
        difference=float(gains.mean()),
        low=low,
        high=high,
        effective=min(theirs.effective, ours.effective),
        exam_queries=len(gains),
        budgets_usd=papers.budgets,
        drift=papers.drift,
    )
    decision, reason = _ruling(champion, challenger, verdict)
    return replace(verdict, decision=decision, reason=reason)


def _ruling(champion: Recipe, challenger: Recipe, found: Verdict) -> tuple[Decision, str]:
    assert found.difference is not None and found.low is not None  # noqa: PT018 — there was an exam
    figures = f"{found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}] realised quality"
    if champion == challenger:
        return Decision.PROMOTED, f"the champion's own recipe {challenger.name!r}, refitted on newer outcomes"
    if found.effective < LEAST_EFFECTIVE:
        return Decision.REFUSED, f"too thin: {found.effective:.0f} effective answers, {LEAST_EFFECTIVE:.0f} needed"
    if found.difference < 0:
        return Decision.KEPT, f"{challenger.name!r} is worse than {champion.name!r}: {figures}"
    if found.low < -TOLERANCE:
        return (
            Decision.KEPT,
            f"{challenger.name!r} may be worse than {champion.name!r} by more than {TOLERANCE}: {figures}",
        )
    return Decision.PROMOTED, f"{challenger.name!r} is not worse than {champion.name!r}: {figures}"


def _sit(
    past: Outcomes,
    exam: Outcomes,
    models: tuple[str, ...],
    recipes: Sequence[Recipe],
    labels: Labels,
    seed: int,
    budgets: Sequence[float] | None,
) -> _Papers:
    """Fit each recipe on the past and value its plans of the exam's nights, all under the same budgets."""
    prices = implied_prices(past, models)
    queries = _queries(labels)
    fitted: dict[Recipe, Predictor] = {}
    for recipe in recipes:
        if recipe not in fitted:
            fitted[recipe] = fit(past, models, recipe, seed=seed)
    said = {recipe: predictor.estimate(queries, prices) for recipe, predictor in fitted.items()}
    newest = said[recipes[-1]]
    # One model of quality for all, or each recipe would be marked partly by its own beliefs.
    guess = np.mean([estimates.mean_quality for estimates in said.values()], axis=0)
    per_query = tuple(budgets) if budgets is not None else tuple(binding_budgets(newest.mean_quality, newest.cost_usd))
    values = tuple(_value(fitted[recipe], said[recipe], labels, guess, per_query) for recipe in recipes)
    before = _labels(past, models, recipes[-1]).task
    drift = Drift(
        mix_distance=mix_distance(before, labels.task),
        stranger_share=0.0 if newest.unfamiliar is None else stranger_share(newest.unfamiliar).share,
        calibration_error=calibration_error(newest.mean_quality, labels.quality),
        quality_shift=quality_shift(newest.mean_quality, labels),
    )
    return _Papers(values, per_query, drift)


def _value(
    predictor: Predictor, said: Estimates, labels: Labels, guess: NDArray[np.float32], budgets: Sequence[float]
) -> PlanValue:
    """Mean value of a predictor's plans over budgets, each day of the exam planned as a night."""
    parts = np.zeros(len(labels))
    effective = np.inf
    for budget in budgets:
        choice = np.full(len(labels), -1)
        for night in np.unique(labels.day):
            here = np.flatnonzero(labels.day == night)
            total = budget * len(here) / predictor.cost_margin.factor(len(here))
            choice[here] = plan(said.lower_quality[here], said.cost_usd[here], total)
        value = plan_value(choice, labels, np.arange(len(labels)), guess)
        parts += value.parts / len(budgets)
        effective = min(effective, value.effective)
    return PlanValue(parts, float(effective))


def paired_interval(gains: NDArray[np.float64], seed: int, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of paired differences, resampled by query.

    Parameters
    ----------
    gains : ndarray of float64, shape (n_queries,)
    seed : int
    level : float, in (0, 1)
    """
    rng = np.random.default_rng(seed)
    means = [gains[rng.integers(0, len(gains), len(gains))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _labels(outcomes: Outcomes, models: tuple[str, ...], recipe: Recipe) -> Labels:
    return tabulate(
        outcomes,
        models,
        half_life_days=np.inf,
        max_importance=recipe.max_importance,
        embedding=outcomes.embedding,
    )


def _queries(labels: Labels) -> Queries:
    """The exam's queries as a backlog that asks for nothing special."""
    n = len(labels)
    never = np.full(n, np.datetime64("NaT", "us"))
    return Queries(
        query_id=np.arange(n).astype(str).astype(object),
        task=labels.task,
        prompt=labels.prompt,
        input_tokens=labels.input_tokens.astype(np.int64),
        embedding=labels.embedding,
        priority=np.ones(n),
        deadline=never,
        max_cost_usd=np.full(n, np.inf),
        min_quality=np.zeros(n),
        team=np.full(n, None, object),
        allowed_models=[None] * n,
        denied_models=[None] * n,
        required_tags=[None] * n,
        submitted_at=never,
        first_dt=labels.logged_at.astype("datetime64[D]"),
    )
