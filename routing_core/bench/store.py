"""A year's worth of rows in PostgreSQL: what the views take, how large it is, and how long pruning takes.

The rows are made in the database itself, a night at a time, as a night writes them: in the order of their identifiers,
under every index. One night more is superseded and old, to be pruned.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, text

from routing_core.bench.postgres import embedded_postgres
from routing_core.errors import SettingsError
from routing_core.settings import Settings, load_settings
from routing_core.steps.prune import prune
from routing_core.store import database, results
from routing_core.store.tables import metadata
from routing_core.store.tables.decisions import shadow_prices
from routing_core.store.tables.runs import routing_runs, run_models

_MODELS, _TASKS, _TEAMS = 11, 12, 6
_DEFERRED_SHARE, _REJECTED_SHARE = 0.02, 0.001
_FIRST = date(2026, 1, 1)
_LARGE = ("assignments", "deferred_queries", "rejected_queries")
_TIMES = 3

_ASSIGNMENTS = text(f"""
    INSERT INTO assignments (run_id, query_id, dt, first_dt, partition, row, chunk, batch_no, model, task, team,
        mean_quality, planned_quality, cost_usd, runner_up, regret, candidates, propensity)
    SELECT :run_id, 'q-' || to_char(:dt, 'YYYYMMDD') || '-' || lpad(k::text, 8, '0'), :dt, :dt,
        'part-' || lpad((k / 20000)::text, 5, '0') || '.parquet', k % 20000, k / 250000, 1 + k % 240,
        'model-' || (k * 7919) % {_MODELS}, 'task-' || (k * 104729) % {_TASKS}, 'team-' || (k * 1299709) % {_TEAMS},
        0.5 + (k % 997) / 2000.0, 0.45 + (k % 997) / 2000.0, 1e-4 * (1 + k % 89),
        'model-' || (k * 7919 + 1) % {_MODELS}, (k % 101) / 1e4, 2047, 1.0
    FROM generate_series(CAST(0 AS bigint), :rows - 1) AS k
""")  # noqa: S608 — fixed numbers
_DEFERRED = text(f"""
    INSERT INTO deferred_queries (run_id, query_id, dt, first_dt, partition, row, chunk, task, team, cause, penalty,
        best_model, nights_waited, deadline)
    SELECT :run_id, 'd-' || to_char(:dt, 'YYYYMMDD') || '-' || lpad(k::text, 8, '0'), :dt, :dt, 'part-00000.parquet',
        k, 0, 'task-' || k % {_TASKS}, 'team-' || k % {_TEAMS}, CASE k % 3 WHEN 0 THEN 'capacity' ELSE 'budget' END,
        0.05, 'model-' || k % {_MODELS}, 0, NULL
    FROM generate_series(CAST(0 AS bigint), :rows - 1) AS k
""")  # noqa: S608 — fixed numbers
_REJECTED = text("""
    INSERT INTO rejected_queries (run_id, first_dt, partition, row, dt, chunk, query_id, reason, detail)
    SELECT :run_id, :dt, 'part-00000.parquet', k, :dt, 0, NULL, 'malformed',
        'input_tokens must be a whole number, got -1'
    FROM generate_series(CAST(0 AS bigint), :rows - 1) AS k
""")


def bench_store(rows: int, *, per_night: int = 1_000_000, dsn: str | None = None) -> dict[str, Any]:
    """Load nights of assignments into PostgreSQL, ask every view, and prune one night.

    Parameters
    ----------
    rows : int
        Assignments of current nights, at least 1.
    per_night : int
        Assignments of one of them; the last one takes what is left.
    dsn : str, optional
        An empty PostgreSQL database, filled and left; one of its own by default, removed afterwards.

    Returns
    -------
    dict
        rows, nights, load_seconds, rows_per_second, size_mib, mib_per_million_assignments, tables (a list: table, rows,
        table_mib, index_mib), views (a list: view, question, seconds, rows, index_backed, plan), slowest_seconds (of
        those that are index-backed), prune (rows, seconds).

    Raises
    ------
    SettingsError
        If a number is below 1, or the database is not PostgreSQL.
    """
    if rows < 1 or per_night < 1:
        raise SettingsError(f"bench store: rows and rows per night must be at least 1, got {rows} and {per_night}")
    if dsn is not None:
        return _measure(load_settings(dsn=dsn), rows, per_night)
    with embedded_postgres() as url:
        return _measure(load_settings(dsn=url), rows, per_night)


def _measure(settings: Settings, rows: int, per_night: int) -> dict[str, Any]:
    if database.engine(settings).dialect.name != "postgresql":
        raise SettingsError("bench store: the database must be PostgreSQL")
    database.migrate(settings)
    started = time.monotonic()
    nights = _load(settings, rows, per_night)
    seconds = time.monotonic() - started
    with database.engine(settings).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    loaded = rows + min(per_night, rows)
    with database.reading(settings) as connection:
        tables = list(_sizes(connection))
        views = [_ask(connection, view, nights) for view in map(database.view_name, database.view_files())]
    size = sum(table["table_mib"] + table["index_mib"] for table in tables)
    of_assignments = next(table for table in tables if table["table"] == "assignments")
    own = of_assignments["table_mib"] + of_assignments["index_mib"]
    pruned = _prune(settings)
    database.engine(settings).dispose()
    return {
        "rows": rows,
        "nights": len(nights),
        "load_seconds": round(seconds, 1),
        "rows_per_second": round(loaded / seconds),
        "size_mib": round(size, 1),
        "mib_per_million_assignments": round(own / loaded * 1e6, 1),
        "tables": [table for table in tables if table["rows"]],
        "views": views,
        "slowest_seconds": max(view["seconds"] for view in views if view["index_backed"]),
        "prune": pruned,
    }


def _load(settings: Settings, rows: int, per_night: int) -> list[date]:
    """A superseded night and the current ones; their dates."""
    counts = [min(per_night, rows - start) for start in range(0, rows, per_night)]
    _night(settings, 1, _FIRST, counts[0], "superseded")
    nights = [_FIRST + timedelta(days=k) for k in range(len(counts))]
    for run_id, (dt, count) in enumerate(zip(nights, counts, strict=True), start=2):
        _night(settings, run_id, dt, count, "current")
    return nights


def _night(settings: Settings, run_id: int, dt: date, rows: int, status: str) -> None:
    deferred, rejected = int(rows * _DEFERRED_SHARE), int(rows * _REJECTED_SHARE)
    with database.writing(settings) as connection:
        connection.execute(insert(routing_runs).values(**_run(run_id, dt, rows, deferred, rejected), status=status))
        for statement, count in ((_ASSIGNMENTS, rows), (_DEFERRED, deferred), (_REJECTED, rejected)):
            connection.execute(statement, {"run_id": run_id, "dt": dt, "rows": count})
        models = [f"model-{k}" for k in range(_MODELS)]
        connection.execute(insert(run_models), [_model(run_id, k, model, rows) for k, model in enumerate(models)])
        connection.execute(insert(shadow_prices), [_price(run_id, model) for model in models])
        results.total_assignments(connection, run_id)


def _run(run_id: int, dt: date, assigned: int, deferred: int, rejected: int) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "dt": dt,
        "execution_date": dt + timedelta(days=1),
        "attempt": run_id,
        "run_key": f"bench/{run_id}",
        "opened_at": database.now() - timedelta(days=365),
        "replan": False,
        "shadow": False,
        "solve_attempt": 1,
        "dry_run": False,
        "degraded": "",
        "code_version": "bench",
        "settings": {},
        "options": {},
        "seed": 1,
        "batching": "planned",
        "batches": 240,
        "backlog_rows": assigned + deferred + rejected,
        "carried_rows": 0,
        "assigned": assigned,
        "deferred": deferred,
        "rejected": rejected,
        "budget_usd": 1e4,
        "planned_spend_usd": 9e3,
        "planning_budget_usd": 9.5e3,
        "cost_margin": 1.05,
    }


def _model(run_id: int, position: int, model: str, rows: int) -> dict[str, Any]:
    about = {
        "run_id": run_id,
        "model": model,
        "position": position,
        "serving": "api",
        "input_usd": 1.0,
        "output_usd": 2.0,
    }
    return about | {"capacity_per_batch": 1000, "assigned": rows // _MODELS, "planned_spend_usd": 1.0}


def _price(run_id: int, model: str) -> dict[str, Any]:
    about = {"run_id": run_id, "constraint_name": "capacity", "subject": model, "price": 0.01}
    return about | {"unit": "query over the night", "binding": True, "words": f"one more slot of {model} adds 0.01"}


def _question(connection: Connection, view: str) -> str:
    """What is asked of a view: one query's history, one pair of runs, one night, or all it has."""
    columns = {row[0] for row in connection.execute(text(_COLUMNS), {"view": view})}
    if {"run_a", "run_b"} <= columns:
        return "WHERE run_a = 1 AND run_b = 2 AND query_id = :query"
    for column in ("query_id", "dt", "for_date"):
        if column in columns:
            return f"WHERE {column} = :{'query' if column == 'query_id' else 'dt'}"
    return ""


_COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_name = :view"


def _ask(connection: Connection, view: str, nights: list[date]) -> dict[str, Any]:
    """The best of some times, with what PostgreSQL's EXPLAIN says of how."""
    question, dt = _question(connection, view), nights[len(nights) // 2]
    values = {"dt": dt, "query": f"q-{nights[0]:%Y%m%d}-00000042"}
    asked = f"SELECT * FROM {view} {question}"  # noqa: S608 — names of our own views
    used = {name: value for name, value in values.items() if f":{name}" in question}
    seconds, found = [], 0
    for _ in range(_TIMES):
        started = time.monotonic()
        found = len(connection.execute(text(asked), used).all())
        seconds.append(time.monotonic() - started)
    explained = connection.execute(text(f"EXPLAIN (FORMAT JSON) {asked}"), used).scalar_one()
    plan = explained if isinstance(explained, list) else json.loads(explained)
    scans = sorted(set(_scans(plan[0]["Plan"])))
    return {
        "view": view,
        "question": question.removeprefix("WHERE ").replace(":", "a ").replace("a dt", "a night") or "all of it",
        "seconds": round(min(seconds), 4),
        "rows": found,
        "index_backed": not any(scan.startswith("Seq Scan") and scan.endswith(_LARGE) for scan in scans),
        "plan": ", ".join(scans),
    }


def _scans(plan: dict[str, Any]) -> Iterator[str]:
    """How each table is come to, throughout a plan."""
    if "Relation Name" in plan:
        index = f" by {plan['Index Name']}" if "Index Name" in plan else ""
        yield f"{plan['Node Type']}{index} on {plan['Relation Name']}"
    for part in plan.get("Plans", ()):
        yield from _scans(part)


def _sizes(connection: Connection) -> Iterator[dict[str, Any]]:
    size = text("SELECT pg_table_size(CAST(:table AS regclass)), pg_indexes_size(CAST(:table AS regclass))")
    counted = text("SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = CAST(:table AS regclass)")
    for name in metadata.tables:
        heap, index = connection.execute(size, {"table": name}).one()
        rows = int(connection.execute(counted, {"table": name}).scalar_one())
        yield {"table": name, "rows": rows, "table_mib": round(heap / 2**20, 1), "index_mib": round(index / 2**20, 1)}


def _prune(settings: Settings) -> dict[str, Any]:
    """Take the superseded night out."""
    started = time.monotonic()
    done = prune(settings, keep_days=30)
    return {"runs": len(done["runs"]), "rows": done["rows"], "seconds": round(time.monotonic() - started, 2)}


def render(figures: dict[str, Any]) -> str:
    """The figures as the kept Markdown tables."""
    head = (
        f"{figures['rows']:,} assignments in {figures['nights']} nights and one superseded: loaded in "
        f"{figures['load_seconds']} s ({figures['rows_per_second']:,} rows/s), {figures['size_mib']:,.0f} MiB in all, "
        f"**{figures['mib_per_million_assignments']:.0f} MiB per million assignments** with their indexes. "
        f"Pruning the superseded night: {figures['prune']['rows']:,} rows in **{figures['prune']['seconds']} s**."
    )
    views = [
        "| view | asked | seconds | rows | index-backed | plan |",
        "|---|---|--:|--:|---|---|",
        *(
            f"| {v['view']} | {v['question']} | {v['seconds']:.4f} | {v['rows']:,} | "
            f"{'yes' if v['index_backed'] else 'no'} | {v['plan']} |"
            for v in figures["views"]
        ),
    ]
    sizes = [
        (t["table"], f"{t['rows']:,}", f"{t['table_mib']:,.1f}", f"{t['index_mib']:,.1f}") for t in figures["tables"]
    ]
    tables = [
        "| table | rows | table MiB | index MiB |",
        "|---|--:|--:|--:|",
        *("| " + " | ".join(cells) + " |" for cells in sizes),
    ]
    return "\n".join([head, "", *views, "", *tables])


def keep(path: Path, figures: dict[str, Any]) -> None:
    """Put the figures in the place of those below the line ``<!-- store -->`` of a Markdown file."""
    before = path.read_text().split("<!-- store -->")[0]
    path.write_text(f"{before}<!-- store -->\n\n{render(figures)}\n")
