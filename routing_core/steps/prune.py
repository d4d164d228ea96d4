"""Take out what nobody needs any more, so that the house stays the size of its nights and not of its attempts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from routing_core import log
from routing_core.errors import SettingsError
from routing_core.settings import Settings
from routing_core.store import retention
from routing_core.store.database import now, reading, writing

_RUN = re.compile(r"\d{8,}")
_HASH = re.compile(r"[0-9a-f]{64}")


@log.step
def prune(settings: Settings, *, keep_days: int | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Prune runs that were superseded, failed, left half-way or made for comparison, and what lies about on disk.

    A current, sealed or settled run is never touched, nor one that such a run was planned from or took queries up
    from; a run that can no longer be gone back to is told so by its row, which stays.

    Parameters
    ----------
    settings : Settings
    keep_days : int, optional
        Days that everything is kept; ``retention_days`` by default.
    dry_run : bool
        Say what would go, and touch nothing.

    Returns
    -------
    dict
        dry_run, keep_days, before, runs (their numbers), rows (taken out of tables), shards, exports, predictors
        (directories removed), bytes (of those).

    Raises
    ------
    SettingsError
        If ``keep_days`` is below 1.
    """
    days = settings.retention_days if keep_days is None else keep_days
    if days < 1:
        raise SettingsError(f"keep_days must be at least 1, got {days}")
    before = now() - timedelta(days=days)
    with reading(settings) as connection:
        going = [run.run_id for run in retention.prunable_runs(connection, before)]
        rows = sum(retention.rows_of(connection, run_id) for run_id in going) if dry_run else 0
    if not dry_run:
        rows, going = _prune_runs(settings, going, before)
    with reading(settings) as connection:
        whole = retention.whole_runs(connection) - set(going)
        predictors = retention.needed_predictors(connection, before)
        old = retention.old_exports(connection, before)
    doomed = {
        "shards": _directories(settings.home / "runs", _RUN, lambda name: int(name) not in whole),
        "exports": [path for path in old if path.is_dir() and path.is_relative_to(settings.exports_root)],
        "predictors": _old(_directories(settings.predictors_root, _HASH, lambda name: name not in predictors), before),
    }
    size = sum(retention.size_of(path) for paths in doomed.values() for path in paths)
    if not dry_run:
        for path in (path for paths in doomed.values() for path in paths):
            retention.remove(path)
    counts = {kind: len(paths) for kind, paths in doomed.items()}
    about = {"dry_run": dry_run, "keep_days": days, "before": before.isoformat(timespec="seconds")}
    return {**about, "runs": going, "rows": rows, **counts, "bytes": size}


def _prune_runs(settings: Settings, going: Iterable[int], before: Any) -> tuple[int, list[int]]:
    """Rows taken out, and the runs that were: a transaction each, so that others wait for one run at most."""
    rows, gone = 0, []
    for run_id in going:
        with writing(settings) as connection:
            taken_out = retention.prune_run(connection, run_id, before)
        if taken_out is not None:
            rows += taken_out
            gone.append(run_id)
    return rows, gone


def _directories(root: Path, named: re.Pattern[str], is_over: Callable[[str], bool]) -> list[Path]:
    """Directories below ``root`` that are named as ours are and are over."""
    if not root.is_dir():
        return []
    return sorted(
        path for path in root.iterdir() if path.is_dir() and named.fullmatch(path.name) and is_over(path.name)
    )


def _old(directories: Iterable[Path], before: Any) -> list[Path]:
    """Those not made just now, by somebody who is about to record them."""
    return [path for path in directories if path.stat().st_mtime < before.timestamp()]
