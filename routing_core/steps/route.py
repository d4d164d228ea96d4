"""Route the backlog of a night: open → list → estimate → solve → write → check → publish.

Each function is one task: it takes ids and returns ids and counts, and can be retried at any moment.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from typing import Any, Literal

from sqlalchemy import Row

from routing_core import __version__
from routing_core.errors import ChecksFailedError, SettingsError
from routing_core.settings import Settings, execution_date
from routing_core.steps import plan
from routing_core.steps.estimate import estimate
from routing_core.store import (
    allocations,
    catalogs,
    checks,
    decisions,
    files,
    inputs,
    predictors,
    results,
    runs,
    versions,
)
from routing_core.store.catalog import read_catalog
from routing_core.store.database import reading, writing
from routing_core.store.gather import gather, read_part, scatter
from routing_core.store.shards import read_shard, write_shard

_PLACES = frozenset({"home", "dsn", "catalog", "outcomes", "backlog"})


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """What one run is asked to do otherwise than the settings say; None leaves it to them.

    Attributes
    ----------
    budget_usd : float or None
    robust_level : float or None
        In (0, 1).
    batching : {"planned", "arrival"} or None
    predictor_policy, allocation_policy : {"as_of", "latest"}
    carry_over : {"chained", "none"}
        Whether to take up what the night before deferred.
    replan : bool
        Replace a sealed run.
    dry_run : bool
        Stop before publishing.
    degraded : tuple of str
        What the night has to go on without, such as ("verdict", "allocation").
    """

    budget_usd: float | None = None
    robust_level: float | None = None
    batching: Literal["planned", "arrival"] | None = None
    predictor_policy: Literal["as_of", "latest"] = "as_of"
    allocation_policy: Literal["as_of", "latest"] = "as_of"
    carry_over: Literal["chained", "none"] = "none"
    replan: bool = False
    dry_run: bool = False
    degraded: tuple[str, ...] = ()

    def apply(self, settings: Settings) -> Settings:
        """The settings with what is asked for put over them.

        Raises
        ------
        SettingsError
            If a value is out of its range.
        """
        if self.budget_usd is not None and not 0 <= self.budget_usd < float("inf"):
            raise SettingsError(f"budget_usd must be finite and at least 0, got {self.budget_usd}")
        if self.robust_level is not None and not 0 < self.robust_level < 1:
            raise SettingsError(f"robust_level must be above 0 and below 1, got {self.robust_level}")
        asked = {"budget_usd": self.budget_usd, "robust_level": self.robust_level, "batching": self.batching}
        return settings.model_copy(update={name: value for name, value in asked.items() if value is not None})


def open_run(
    dt: date, settings: Settings, *, run_key: str, options: RouteOptions = RouteOptions(), attempt: int | None = None
) -> int:
    """Open the run that ``run_key`` is about, with the predictor and the allocation it will plan with.

    Returns
    -------
    int
        The run_id; the same for the same key until the run is published.

    Raises
    ------
    MissingPredictorError, MissingAllocationError
        If there is none that will do, with the command that makes one.
    StaleAttemptError
        If a newer attempt has opened it.
    """
    asked = options.apply(settings)
    catalog = read_catalog(asked.catalog_file)
    catalog.prices_on(execution_date(dt))
    catalogs.keep(catalog, settings.catalogs_root)
    with writing(settings) as connection:
        predictor = versions.choose_predictor(connection, dt, options.predictor_policy)
        allocation = allocations.choose_allocation(
            connection, dt, options.allocation_policy, accept_last="allocation" in options.degraded
        )
        before = None
        if options.carry_over == "chained":
            before = runs.take_up_from(connection, dt, asked.carry_over_days)
        values = {
            "execution_date": execution_date(dt),
            "replan": options.replan,
            "dry_run": options.dry_run,
            "degraded": ",".join(options.degraded),
            "code_version": __version__,
            "settings": asked.public(),
            "options": asdict(options),
            "seed": asked.seed,
            "batching": asked.batching,
            "batches": asked.batches,
            "catalog_hash": catalog.content_hash,
            "predictor_id": predictor.predictor_id,
            "allocation_id": allocation.allocation_id,
            "carried_from_run_id": before.run_id if before else None,
            "budget_usd": asked.budget_usd,
        }
        return runs.open_run(connection, dt, run_key, values, attempt)


def list_chunks(run_id: int, settings: Settings) -> list[int]:
    """List the run's input files with size and hash, and deal them to chunks.

    Returns
    -------
    list of int
        Numbers of the chunks; none for a night without a file.

    Raises
    ------
    MissingPartitionError
        If the backlog has no partition for the date.
    """
    with reading(settings) as connection:
        run = runs.get_run(connection, run_id)
        waiting = inputs.carried_files(connection, run.carried_from_run_id)
    backlog = [inputs.Input("backlog", run.dt, file) for file in files.list_partition(settings.backlog_root, run.dt)]
    carried = inputs.list_carried(settings.backlog_root, waiting)
    chunks = inputs.deal(carried, 1) + inputs.deal(backlog, _as_opened(run, settings).chunks)
    with writing(settings) as connection:
        runs.record_inputs(connection, run_id, [one.row() for one in backlog + carried])
        runs.record_chunks(connection, run_id, [inputs.chunk_row(k, chunk) for k, chunk in enumerate(chunks)])
        runs.update_run(
            connection,
            run_id,
            backlog_rows=sum(one.rows for one in backlog),
            carried_rows=sum(one.rows for one in carried),
        )
    return list(range(len(chunks)))


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
    started = time.monotonic()
    with writing(settings) as connection:
        run = runs.get_run(connection, run_id)
        runs.claim_estimate(connection, run_id, chunk, attempt)
        listed = inputs.of_chunk(connection, run_id, chunk, settings.backlog_root)
        content_hash = versions.get_version(connection, run.predictor_id).content_hash
    asked = _as_opened(run, settings)
    predictor = predictors.load_cached(asked.predictors_root, content_hash)
    read = inputs.read_chunk(settings, listed, run.carried_from_run_id, predictor.embedding_size)
    shard = estimate(run, asked, catalogs.of_run(run, asked), read, predictor)
    name = f"estimates/chunk-{chunk:05d}-attempt-{attempt:03d}"
    write_shard(asked.run_directory(run_id) / name, shard)
    with writing(settings) as connection:
        runs.mark_estimated(connection, run_id, chunk, attempt, name)
    seconds = round(time.monotonic() - started, 3)
    return {"chunk": chunk, "queries": len(shard), "rejected": len(shard.rejected), "seconds": seconds}


def solve_night(run_id: int, settings: Settings, *, attempt: int = 1) -> dict[str, Any]:
    """Decide the whole night at once, verify it, and keep the decisions as one part per chunk.

    Returns
    -------
    dict
        objective, bound, gap, solver_status.

    Raises
    ------
    SolverError
        If the solution does not survive verification.
    StaleAttemptError
        If a newer attempt has the run.
    """
    clock = _Clock()
    with writing(settings) as connection:
        runs.claim_solve(connection, run_id, attempt)
        run = runs.get_run(connection, run_id)
        shards = [row.estimate_shard for row in runs.chunk_rows(connection, run_id)]
        content_hash = versions.get_version(connection, run.predictor_id).content_hash
        fleet = allocations.get_allocation(connection, run.allocation_id)
    asked = _as_opened(run, settings)
    catalog = catalogs.of_run(run, asked)
    directory = asked.run_directory(run_id)
    predictor = predictors.load_cached(asked.predictors_root, content_hash)
    with clock.stage("gather"):
        night = gather([directory / name for name in shards], len(catalog), sorted(asked.team_budgets_usd))
    with clock.stage("solve"):
        margin_of = partial(predictor.cost_margin.factor, probability=asked.overspend_probability)
        made = plan.make(night, catalog, fleet, asked, margin_of)
    with clock.stage("explain"):
        explained = plan.explain(made, night, catalog, fleet, asked, catalog.prices_on(run.execution_date))
    with clock.stage("scatter"):
        scatter(directory / _solution(attempt), night.places, explained.decided)
    robust = predictor.robust.chosen if asked.robust_level is None else predictor.robust_at(asked.robust_level)
    with writing(settings) as connection:
        runs.claim_solve(connection, run_id, attempt)
        runs.update_run(
            connection,
            run_id,
            **explained.figures,
            robust_method=robust.method,
            robust_level=None if robust.method == "none" else robust.level,
            timings=clock.seconds,
        )
        results.replace_night(connection, run_id, explained.tables)
    return {name: explained.figures[name] for name in ("objective", "bound", "gap", "solver_status")}


def write_chunk(run_id: int, chunk: int, settings: Settings, *, attempt: int) -> dict[str, Any]:
    """Write a chunk's decisions to the database, in place of what an earlier attempt wrote.

    Returns
    -------
    dict
        chunk, assigned, deferred, rejected, seconds.

    Raises
    ------
    StaleAttemptError
        If a newer attempt has the chunk.
    """
    started = time.monotonic()
    with reading(settings) as connection:
        run = runs.get_run(connection, run_id)
        name = runs.chunk_rows(connection, run_id)[chunk].estimate_shard
    asked = _as_opened(run, settings)
    directory = asked.run_directory(run_id)
    models = catalogs.of_run(run, asked).names
    part = read_part(directory / _solution(run.solve_attempt), chunk, decisions.PARTS)
    rows = decisions.chunk_rows(run, chunk, models, read_shard(directory / name), part)
    with writing(settings) as connection:
        claim = runs.claim_rows(connection, run_id, chunk, attempt)
        checksum = decisions.write_rows(connection, claim, rows)
        runs.mark_written(connection, claim, len(rows), checksum)
    counts = {"assigned": len(rows.assignments), "deferred": len(rows.deferred_queries)}
    seconds = round(time.monotonic() - started, 3)
    return {"chunk": chunk, **counts, "rejected": len(rows.rejected_queries), "seconds": seconds}


def check_run(run_id: int, settings: Settings) -> dict[str, Any]:
    """Count what was written, hold the run against ``sql/checks``, and let it pass if none fails.

    Returns
    -------
    dict
        passed, and the names of the checks that warn.

    Raises
    ------
    ChecksFailedError
        Naming each check that fails and the first rows that break it.
    """
    with writing(settings) as connection:
        run = runs.get_run(connection, run_id)
        if run.status == "staged":
            runs.update_run(connection, run_id, rejected=results.count_rejected(connection, run_id))
        found = checks.run_checks(connection, run_id)
        broken = [check for check in found if check.offending and check.severity == "fail"]
        if not broken and run.status == "staged":
            runs.mark_checked(connection, run_id)
    if broken:
        lines = [f"{check.name}: {check.what}; seen {' | '.join(check.offending)}" for check in broken]
        raise ChecksFailedError(f"run {run_id} of {run.dt} breaks {len(broken)} checks: " + "; ".join(lines))
    return {"passed": len(found), "warnings": [check.name for check in found if check.offending]}


def publish_run(run_id: int, settings: Settings) -> dict[str, Any]:
    """Make the run current and its predecessor superseded, in one transaction; a dry run stays as it is.

    Returns
    -------
    dict
        run_id, dt, status reached, objective, gap, predictor_id.
    """
    with writing(settings) as connection:
        run = runs.get_run(connection, run_id)
        status = run.status if run.dry_run else runs.publish(connection, run_id)
        if status == "current":
            allocations.score_forecast(connection, run.dt, results.tasks_of(connection, run_id))
    kept = {"objective": run.objective, "gap": run.gap, "predictor_id": run.predictor_id}
    return {"run_id": run_id, "dt": run.dt.isoformat(), "status": status, **kept}


def fail_run(run_id: int, settings: Settings, *, reason: str) -> None:
    """Mark a run failed unless it is published."""
    with writing(settings) as connection:
        runs.fail(connection, run_id, reason)


def route(dt: date, settings: Settings, *, run_key: str, options: RouteOptions = RouteOptions()) -> dict[str, Any]:
    """All of the above in this process: what the command line does.

    Returns
    -------
    dict
        As :func:`publish_run`.
    """
    return finish(open_run(dt, settings, run_key=run_key, options=options), settings)


def finish(run_id: int, settings: Settings) -> dict[str, Any]:
    """Everything after opening, in this process; a run that breaks off is marked failed.

    Returns
    -------
    dict
        As :func:`publish_run`.
    """
    try:
        chunks = list_chunks(run_id, settings)
        for chunk in chunks:
            estimate_chunk(run_id, chunk, settings, attempt=1)
        solve_night(run_id, settings)
        for chunk in chunks:
            write_chunk(run_id, chunk, settings, attempt=1)
        check_run(run_id, settings)
        return publish_run(run_id, settings)
    except BaseException as error:
        fail_run(run_id, settings, reason=f"{type(error).__name__}: {error}")
        raise


def _solution(attempt: int) -> str:
    """Name of the directory that an attempt's decisions are in, below the run's."""
    return f"solution-attempt-{attempt:03d}"


def _as_opened(run: Row[Any], settings: Settings) -> Settings:
    """The settings the run was opened with, wherever and whenever a retry goes on; only places are today's."""
    decided = {name: value for name, value in run.settings.items() if name not in _PLACES}
    return settings.model_copy(update=decided)


class _Clock:
    """Seconds of named stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 4)
