"""The kept tables of nights: a row for each configuration measured, the others left as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NIGHTS, BASELINE, AIRFLOW, MAPPED = "nights", "baseline", "airflow", "mapped"
"""Tables of the file, each after a line ``<!-- name -->``."""

_STAGES = ("open", "list", "estimate", "solve", "write", "compare", "check", "publish")


def keep_night(path: Path, figures: Mapping[str, Any]) -> None:
    """Take a night's figures up into the tables of a Markdown file."""
    _keep(path, NIGHTS, 3, _night_row(figures))
    key = [f"{figures['queries']:,}", figures["features"], figures["database"]]
    for name, found in figures.get("baseline", {}).items():
        _keep(path, BASELINE, 4, [*key, name, *_baseline_cells(figures, found)])
    if "airflow" in figures:
        _keep(path, AIRFLOW, 3, [*key, *_airflow_cells(figures, figures["airflow"])])


def keep_mapped(path: Path, figures: Mapping[str, Any]) -> None:
    """Take the figures of a night solved from disk up into their table."""
    names = ("inputs_mib", "peak_rss_mib", "peak_anonymous_mib", "peak_file_mib")
    cells = [
        figures["family"],
        _seconds(figures["gather_seconds"]),
        _seconds(figures["seconds"]),
        f"{figures['gap']:.1e}",
    ]
    key = [f"{figures['queries']:,}", str(figures["models"])]
    _keep(path, MAPPED, 3, [*key, *cells, *(f"{figures[name]:,.0f}" for name in names)])


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same names as a Markdown table."""
    lines = [list(rows[0]), ["--:"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def exponent(small: Mapping[str, float], large: Mapping[str, float], name: str) -> float:
    """The power of the number of queries with which a figure grows from one night to a larger one."""
    return math.log(large[name] / small[name]) / math.log(large["queries"] / small["queries"])


def _night_row(figures: Mapping[str, Any]) -> list[str]:
    stages = {stage["name"]: stage["seconds"] for stage in figures["stages"]}
    return [
        f"{figures['queries']:,}",
        figures["features"],
        figures["database"],
        str(figures["partitions"]),
        _seconds(figures["seconds"]),
        f"{figures['rows_per_second']:,.0f}",
        _seconds(figures["cpu_seconds"]),
        f"{figures['peak_rss_mib']:,.0f}",
        f"{100 * figures['solver_share']:.1f} %",
        *(_seconds(stages[name]) for name in _STAGES),
        f"{figures['gap']:.1e}",
    ]


def _baseline_cells(figures: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    return [
        f"{figures['rows_per_second_per_core']:,.0f}",
        f"{found['queries']:,}",
        f"{found['rows_per_second_per_core']:,.0f}",
        f"{found['times']:,.0f}",
        f"{found['times_by_cpu']:,.0f}",
    ]


def _airflow_cells(figures: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    shown = ("seconds", "overhead_seconds")
    return [
        _seconds(figures["seconds"]),
        *(_seconds(found[name]) for name in shown),
        f"{100 * found['overhead_share']:.0f} %",
        str(found["task_instances"]),
        f"{found['peak_rss_mib']:,.0f}",
    ]


def _seconds(value: float) -> str:
    return f"{value:.1f}"


def _keep(path: Path, table: str, n_keys: int, row: Sequence[str]) -> None:
    """Put ``row`` in the place of the one with the same first ``n_keys`` cells, or in order among the others."""
    lines = path.read_text().splitlines()
    head = lines.index(f"<!-- {table} -->") + 2
    start = head + 2
    end = next((k for k in range(start, len(lines)) if not lines[k].startswith("|")), len(lines))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start:end]]
    kept = [old for old in rows if old[:n_keys] != list(row[:n_keys])]
    ordered = sorted([*kept, list(row)], key=lambda one: (int(one[0].replace(",", "")), one[1:n_keys]))
    lines[start:end] = ["| " + " | ".join(one) + " |" for one in ordered]
    path.write_text("\n".join(lines) + "\n")
