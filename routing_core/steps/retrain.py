"""Fit predictors on the outcomes through ``dt``, judge them against the reigning ones, promote the winner."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Row

from routing_core import log
from routing_core.errors import ContractError
from routing_core.predict import RECIPES, Predictor, Recipe, fit
from routing_core.predict.judge import Verdict, judge
from routing_core.predict.planning import Limits
from routing_core.records.catalog import Catalog, Model
from routing_core.records.outcomes import Outcomes
from routing_core.route.admission import capacity_per_batch
from routing_core.route.problem import UNLIMITED
from routing_core.settings import Settings
from routing_core.steps.watch import tell_passed_over, tell_rejected, tell_unknown
from routing_core.store import predictors, versions
from routing_core.store.catalog import read_catalog
from routing_core.store.database import reading, writing
from routing_core.store.parquet import partition_dates, read_outcomes


@log.step
def retrain(dt: date, settings: Settings, *, run_key: str, dry_run: bool = False) -> dict[str, Any]:
    """Give the verdict for ``dt``: promoted, kept (the champion stays) or refused, with the reason.

    The champion is the one as of ``dt − 1``, so that a re-run reproduces the verdict. A retry that comes
    to the verdict it gave before leaves it as it is; with other outcomes by now, it gives a new one.

    Returns
    -------
    dict
        predictor_id (None of a dry run), dt, verdict, reason, outcomes, rejected_outcomes, robust, cost_margin.

    Raises
    ------
    ContractError
        If no outcome of a model of the catalog was logged in the days learnt from.
    """
    with reading(settings) as connection:
        given = versions.verdict_of(connection, dt)
        champion = versions.champion(connection, dt - timedelta(days=1))
    outcomes, broken = _outcomes(dt, settings)
    catalog = read_catalog(settings.catalog_file)
    models = catalog.names
    tell_unknown(outcomes.model, models)
    recipe = RECIPES[settings.recipe]
    if not settings.keep_prompts:
        recipe = replace(recipe, questions=False)  # what many prompts share would be kept word for word
    limits = _limits(settings, catalog, outcomes)
    predictor = fit(outcomes, models, recipe, seed=settings.seed, embedding=outcomes.embedding, limits=limits)
    verdict = judge(
        outcomes,
        models,
        Recipe.from_dict(champion.recipe) if champion else None,
        recipe,
        dt=dt,
        horizon_days=settings.judge_days,
        seed=settings.seed,
    )
    values = _values(dt, settings, predictor, verdict, champion) | {"rejected_outcomes": broken, "run_key": run_key}
    if dry_run:
        return _report(None, dt, values)
    predictors.save(predictor, settings.predictors_root)
    if given is not None and _is_same(given, values):
        return _report(given.predictor_id, dt, values)
    with writing(settings) as connection:
        return _report(versions.record_verdict(connection, dt, values), dt, values)


def _outcomes(dt: date, settings: Settings) -> tuple[Outcomes, int]:
    """What was logged in the days that end with ``dt``, and how many rows broke the contract."""
    days = [dt - timedelta(days=back) for back in range(settings.history_days)]
    outcomes, rejected = read_outcomes(settings.outcomes_root, days)
    tell_rejected(rejected)
    for day in sorted(set(days) & set(partition_dates(settings.outcomes_root))):
        tell_passed_over(settings.outcomes_root, day)
    if not len(outcomes):
        raise ContractError(
            f"no usable outcome was logged from {days[-1]} to {dt} under {settings.outcomes_root}",
            remedy="write outcomes/dt=YYYY-MM-DD/*.parquet, or make some: routing make-workload",
        )
    return outcomes, len(rejected)


def _limits(settings: Settings, catalog: Catalog, outcomes: Outcomes) -> Limits:
    """Budget and capacities of a night as long as a day of the log.

    A self-hosted model has what it could at most be given, all GPUs of its type: the fleet of the day is decided from
    this very verdict, and a re-run must not depend on whether it has been.
    """
    per_batch = [
        capacity_per_batch(model, _most_instances(model, settings), settings.batch_minutes) for model in catalog
    ]
    capacity = np.array([UNLIMITED if slots is None else slots * settings.batches for slots in per_batch], np.int64)
    days = len(np.unique(outcomes.logged_at.astype("datetime64[D]")))
    queries = len(np.unique(outcomes.query_id.astype(str)))
    return Limits(settings.budget_usd, capacity, max(queries // max(days, 1), 1))


def _most_instances(model: Model, settings: Settings) -> int:
    if not model.gpus_per_instance:
        return 0
    fit = settings.gpu_budget.get(model.gpu_type, 0) // model.gpus_per_instance
    return fit if model.stock is None else min(fit, model.stock)


def _values(
    dt: date, settings: Settings, predictor: Predictor, verdict: Verdict, champion: Row[Any] | None
) -> dict[str, Any]:
    """The verdict as a row of ``predictor_versions``."""
    return {
        "decision": verdict.decision.value,
        "reason": verdict.reason,
        "trained_through": dt,
        "champion_id": champion.predictor_id if champion else None,
        "recipe": predictor.recipe.to_dict(),
        "content_hash": predictor.content_hash(),
        "outcomes": predictor.n_outcomes,
        "champion_quality": verdict.champion_quality,
        "challenger_quality": verdict.challenger_quality,
        "difference_lower": verdict.low,
        "difference_upper": verdict.high,
        "robust_method": predictor.robust.chosen.method,
        "robust_level": predictor.robust.chosen.level,
        "robust_reason": predictor.robust.reason,
        "cost_margin": predictor.cost_margin.k,
        **_drift(verdict),
        "evidence": {
            "members": predictor.members,
            "candidacies": [asdict(candidacy) for candidacy in predictor.candidacies],
            "robust": predictor.robust.to_dict(),
            "verdict": verdict.to_dict(),
        },
        "seed": settings.seed,
    }


def _drift(verdict: Verdict) -> dict[str, Any]:
    """How the exam's days differ from those learnt from; of models, the one that moved most."""
    if verdict.drift is None:
        return {}
    shifts = verdict.drift.quality_shift
    most = max(shifts, key=lambda model: abs(shifts[model]), default=None)
    return {
        "mix_distance": verdict.drift.mix_distance,
        "exam_unfamiliar_share": verdict.drift.stranger_share,
        "calibration_error": verdict.drift.calibration_error,
        "quality_shift": None if most is None else shifts[most],
        "quality_shift_model": most,
    }


def _is_same(given: Row[Any], values: dict[str, Any]) -> bool:
    return all(getattr(given, name) == values[name] for name in ("run_key", "decision", "content_hash", "champion_id"))


def _report(predictor_id: int | None, dt: date, values: Any) -> dict[str, Any]:
    return {
        "predictor_id": predictor_id,
        "dt": dt.isoformat(),
        "verdict": values["decision"],
        "reason": values["reason"],
        "outcomes": values["outcomes"],
        "rejected_outcomes": values["rejected_outcomes"],
        "robust": values["robust_method"],
        "cost_margin": values["cost_margin"],
    }
