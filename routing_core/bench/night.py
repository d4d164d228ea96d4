"""A whole night, timed through the same steps as the DAG: text in Parquet to published assignments."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from routing_core.bench.memory import measured
from routing_core.bench.postgres import embedded_postgres
from routing_core.settings import Settings, load_settings
from routing_core.steps import prepare, read, route
from routing_core.store import results
from routing_core.store.catalog import read_catalog, write_catalog
from routing_core.store.database import reading

DT = date(2026, 11, 20)
"""The night that is planned."""
CORES = os.cpu_count() or 1
_USD_PER_QUERY = 4e-4
_HISTORY_PER_DAY = 1500
_EMBEDDING = 256
_ROWS_PER_CHUNK = 250_000


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage took.

    Attributes
    ----------
    name : str
    tasks : int
        Processes it was done in, one after another or as many at once as there are cores.
    seconds : float
        Wall clock, from when its first process was asked for.
    cpu_seconds : float
        Of all its processes, their start and imports included.
    peak_rss_mib : float
        Largest resident set of any one process that worked on it, MiB.
    """

    name: str
    tasks: int
    seconds: float
    cpu_seconds: float
    peak_rss_mib: float


def bench_night(
    queries: int,
    models: int,
    partitions: int,
    *,
    dsn: str | None = None,
    postgres: bool = False,
    embedding: bool = False,
    baseline: bool = False,
    airflow: bool = False,
) -> dict[str, Any]:
    """Plan one synthetic night and time its stages; making the data, training and allocating are not timed.

    Parameters
    ----------
    queries, models, partitions : int
    dsn : str, optional
        Results database, migrated here; SQLite in a scratch directory by default.
    postgres : bool
        Start a PostgreSQL for the run, and have the results there.
    embedding : bool
        Whether the queries come with an embedding column.
    baseline : bool
        Have some queries of the same night planned by ``tests/benchmarks/baseline_night.py``, and compare.
    airflow : bool
        Plan the same night a second time, by the DAG under Airflow's LocalExecutor.

    Returns
    -------
    dict
        queries, models, partitions, chunks, features, database, cores, seconds, rows_per_second,
        rows_per_second_per_core, cpu_seconds, peak_rss_mib (of the largest process), solver_share (of the seconds;
        prices, decisions and proof, verified), within_solve (seconds by what that stage does), stages (name, tasks,
        seconds, share, cpu_seconds, peak_rss_mib), and the run's assigned, deferred, rejected, gap; ``baseline`` and
        ``airflow`` where they were asked for.
    """
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="nightshift-bench-"))
        if postgres:
            dsn = stack.enter_context(embedded_postgres())
        settings = prepared(Path(scratch), queries, models, partitions, dsn, embedding)
        stages, seconds = _timed(settings)
        figures = {
            "queries": queries,
            "models": models,
            "partitions": partitions,
            "chunks": settings.chunks,
            "features": "embedding" if embedding else "text",
            "database": "sqlite" if settings.database_url.startswith("sqlite") else "postgresql",
            **_totals(queries, stages, seconds, settings),
        }
        if baseline:
            from routing_core.bench.baseline import compare_with_baseline

            figures["baseline"] = compare_with_baseline(settings, DT, figures)
        if airflow:
            from routing_core.bench.night_by_airflow import night_by_airflow

            figures["airflow"] = night_by_airflow(settings, DT, figures["seconds"])
    return figures


def prepared(home: Path, queries: int, models: int, partitions: int, dsn: str | None, embedding: bool) -> Settings:
    """A home with a trained predictor, an allocation, and the backlog to be timed."""
    from routing_core.steps.allocate import allocate
    from routing_core.steps.retrain import retrain
    from routing_core.workload.synthetic import scaled_catalog

    catalog_file = home / "config" / "catalog.yaml"
    catalog_file.parent.mkdir()
    write_catalog(scaled_catalog(read_catalog(load_settings().catalog_file), models), catalog_file)
    settings = load_settings(
        home=home,
        catalog=catalog_file,
        dsn=dsn or "",
        budget_usd=queries * _USD_PER_QUERY,
        chunks=min(partitions, max(CORES, -(-queries // _ROWS_PER_CHUNK))),
    )
    prepare.init_db(settings)
    size = prepare.WorkloadSize(queries_per_day=_HISTORY_PER_DAY, tonight=queries, parts=partitions, broken=12)
    prepare.make_workload(home, DT, settings, size, embedding_size=_EMBEDDING if embedding else 0)
    before = DT - timedelta(days=1)
    retrain(before, settings, run_key="bench")
    allocate(before, settings, run_key="bench")
    return settings


def _timed(settings: Settings) -> tuple[list[Stage], float]:
    """The stages of the night, and its wall clock: two of them go on side by side, as under Airflow."""
    stages: list[Stage] = []
    # A process per call, so that the peak belongs to one task, as it would to one Airflow task; as many at once as
    # Airflow's LocalExecutor would be given.
    with ProcessPoolExecutor(CORES, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        began = time.perf_counter()

        def begin(name: str, call: Callable[..., Any], many: Iterable[dict[str, Any]]) -> Callable[[], list[Any]]:
            """Ask for a stage; what is given waits for its end."""
            started = time.time()
            asked = [pool.submit(measured, call, kwargs) for kwargs in many]

            def end() -> list[Any]:
                done = [future.result() for future in asked]
                cpu, peak = sum(one.cpu_seconds for one in done), max((one.peak_rss_mib for one in done), default=0.0)
                seconds = max((one.ended for one in done), default=started) - started
                stages.append(Stage(name, len(done), round(seconds, 3), round(cpu, 3), peak))
                return [one.result for one in done]

            return end

        def stage(name: str, call: Callable[..., Any], many: Iterable[dict[str, Any]]) -> list[Any]:
            return begin(name, call, many)()

        (run_id,) = stage("open", route.open_run, [{"dt": DT, "settings": settings, "run_key": "bench"}])
        one = {"run_id": run_id, "settings": settings}
        (chunks,) = stage("list", route.list_chunks, [one])
        each = [{**one, "chunk": chunk, "attempt": 1} for chunk in chunks]
        stage("estimate", route.estimate_chunk, each)
        stage("solve", route.solve_night, [one])
        compared = begin("compare", route.compare_run, [one])
        stage("write", route.write_chunk, each)
        compared()
        stage("check", route.check_run, [one])
        stage("publish", route.publish_run, [one])
        seconds = time.perf_counter() - began
    return stages, seconds


def _totals(queries: int, stages: list[Stage], seconds: float, settings: Settings) -> dict[str, Any]:
    night, within = read.status(DT, settings), _within_solve(settings)
    return {
        "cores": CORES,
        "seconds": round(seconds, 3),
        "rows_per_second": round(queries / seconds, 1),
        "rows_per_second_per_core": round(queries / seconds / CORES, 1),
        "cpu_seconds": round(sum(stage.cpu_seconds for stage in stages), 3),
        "peak_rss_mib": max(stage.peak_rss_mib for stage in stages),
        "solver_share": round(within["solve"] / seconds, 4),
        "within_solve": within,
        "stages": [asdict(stage) | {"share": round(stage.seconds / seconds, 4)} for stage in stages],
        **{name: night[name] for name in ("assigned", "deferred", "rejected", "gap")},
    }


def _within_solve(settings: Settings) -> dict[str, float]:
    """Seconds within the stage ``solve``: gather, solve (posed, solved, verified), explain, scatter."""
    with reading(settings) as connection:
        run = results.night(connection, DT)
    assert run is not None
    return dict(run.timings)
