"""Copies of catalogs by content hash: a torn one is written anew, and no night stops for it."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from routing_core.errors import ChangedInputError
from routing_core.records.catalog import Catalog
from routing_core.settings import PROJECT_ROOT, Settings, load_settings
from routing_core.store import catalog as yaml_catalog
from routing_core.store import catalogs
from routing_core.store.catalog import read_catalog, write_catalog

TORN = ["", "models:\n  - name: a", "\x00\x00", "models: []\n"]


@pytest.fixture
def settings(home: Path) -> Settings:
    (home / "config").mkdir()
    shutil.copy(PROJECT_ROOT / "config" / "catalog.yaml", home / "config")
    return load_settings(home=home)


def run_of(catalog: Catalog) -> Any:
    return SimpleNamespace(run_id=1, dt=date(2026, 11, 22), catalog_hash=catalog.content_hash)


def kept(settings: Settings, catalog: Catalog) -> Path:
    catalogs.keep(catalog, settings.catalogs_root)
    (copy,) = settings.catalogs_root.iterdir()
    return copy


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_copy_gives_way_to_the_file_in_force_and_is_written_anew(settings: Settings, torn: str):
    catalog = read_catalog(settings.catalog_file)
    copy = kept(settings, catalog)
    copy.write_text(torn)
    assert catalogs.of_run(run_of(catalog), settings) == catalog
    assert kept(settings, catalog) == copy
    assert read_catalog(copy) == catalog
    other = Catalog(catalog.models[1:])
    write_catalog(other, settings.catalog_file)
    assert catalogs.of_run(run_of(catalog), settings) == catalog
    copy.write_text(torn)
    with pytest.raises(ChangedInputError, match="is damaged"):
        catalogs.of_run(run_of(catalog), settings)


def test_a_writer_that_fails_leaves_the_file_as_it_was(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    before = settings.catalog_file.read_text()
    catalog = read_catalog(settings.catalog_file)
    monkeypatch.setattr(yaml_catalog.os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_catalog(Catalog(catalog.models[1:]), settings.catalog_file)
    assert settings.catalog_file.read_text() == before
    assert [file.name for file in settings.catalog_file.parent.iterdir()] == [settings.catalog_file.name]
