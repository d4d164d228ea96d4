"""The task that estimates a chunk's queries on every model: the heavy part of a night."""

from __future__ import annotations

import os
import time
from typing import Any

from sqlalchemy import Row

from routing_core import log
from routing_core.settings import Settings
from routing_core.steps.means import as_opened
from routing_core.steps.route.again import list_if_left_out
from routing_core.store import catalogs, chunks, inputs, runs, versions
from routing_core.store.database import reading, writing
from routing_core.store.shards import write_shard


@log.step
def estimate_chunk(run_id: int, chunk: int, settings: Settings, *, attempt: int) -> dict[str, Any]:
    """Read a chunk's files, predict quality and cost of its queries on every model, and keep both as a shard.

    Returns
    -------
    dict
        chunk, queries, rejected, seconds.

    Raises
    ------
    ChangedInputError, ContractError
        Naming the file.
    StaleAttemptError
        If a newer attempt has the chunk.
    """
    from routing_core.steps.estimate import estimate  # noqa: PLC0415 — slow to import, as all that predicts
    from routing_core.store import predictors  # noqa: PLC0415

    started = time.monotonic()
    list_if_left_out(run_id, settings)
    with writing(settings) as connection:
        run = runs.get_run(connection, run_id)
        log.learn(dt=run.dt)
        chunks.claim_estimate(connection, run_id, chunk, attempt)
        listed = inputs.of_chunk(connection, run_id, chunk, settings.backlog_root)
        content_hash = versions.get_version(connection, run.predictor_id).content_hash
    asked = as_opened(run, settings)
    if known := _known_shard(run, chunk, asked):
        with writing(settings) as connection:
            chunks.mark_estimated(connection, run_id, chunk, attempt, known)
        return {"chunk": chunk, "queries": None, "rejected": None, "seconds": 0.0}
    predictor = predictors.load_cached(asked.predictors_root, content_hash)
    read = inputs.read_chunk(settings, listed, run_id, predictor.embedding_size)
    shard = estimate(run, asked, catalogs.of_run(run, asked), read, predictor)
    name = f"estimates/chunk-{chunk:05d}-attempt-{attempt:03d}"
    write_shard(asked.run_directory(run_id) / name, shard)
    with writing(settings) as connection:
        chunks.mark_estimated(connection, run_id, chunk, attempt, name)
    seconds = round(time.monotonic() - started, 3)
    return {"chunk": chunk, "queries": len(shard), "rejected": len(shard.rejected), "seconds": seconds}


def _known_shard(run: Row[Any], chunk: int, settings: Settings) -> str | None:
    """Where the run whose rest is planned has the chunk's estimates, seen from here; None if it has them no more."""
    if run.sent_through_batch is None:
        return None
    with reading(settings) as connection:
        name = chunks.of_run(connection, run.base_run_id)[chunk].estimate_shard
    shard = settings.run_directory(run.base_run_id) / name
    return os.path.relpath(shard, settings.run_directory(run.run_id)) if shard.exists() else None
