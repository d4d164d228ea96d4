"""Catalogs by content hash: what a run was planned with can be read again, whatever the file says today."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Row

from routing_core.errors import ChangedInputError
from routing_core.records.catalog import Catalog
from routing_core.settings import Settings
from routing_core.store.catalog import read_catalog, write_catalog


def keep(catalog: Catalog, root: Path) -> None:
    """Keep a copy of ``catalog`` below ``root``, under its content hash."""
    copy = _copy(root, catalog.content_hash)
    if not copy.exists():
        write_catalog(catalog, copy)


def of_run(run: Row[Any], settings: Settings) -> Catalog:
    """The catalog a run was opened with.

    Raises
    ------
    ChangedInputError
        If no copy of it was kept, or the copy was altered, and the file in force is another by now.
    """
    copy = _copy(settings.catalogs_root, run.catalog_hash)
    catalog = read_catalog(copy if copy.exists() else settings.catalog_file)
    if catalog.content_hash != run.catalog_hash:
        raise ChangedInputError(
            f"run {run.run_id} of {run.dt}: the catalog changed since the run was opened "
            f"(hash {run.catalog_hash[:12]} then, {catalog.content_hash[:12]} in {copy if copy.exists() else 'force'})",
            remedy="open a new run for the date",
        )
    return catalog


def _copy(root: Path, content_hash: str) -> Path:
    return root / f"{content_hash}.yaml"
