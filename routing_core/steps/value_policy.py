"""What another policy would have been worth on nights gone by, from their logs alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import Row

from routing_core.errors import NotFoundError, SettingsError
from routing_core.predict.offpolicy import PolicyValue, policy_value
from routing_core.records.assignments import DEFERRED
from routing_core.settings import Settings
from routing_core.steps.estimate import estimate
from routing_core.steps.plan import decide, familiar_or_careful
from routing_core.steps.probation import outcomes_until_eligible
from routing_core.steps.retained import Retained, as_planned, retained_night
from routing_core.store import catalogs, chunks, inputs, predictors, settlements, versions
from routing_core.store.database import reading
from routing_core.store.gather import Gathered, gather, query_ids
from routing_core.store.shards import write_shard


@dataclass(frozen=True, slots=True)
class Challenger:
    """A policy: how nights would have been planned otherwise; None leaves it as it was.

    Attributes
    ----------
    predictor_id : int or None
    robust_level : float or None
        In (0, 1).
    budget_usd : float or None
        Of each night.
    """

    predictor_id: int | None = None
    robust_level: float | None = None
    budget_usd: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Night:
    """The routable queries of a night of which the end is known: logged and challenged decisions side by side."""

    agrees: NDArray[np.bool_]
    propensity: NDArray[np.float64]
    reward: NDArray[np.float64]
    logged_guess: NDArray[np.float64]
    policy_guess: NDArray[np.float64]
    missing: int
    logged_spend: float
    policy_spend: float


def value_policy(first: date, last: date, settings: Settings, challenger: Challenger) -> dict[str, Any]:
    """Value a challenger on the executed nights from ``first`` to ``last``.

    Every night is planned again as the challenger would have, and its decisions are held against the logged ones: the
    answers of the queries they agree on are weighted by the propensity they were logged with, and predictions of the
    night's own predictor stand in elsewhere (doubly robust). Answers still missing are left out.

    Returns
    -------
    dict
        nights, queries, missing, ips, snips, dr, gain, logged (value, stderr, lower, upper; None if refused),
        effective, support, refusal, agreement, planned_spend_usd of the log and of the challenger, policy.

    Raises
    ------
    NotFoundError
        If no night of the range was executed, or its estimates are no longer kept.
    SettingsError
        If the challenger's predictor has learnt from the answers it would be valued by.
    RunStateError
        If the executed run of a night is the plan of what was left of another.
    """
    with reading(settings) as connection:
        days = settlements.executed_nights(connection, first, last)
        executed = [run for day in days if (run := settlements.executed_run(connection, day)) is not None]
    if not executed:
        raise NotFoundError(f"no night from {first} to {last} is published", remedy=f"routing route --dt {last}")
    nights = [_night(run, settings, challenger) for run in executed]
    found = policy_value(*(np.concatenate([getattr(night, name) for night in nights]) for name in _ARRAYS))
    return _report(executed, nights, found, challenger)


_ARRAYS = ("agrees", "propensity", "reward", "logged_guess", "policy_guess")


def _report(
    executed: list[Row[Any]], nights: list[_Night], found: PolicyValue, challenger: Challenger
) -> dict[str, Any]:
    agrees = np.concatenate([night.agrees for night in nights])
    return {
        "nights": [str(run.dt) for run in executed],
        "queries": len(agrees),
        "missing": sum(night.missing for night in nights),
        **asdict(found),
        "agreement": float(agrees.mean()) if len(agrees) else None,
        "planned_spend_usd": {
            "logged": sum(night.logged_spend for night in nights),
            "challenger": sum(night.policy_spend for night in nights),
        },
        "policy": asdict(challenger),
    }


def _night(run: Row[Any], settings: Settings, challenger: Challenger) -> _Night:
    kept = retained_night(run, settings)
    with reading(settings) as connection:
        assigned = settlements.read_assigned(connection, run.run_id)
    answers = settlements.join_outcomes(assigned, settings.outcomes_root, run.dt, None)
    logged = kept.decided["model"].astype(np.int64)
    at = np.asarray(pc.index_in(pa.array(kept.query_id, pa.string()), assigned.query_id).fill_null(-1))
    served = at >= 0
    propensity, reward = kept.decided["propensity"], np.zeros(len(logged))
    reward[served] = answers.quality[at[served]]
    # A query that was drawn and had to wait all the same has no probability that is known.
    known = ~np.isnan(reward) & ~np.isnan(propensity)
    policy, spend = _challenged(kept, settings, challenger)
    guess = partial(_guess, kept.night.mean_quality)
    return _Night(
        agrees=(policy == logged)[known],
        propensity=propensity[known],
        reward=reward[known],
        logged_guess=guess(logged)[known],
        policy_guess=guess(policy)[known],
        missing=int(np.isnan(reward).sum()),
        logged_spend=float(assigned.cost_usd.sum()),
        policy_spend=spend,
    )


def _guess(mean_quality: NDArray[np.float32], model: NDArray[np.int64]) -> NDArray[np.float64]:
    found = mean_quality[np.arange(len(model)), np.maximum(model, 0)].astype(np.float64)
    return np.where(model == DEFERRED, 0.0, found)


def _challenged(kept: Retained, settings: Settings, challenger: Challenger) -> tuple[NDArray[np.int64], float]:
    """What the challenger decides of each query of the night, and the spend it plans, USD."""
    decided = np.full(len(kept.night), DEFERRED, dtype=np.int64)
    if not len(kept.night):
        return decided, 0.0
    budget = kept.settings.budget_usd if challenger.budget_usd is None else challenger.budget_usd
    if challenger.predictor_id is None and challenger.robust_level is None:
        night, ids = kept.night, kept.query_id
    else:
        night, ids = _estimated_anew(kept, settings, challenger)
    model = decide(kept.problem_with(budget, kept.capacity, night), night, kept.settings).model
    at = np.asarray(pc.index_in(pa.array(ids, pa.string()), pa.array(kept.query_id, pa.string())).fill_null(-1))
    # A query that another predictor rules out, or lets in, has no place in the other's night.
    decided[at[at >= 0]] = model[at >= 0]
    rows = np.flatnonzero(model != DEFERRED)
    return decided, float(night.cost_usd[rows, model[rows]].sum(dtype=np.float64))


def _estimated_anew(kept: Retained, settings: Settings, challenger: Challenger) -> tuple[Gathered, NDArray[np.object_]]:
    """The night's queries, read again and estimated by another predictor or at another level."""
    run = kept.run
    catalog = catalogs.of_run(run, settings)
    with reading(settings) as connection:
        wanted = run.predictor_id if challenger.predictor_id is None else challenger.predictor_id
        version = versions.get_version(connection, wanted)
        numbers = [row.chunk for row in chunks.of_run(connection, run.run_id)]
        listed = [inputs.of_chunk(connection, run.run_id, chunk, settings.backlog_root) for chunk in numbers]
    if version.trained_through > run.dt:
        raise SettingsError(
            f"predictor {wanted} learnt from outcomes through {version.trained_through}, and would be valued by some "
            f"of them on the night of {run.dt}; it must be trained through {run.dt} or earlier"
        )
    predictor = predictors.load_cached(settings.predictors_root, version.content_hash)
    asked = kept.settings
    if challenger.robust_level is not None:
        asked = asked.model_copy(update={"robust_level": challenger.robust_level})
    with TemporaryDirectory() as scratch:
        directories = [Path(scratch) / f"{chunk:05d}" for chunk in numbers]
        for directory, files in zip(directories, listed, strict=True):
            read = inputs.read_chunk(settings, files, run.run_id, predictor.embedding_size)
            write_shard(directory, estimate(run, asked, catalog, read, predictor))
        night = gather(directories, len(catalog), sorted(asked.team_budgets_usd))
        ids = query_ids(directories, night.places)
    night, _ = familiar_or_careful(night, asked.unfamiliar_limit)
    at = np.asarray(pc.index_in(pa.array(ids, pa.string()), pa.array(kept.query_id, pa.string())).fill_null(-1))
    answered_by = np.where(at >= 0, kept.decided["model"][at], DEFERRED)
    until = outcomes_until_eligible(predictor, kept.models, asked)
    return as_planned(night, answered_by, until, asked), ids
