"""Catalogs by content hash: what a run was planned with can be read again, whatever the file says today."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Row

from routing_core.errors import CatalogError, ChangedInputError
from routing_core.records.catalog import Catalog
from routing_core.settings import Settings
from routing_core.store.catalog import read_catalog, write_catalog


def keep(catalog: Catalog, root: Path) -> None:
    """Keep a copy of ``catalog`` below ``root``, under its content hash."""
    if _kept(root, catalog.content_hash) is None:
        write_catalog(catalog, _copy(root, catalog.content_hash))


def of_run(run: Row[Any], settings: Settings) -> Catalog:
    """The catalog a run was opened with.

    Raises
    ------
    ChangedInputError
        If no whole copy of it is kept, and the file in force is another by now.
    CatalogError
        If no whole copy of it is kept, and the file in force is not a catalog.
    """
    kept = _kept(settings.catalogs_root, run.catalog_hash)
    if kept is not None:
        return kept
    catalog = read_catalog(settings.catalog_file)
    if catalog.content_hash != run.catalog_hash:
        copy = _copy(settings.catalogs_root, run.catalog_hash)
        raise ChangedInputError(
            f"run {run.run_id} of {run.dt}: the catalog changed since the run was opened "
            f"(hash {run.catalog_hash[:12]} then, {catalog.content_hash[:12]} in force; "
            f"{copy} {'is damaged' if copy.exists() else 'is not there'})",
            remedy="open a new run for the date",
        )
    return catalog


def _kept(root: Path, content_hash: str) -> Catalog | None:
    """The copy under a hash; None if there is none, or it is not whole."""
    copy = _copy(root, content_hash)
    try:
        catalog = read_catalog(copy) if copy.exists() else None
    except CatalogError:
        return None
    return catalog if catalog is not None and catalog.content_hash == content_hash else None


def _copy(root: Path, content_hash: str) -> Path:
    return root / f"{content_hash}.yaml"
