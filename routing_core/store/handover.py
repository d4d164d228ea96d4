"""A written plan made durable, proven by checksums, put in its place at once, and recorded."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, insert, select

from routing_core.errors import SettingsError
from routing_core.store.database import next_id, now
from routing_core.store.outbox import Written
from routing_core.store.tables.handing_out import exports
from routing_core.store.tables.runs import routing_runs

MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
_RUN_DIRECTORY = re.compile(r"run-(\d{8,})")


def plan_directory(root: Path, run: Row[Any], form: str) -> Path:
    """Where a run's plan belongs below ``root``."""
    return root / f"dt={run.dt}" / f"run-{run.run_id:08d}" / form


def local_directory(to: str | Path) -> Path:
    """A directory of this machine, absolute.

    Raises
    ------
    SettingsError
        If it is a URL: an object store cannot put a whole plan in place at once.
    """
    if "://" in str(to):
        raise SettingsError(
            f"plans are written to a local directory, which appears whole or not at all, got {to}",
            remedy="export to a directory and copy it from there; SHA256SUMS proves the copy",
        )
    return Path(to).expanduser().absolute()


@contextmanager
def writing_directory(final: Path) -> Iterator[Path]:
    """A scratch directory beside ``final`` that is gone afterwards, unless it was put in place."""
    making = final.with_name(f".{final.name}.{uuid4().hex}")
    making.mkdir(parents=True)
    try:
        yield making
    finally:
        shutil.rmtree(making, ignore_errors=True)


def seal_files(directory: Path, run: Row[Any], form: str, written: Sequence[Written]) -> dict[str, Any]:
    """Write the manifest and the checksums of a plan's files, and bring all to disk.

    Returns
    -------
    dict
        The manifest: run_id, dt, execution_date, format, rows, and name, kind, model, rows, bytes and sha256 of
        each file. Equal plans have equal manifests.
    """
    manifest = {
        "run_id": run.run_id,
        "dt": run.dt.isoformat(),
        "execution_date": run.execution_date.isoformat(),
        "format": form,
        "sent_through_batch": run.sent_through_batch or 0,
        "rows": sum(one.rows for one in written),
        "files": [
            {
                "name": one.name,
                "kind": one.kind,
                "model": one.model,
                "rows": one.rows,
                "bytes": (directory / one.name).stat().st_size,
                "sha256": _digest(directory / one.name),
            }
            for one in written
        ],
    }
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    names = [*(one.name for one in written), MANIFEST]
    (directory / SUMS).write_text("".join(f"{_digest(directory / name)}  {name}\n" for name in names))
    for name in (*names, SUMS):
        _to_disk(directory / name)
    _to_disk(directory)
    return manifest


def checksum(directory: Path) -> str:
    """SHA-256 of a plan's manifest, and so of the plan."""
    return sha256((directory / MANIFEST).read_bytes()).hexdigest()


def put_in_place(making: Path, final: Path) -> None:
    """Give a written plan its final name; a plan there with the same bytes is left alone, another is replaced."""
    if _is_intact(final) and (final / SUMS).read_bytes() == (making / SUMS).read_bytes():
        return
    aside = making.with_name(f"{making.name}-old")
    if final.exists():
        final.rename(aside)
    making.rename(final)
    _to_disk(final.parent)
    shutil.rmtree(aside, ignore_errors=True)


def sweep(connection: Connection, of_date: Path, run: Row[Any]) -> None:
    """Remove plans of the date that were written but never sealed, because their export died in between."""
    known = connection.execute(
        select(routing_runs.c.run_id, routing_runs.c.sealed_at).where(routing_runs.c.dt == run.dt)
    )
    unsealed = {row.run_id for row in known if row.sealed_at is None}
    for directory in of_date.iterdir():
        named = _RUN_DIRECTORY.fullmatch(directory.name)
        if named and int(named[1]) in unsealed - {run.run_id}:
            shutil.rmtree(directory, ignore_errors=True)


def record(connection: Connection, run: Row[Any], directory: Path, manifest: Mapping[str, Any]) -> None:
    """Record that a plan was handed out."""
    connection.execute(
        insert(exports).values(
            export_id=next_id(connection, "exports", "export_id"),
            run_id=run.run_id,
            dt=run.dt,
            format=manifest["format"],
            directory=str(directory),
            files=len(manifest["files"]),
            rows=manifest["rows"],
            checksum=checksum(directory),
            exported_at=now(),
        )
    )


def _is_intact(directory: Path) -> bool:
    """Whether every file is what the checksums beside it say."""
    try:
        lines = (directory / SUMS).read_text().splitlines()
        return all(_digest(directory / name) == digest for digest, name in (line.split("  ", 1) for line in lines))
    except (OSError, ValueError):
        return False


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
