"""Route the backlog of a night: open → list → estimate → solve → write → check → publish.

Each function is one task: it takes ids and returns ids and counts, and can be retried at any moment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Row

from routing_core.errors import ChecksFailedError, SettingsError, masked
from routing_core.settings import Settings
from routing_core.steps import money
from routing_core.steps.opening import Means, as_it_was, as_opened, whole_plan, with_todays_policy
from routing_core.store import (
    allocations,
    carry,
    catalogs,
    checks,
    decisions,
    files,
    inputs,
    kept,
    results,
    runs,
    versions,
)
from routing_core.store.catalog import read_catalog
from routing_core.store.database import reading, writing
from routing_core.store.gather import Gathered, gather, query_ids, read_part, scatter
from routing_core.store.shards import read_directory, read_shard, write_shard

_LONGEST_REASON = 2000
"""Characters of a failure that are stored with the run."""


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
    carry_over : {"chained", "none", "as_before"}
        Whether to take up what nights before deferred; ``as_before`` does as the current plan of the date did.
    replan : bool
        Replace a sealed run.
    beside : {"as_it_was", "todays_policy"} or None
        Plan the input of the current run again as a shadow: with what it was planned with, or with what is in force
        today. Policies and carry-over are then not asked.
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
    carry_over: Literal["chained", "none", "as_before"] = "none"
    replan: bool = False
    beside: Literal["as_it_was", "todays_policy"] | None = None
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
        chosen = settings.model_copy(update={name: value for name, value in asked.items() if value is not None})
        if chosen.exploration_share and chosen.batching == "arrival":
            raise SettingsError(
                f"exploration_share must be 0 with batching: arrival, got {chosen.exploration_share}: a batch that has "
                "come cannot make room for what is drawn"
            )
        return chosen


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
    NotFoundError
        If there is no current run to plan beside.
    """
    with writing(settings) as connection:
        means = _means(connection, dt, settings, options)
        columns = means.columns(dt, asdict(options))
        chosen = {"replan": options.replan, "dry_run": options.dry_run, "shadow": options.beside is not None}
        return runs.open_run(connection, dt, run_key, columns | chosen, attempt, sources=means.sources)


def _means(connection: Connection, dt: date, settings: Settings, options: RouteOptions) -> Means:
    if options.beside is not None:
        run = whole_plan(connection, dt)
        if options.beside == "as_it_was":
            means = as_it_was(run, settings)
        else:
            means = with_todays_policy(connection, run, settings, read_catalog(settings.catalog_file))
        return replace(means, settings=options.apply(means.settings))
    asked = money.within_month(connection, dt, options.apply(settings), asked=options.budget_usd is not None)
    before, sources = None, []
    if _is_chained(connection, dt, options):
        before = runs.take_up_from(connection, dt)
        sources = carry.find_sources(connection, dt, before.dt if before else dt, asked.carry_over_days)
    predictor = versions.choose_predictor(connection, dt, options.predictor_policy)
    accept_last = asked.accept_last_allocation or "allocation" in options.degraded
    allocation = allocations.choose_allocation(connection, dt, options.allocation_policy, accept_last=accept_last)
    return Means(
        settings=asked,
        catalog=read_catalog(asked.catalog_file),
        predictor_id=predictor.predictor_id,
        allocation_id=allocation.allocation_id,
        carried_from_run_id=before.run_id if before else None,
        degraded=",".join(_degraded(options, dt, allocation.for_date)),
        sources=tuple(sources),
    )


def _is_chained(connection: Connection, dt: date, options: RouteOptions) -> bool:
    if options.carry_over != "as_before":
        return options.carry_over == "chained"
    reigning = runs.current_run(connection, dt)
    return reigning is not None and reigning.carried_from_run_id is not None


def _degraded(options: RouteOptions, dt: date, for_date: date) -> tuple[str, ...]:
    """What the run does without: said by its caller, or seen here, where the last allocation stands in for its own."""
    stand_in = options.allocation_policy == "as_of" and for_date != dt
    return tuple(dict.fromkeys((*options.degraded, "allocation"))) if stand_in else options.degraded


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
    if run.base_run_id is not None:
        return _list_again(run, settings)
    with reading(settings) as connection:
        waiting = carry.carried_files(connection, run.run_id)
    backlog = [inputs.Input("backlog", run.dt, file) for file in files.list_partition(settings.backlog_root, run.dt)]
    carried = inputs.list_carried(settings.backlog_root, waiting)
    chunks = inputs.deal(carried, 1) + inputs.deal(backlog, as_opened(run, settings).chunks)
    with writing(settings) as connection:
        runs.record_inputs(connection, run_id, [one.row() for one in backlog + carried])
        carry.count_taken(connection, run_id)
        runs.record_chunks(connection, run_id, [inputs.chunk_row(k, chunk) for k, chunk in enumerate(chunks)])
        runs.update_run(
            connection,
            run_id,
            backlog_rows=sum(one.rows for one in backlog),
            carried_rows=sum(one.rows for one in carried),
        )
    return list(range(len(chunks)))


def _list_again(run: Row[Any], settings: Settings) -> list[int]:
    """The files of the run whose input is planned again, dealt as they were; each is proven when it is read."""
    with writing(settings) as connection:
        base = runs.get_run(connection, run.base_run_id)
        chunks = runs.chunk_rows(connection, base.run_id)
        runs.record_inputs(connection, run.run_id, inputs.input_rows(connection, base.run_id))
        carry.copy_sources(connection, run.run_id, base.run_id)
        dealt = [{"chunk": row.chunk, "source": row.source, "partitions": row.partitions} for row in chunks]
        runs.record_chunks(connection, run.run_id, dealt)
        runs.update_run(connection, run.run_id, backlog_rows=base.backlog_rows, carried_rows=base.carried_rows)
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
    from routing_core.steps.estimate import estimate  # noqa: PLC0415 — slow to import, as all that predicts
    from routing_core.store import predictors  # noqa: PLC0415

    started = time.monotonic()
    with writing(settings) as connection:
        run = runs.get_run(connection, run_id)
        runs.claim_estimate(connection, run_id, chunk, attempt)
        listed = inputs.of_chunk(connection, run_id, chunk, settings.backlog_root)
        content_hash = versions.get_version(connection, run.predictor_id).content_hash
    asked = as_opened(run, settings)
    if known := _known_shard(run, chunk, asked):
        with writing(settings) as connection:
            runs.mark_estimated(connection, run_id, chunk, attempt, known)
        return {"chunk": chunk, "queries": None, "rejected": None, "seconds": 0.0}
    predictor = predictors.load_cached(asked.predictors_root, content_hash)
    read = inputs.read_chunk(settings, listed, run_id, predictor.embedding_size)
    shard = estimate(run, asked, catalogs.of_run(run, asked), read, predictor)
    name = f"estimates/chunk-{chunk:05d}-attempt-{attempt:03d}"
    write_shard(asked.run_directory(run_id) / name, shard)
    with writing(settings) as connection:
        runs.mark_estimated(connection, run_id, chunk, attempt, name)
    seconds = round(time.monotonic() - started, 3)
    return {"chunk": chunk, "queries": len(shard), "rejected": len(shard.rejected), "seconds": seconds}


def _known_shard(run: Row[Any], chunk: int, settings: Settings) -> str | None:
    """Where the run whose rest is planned has the chunk's estimates, seen from here; None if it has them no more."""
    if run.sent_through_batch is None:
        return None
    with reading(settings) as connection:
        name = runs.chunk_rows(connection, run.base_run_id)[chunk].estimate_shard
    shard = settings.run_directory(run.base_run_id) / name
    return os.path.relpath(shard, settings.run_directory(run.run_id)) if shard.exists() else None


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
    RunStateError
        If the run has not listed its input.
    """
    from routing_core.steps import figures, plan, rest  # noqa: PLC0415 — slow to import, as all that solves
    from routing_core.steps.probation import outcomes_until_eligible, withhold  # noqa: PLC0415
    from routing_core.store import predictors  # noqa: PLC0415

    clock = _Clock()
    with writing(settings) as connection:
        runs.claim_solve(connection, run_id, attempt)
        run = runs.get_run(connection, run_id)
        runs.require_listed(run)
        shards = [row.estimate_shard for row in runs.chunk_rows(connection, run_id)]
        content_hash = versions.get_version(connection, run.predictor_id).content_hash
        fleet = allocations.get_allocation(connection, run.allocation_id)
    asked = as_opened(run, settings)
    catalog = catalogs.of_run(run, asked)
    directory = asked.run_directory(run_id)
    predictor = predictors.load_cached(asked.predictors_root, content_hash)
    with clock.stage("gather"):
        teams = sorted(asked.team_budgets_usd)
        estimated = [directory / name for name in shards]
        night = gather(estimated, len(catalog), teams, scratch=directory)
    night, familiarity = plan.familiar_or_careful(night, asked.unfamiliar_limit)
    until = outcomes_until_eligible(predictor, catalog.names, asked)
    night, probes = withhold(night, until, asked)
    margin_of = partial(predictor.cost_margin.factor, probability=asked.overspend_probability)
    prices = catalog.prices_on(run.execution_date)
    if run.sent_through_batch is None:
        with clock.stage("solve"):
            number = None
            if asked.exploration_share:
                from routing_core.store.chance import uniforms  # noqa: PLC0415 — pandas

                number = uniforms(query_ids(estimated, night.places), asked.seed, "explore")
            made = plan.make(night, catalog, fleet, asked, margin_of, number, probes)
        with clock.stage("explain"):
            explained = figures.explain(made, night, catalog, fleet, asked, prices)
    else:
        with clock.stage("solve"):
            stays = _kept(directory, shards, night, catalog.names)
            loss = rest.Loss(frozenset(run.options["withdraw"]), run.options["lose"])
            through = run.sent_through_batch
            explained = rest.decide(night, stays, through, loss, catalog, fleet, asked, margin_of, prices)
    for row in explained.tables["run_models"]:
        row["outcomes_until_eligible"] = until[row["position"]]
    with clock.stage("scatter"):
        scatter(directory / _solution(attempt), night.places, explained.decided)
    robust = predictor.robust_of(asked.robust_level, careful=familiarity["conservative"])
    with writing(settings) as connection:
        runs.claim_solve(connection, run_id, attempt)
        runs.update_run(
            connection,
            run_id,
            **explained.figures,
            **familiarity,
            robust_method=robust.method,
            robust_level=None if robust.method == "none" else robust.level,
            timings=clock.seconds,
        )
        results.replace_night(connection, run_id, explained.tables)
    return {name: explained.figures[name] for name in ("objective", "bound", "gap", "solver_status")}


def _kept(directory: Path, shards: Sequence[str], night: Gathered, models: tuple[str, ...]) -> kept.Kept:
    """What stays of the run whose rest is planned, found again in the night."""
    table = read_directory(directory / kept.DIRECTORY, ("kept",))["kept"]
    return kept.in_night_order(
        table, [read_shard(directory / name) for name in shards], night.places, len(night), models
    )


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
        name = runs.get_chunk(connection, run_id, chunk).estimate_shard
    asked = as_opened(run, settings)
    directory = asked.run_directory(run_id)
    models = catalogs.of_run(run, asked).names
    part = read_part(directory / _solution(run.solve_attempt), chunk, decisions.PARTS)
    shard = read_shard(directory / name)
    if run.conservative:
        shard = replace(shard, lower_quality=shard.careful_quality)
    rows = decisions.chunk_rows(run, chunk, models, shard, part)
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
    RunStateError
        If the run has failed.
    """
    with writing(settings) as connection:
        run = runs.get_run(connection, run_id)
        runs.refuse_failed(run)
        if run.status == "staged":
            runs.update_run(connection, run_id, rejected=results.count_rejected(connection, run_id))
            results.total_assignments(connection, run_id)
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
        fail_run(run_id, settings, reason=masked(f"{type(error).__name__}: {error}")[:_LONGEST_REASON])
        raise


def _solution(attempt: int) -> str:
    """Name of the directory that an attempt's decisions are in, below the run's."""
    return f"solution-attempt-{attempt:03d}"


class _Clock:
    """Seconds of named stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 4)
