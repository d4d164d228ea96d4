"""A whole night, timed through the same steps as the DAG: text in Parquet to published assignments."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from typing import Any

from routing_core.bench.memory import peak_rss_mib
from routing_core.settings import Settings, load_settings
from routing_core.steps import prepare, read, route
from routing_core.steps.allocate import allocate
from routing_core.steps.retrain import retrain
from routing_core.store.catalog import read_catalog, write_catalog
from routing_core.workload.synthetic import scaled_catalog

_DT = date(2026, 11, 20)
_USD_PER_QUERY = 4e-4
_HISTORY_PER_DAY = 1500
_EMBEDDING = 256


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage took.

    Attributes
    ----------
    name : str
    seconds : float
        Wall clock.
    peak_rss_mib : float
        Largest resident set of any one process that worked on it, MiB.
    """

    name: str
    seconds: float
    peak_rss_mib: float


def bench_night(
    queries: int, models: int, partitions: int, *, dsn: str | None = None, embedding: bool = False
) -> dict[str, Any]:
    """Plan one synthetic night and time its stages; making the data, training and allocating are not timed.

    Parameters
    ----------
    queries, models, partitions : int
    dsn : str, optional
        Results database, migrated here; SQLite in a scratch directory by default.
    embedding : bool
        Whether the queries come with an embedding column.

    Returns
    -------
    dict
        queries, models, partitions, seconds, rows_per_second, peak_rss_mib (of the largest process),
        stages (name, seconds, share, peak_rss_mib), and the run's assigned, deferred, rejected, gap.
    """
    with tempfile.TemporaryDirectory(prefix="nightshift-bench-") as scratch:
        settings = _prepared(Path(scratch), queries, models, partitions, dsn, embedding)
        stages = _timed(settings)
        figures = _figures(settings)
    seconds = sum(stage.seconds for stage in stages)
    return {
        "queries": queries,
        "models": models,
        "partitions": partitions,
        "seconds": round(seconds, 3),
        "rows_per_second": round(queries / seconds, 1),
        "peak_rss_mib": max(stage.peak_rss_mib for stage in stages),
        "stages": [
            {
                "name": stage.name,
                "seconds": round(stage.seconds, 3),
                "share": round(stage.seconds / seconds, 4),
                "peak_rss_mib": stage.peak_rss_mib,
            }
            for stage in stages
        ],
        **figures,
    }


def _prepared(home: Path, queries: int, models: int, partitions: int, dsn: str | None, embedding: bool) -> Settings:
    """A home with a trained predictor, an allocation, and the backlog to be timed."""
    catalog_file = home / "config" / "catalog.yaml"
    catalog_file.parent.mkdir()
    write_catalog(scaled_catalog(read_catalog(load_settings().catalog_file), models), catalog_file)
    settings = load_settings(
        home=home,
        catalog=catalog_file,
        dsn=dsn or "",
        budget_usd=queries * _USD_PER_QUERY,
        chunks=max(2, min(partitions, queries // 25_000)),
    )
    prepare.init_db(settings)
    size = prepare.WorkloadSize(queries_per_day=_HISTORY_PER_DAY, tonight=queries, parts=partitions, broken=12)
    prepare.make_workload(home, _DT, settings, size, embedding_size=_EMBEDDING if embedding else 0)
    retrain(date.fromordinal(_DT.toordinal() - 1), settings, run_key="bench")
    allocate(date.fromordinal(_DT.toordinal() - 1), settings, run_key="bench")
    return settings


def _timed(settings: Settings) -> list[Stage]:
    stages: list[Stage] = []
    # A process per call, so that the peak belongs to one task, as it would to one Airflow task.
    with ProcessPoolExecutor(cpu_count() or 1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:

        def stage(name: str, call: Callable[..., Any], many: Iterable[dict[str, Any]]) -> list[Any]:
            started = time.perf_counter()
            results = [future.result() for future in [pool.submit(_measured, call, kwargs) for kwargs in many]]
            seconds = time.perf_counter() - started
            stages.append(Stage(name, seconds, max((peak for _, peak in results), default=0.0)))
            return [result for result, _ in results]

        (run_id,) = stage("open", route.open_run, [{"dt": _DT, "settings": settings, "run_key": "bench"}])
        one = {"run_id": run_id, "settings": settings}
        (chunks,) = stage("list", route.list_chunks, [one])
        each = [{**one, "chunk": chunk, "attempt": 1} for chunk in chunks]
        stage("estimate", route.estimate_chunk, each)
        stage("solve", route.solve_night, [one])
        stage("write", route.write_chunk, each)
        stage("check", route.check_run, [one])
        stage("publish", route.publish_run, [one])
    return stages


def _measured(call: Callable[..., Any], kwargs: dict[str, Any]) -> tuple[Any, float]:
    """A call's result, and the peak resident set of the process it ran in, MiB."""
    return call(**kwargs), peak_rss_mib()


def _figures(settings: Settings) -> dict[str, Any]:
    status = read.status(_DT, settings)
    return {name: status[name] for name in ("assigned", "deferred", "rejected", "gap")}
