"""What one chunk goes through: its queries estimated on every model, and told who may answer them and until when."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row

from routing_core.predict.predictor import Predictor
from routing_core.records.assignments import Reason
from routing_core.records.catalog import Catalog
from routing_core.route.admission import EXPIRED, Night, Patience, deferral_penalty, eligibility, last_batches, why_none
from routing_core.settings import Settings
from routing_core.steps.estimates import estimates_for
from routing_core.store.decisions import rejected_table
from routing_core.store.inputs import Chunk, RejectedInput
from routing_core.store.shards import Shard


def estimate(run: Row[Any], settings: Settings, catalog: Catalog, chunk: Chunk, predictor: Predictor) -> Shard:
    """Everything the night needs to know of a chunk's queries.

    Parameters
    ----------
    run : row of ``routing_runs``
    settings : Settings
        Those the run was opened with.
    catalog : Catalog
    chunk : Chunk
        As read; its rejected rows are joined by those that have expired or that no model may take.
    predictor : Predictor
    """
    night = Night(run.execution_date, run.batches, settings.batch_minutes)
    queries = chunk.queries
    careful = settings.unfamiliar_limit is not None
    estimates, known = estimates_for(
        predictor, queries, catalog, run.execution_date, settings.robust_level, careful=careful
    )
    waited = _nights_waited(queries.first_dt, run)
    last_batch = last_batches(queries.deadline, night)
    last_batch[waited > settings.carry_over_days] = EXPIRED
    eligible = eligibility(queries, estimates, catalog) & known
    patience = Patience(settings.deferral_quality, settings.deferral_growth, settings.deadline_urgency)
    penalty = deferral_penalty(queries, waited, night, patience)

    expired = last_batch == EXPIRED
    helpless = ~expired & ~eligible.any(axis=1)
    rejected = list(chunk.rejected)
    for row in np.flatnonzero(expired).tolist():
        rejected.append(chunk.reject(row, Reason.EXPIRED, _why_expired(queries.deadline[row], waited[row], night)))
    for row in np.flatnonzero(helpless).tolist():
        rejected.append(chunk.reject(row, Reason.NO_ELIGIBLE_MODEL, why_none(queries, estimates, catalog, row)))
    kept = ~(expired | helpless)
    return Shard(
        mean_quality=estimates.mean_quality[kept],
        lower_quality=estimates.lower_quality[kept],
        cost_usd=estimates.cost_usd[kept],
        careful_quality=_rows(estimates.careful_quality, kept, np.float32, len(catalog) if careful else 0),
        unfamiliar=_rows(estimates.unfamiliar, kept, np.int8),
        eligible=eligible[kept],
        penalty=penalty[kept],
        last_batch=last_batch[kept],
        queries=chunk.identities(waited, kept),
        rejected=rejected_table([_columns(one) for one in rejected]),
    )


def _rows(found: NDArray[Any] | None, kept: NDArray[np.bool_], kind: type, *width: int) -> NDArray[Any]:
    """The kept rows of an estimate that may not have been made: then of zeros."""
    return np.zeros((int(kept.sum()), *width), kind) if found is None else found[kept]


def _nights_waited(first_dt: NDArray[np.datetime64], run: Row[Any]) -> NDArray[np.int64]:
    tonight = np.array(run.dt, dtype="datetime64[D]")
    return (tonight - first_dt.astype("datetime64[D]")).astype(np.int64)


def _why_expired(deadline: np.datetime64, waited: int, night: Night) -> str:
    if np.isnat(deadline):
        return f"it has waited {waited} nights, more than carry_over_days allows"
    first_end = f"{night.batch_minutes:g} minutes into {night.begins}"
    return f"deadline is {deadline} after {waited} nights of waiting; the first batch ends {first_end} (UTC)"


def _columns(one: RejectedInput) -> tuple[Any, ...]:
    return one.partition, one.row, one.first_dt, one.query_id, one.reason, one.detail
