"""Mutated catalogs and settings: read, or refused by a named error that tells the file, never more, never a secret."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from nasty import Rng, mutate_bytes

from routing_core.errors import CatalogError, NightshiftError, SettingsError
from routing_core.settings import PROJECT_ROOT, Settings, load_settings
from routing_core.store.catalog import read_catalog, write_catalog

pytestmark = pytest.mark.hostile

BLOCKS, CASES = 3, 60
"""Of catalogs and of settings each."""
SECRET = "hunter2hunter2"
_CATALOG = (PROJECT_ROOT / "config" / "catalog.yaml").read_text()
_SETTINGS = f"""\
budget_usd: 2.0
gpu_budget: {{h100: 6}}
team_budgets_usd: {{search: 1.0}}
batch_minutes: 60.0
dsn: postgresql://writer:{SECRET}@database/nightshift
backlog: s3://key:{SECRET}@bucket/backlog
max_instances: {{a: 3}}
slots_by_length: {{4000: 2.0}}
carry_over: chained
"""
SCALARS = (
    "-1", "0", ".nan", ".inf", "-.inf", "1e400", "0x" + "f" * 9000, "0b" + "1" * 9000, "9" * 5000, "1_000", "1:60:60",
    "true", "null", "~", "''", "'\\0'", '"\\0"', '"\\ud800"', '"\\U0010ffff"', "2026-13-45",
    "0001-01-01", "2026-11-01T00:00:00Z", "[]", "{}", "[1, 2]", "{a: 1}", "!!python/object/apply:os.system ['true']",
    "!!int ''", "!!bool x", "!!timestamp x",
    "!!binary '####'", "!!set {a, b}", "!x y", "&a [*a]", "*nobody", "<<: 1", "a" * 5000, "../../etc/passwd", "{{ x }}",
    "'; DROP TABLE x --'", "\u202e", "|\n    text", "1.0e+308", "self_hosted", "api",
)  # fmt: skip
_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_hostile_catalog_is_refused_by_name(block: int, tmp_path: Path) -> None:
    """What is read survives being written and read again; what is not is a CatalogError that tells the file."""
    path = tmp_path / "catalog.yaml"
    for seed in range(block * CASES, (block + 1) * CASES):
        _mutate(path, _CATALOG, np.random.default_rng([3, seed]))
        try:
            catalog = read_catalog(path)
        except CatalogError as error:
            assert str(path) in str(error)
            assert len(str(error)) < 2000
            continue
        write_catalog(catalog, tmp_path / "again.yaml")
        assert read_catalog(tmp_path / "again.yaml").content_hash == catalog.content_hash


@pytest.mark.parametrize("block", range(BLOCKS))
def test_hostile_settings_are_refused_by_name_without_their_secrets(block: int, home: Path) -> None:
    """A file that breaks a rule is a SettingsError, short, and never repeats a password, whatever field it is under."""
    path = home / "config" / "settings.yaml"
    path.parent.mkdir()
    for seed in range(block * CASES, (block + 1) * CASES):
        _mutate(path, _SETTINGS, np.random.default_rng([4, seed]))
        try:
            settings = load_settings()
        except SettingsError as error:
            assert SECRET not in str(error)
            assert len(str(error)) < 4000
            continue
        assert SECRET not in repr(settings.public())
        assert settings.batches >= 1


@pytest.mark.parametrize(
    "text",
    [
        _BOMB,
        "[" * 200_000,
        "{a: " * 50_000,
        "- " * 100_000,
        "? " * 50_000,
        "a: " + "x" * 2_000_000,
        "\0",
        "%YAML 9.9\n---\n",
    ],
    ids=["aliases", "lists", "mappings", "dashes", "keys", "megabytes", "NUL", "directive"],
)
@pytest.mark.parametrize("reader", ["catalog", "settings"])
def test_a_yaml_bomb_does_not_go_off(text: str, reader: str, home: Path) -> None:
    """Aliases that multiply, nesting without end and files of megabytes are refused before they cost anything."""
    path = home / "config" / f"{reader}.yaml"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(NightshiftError, match=reader):
        read_catalog(path) if reader == "catalog" else load_settings()


@pytest.mark.parametrize("place", ["directory", "absent", "pipe"])
def test_a_catalog_that_is_no_file_is_refused_by_name(place: str, tmp_path: Path) -> None:
    """A pipe would be read for ever, a directory not at all."""
    import os

    path = tmp_path / "catalog.yaml"
    {"directory": path.mkdir, "absent": lambda: None, "pipe": lambda: os.mkfifo(path)}[place]()
    with pytest.raises(CatalogError, match="cannot be opened"):
        read_catalog(path)


CONTRADICTIONS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no models": (lambda c: c.update(models=[]), "at least one"),
    "a model twice": (lambda c: c["models"].append(c["models"][0]), "twice"),
    "an api model on GPUs": (lambda c: _api(c).update(gpus_per_instance=1), "gpus_per_instance"),
    "an api model with slots": (lambda c: _api(c).update(concurrency_per_instance=4), "concurrency"),
    "an api model with a GPU type": (lambda c: _api(c).update(gpu_type="h100"), "gpu_type"),
    "our own without GPUs": (lambda c: _own(c).pop("gpus_per_instance"), "gpus_per_instance"),
    "our own without a type": (lambda c: _own(c).pop("gpu_type"), "gpu_type"),
    "no price": (lambda c: _own(c).update(prices=[]), "prices"),
    "prices out of order": (lambda c: _own(c)["prices"].append(dict(_own(c)["prices"][0])), "valid_from"),
    "a negative price": (lambda c: _own(c)["prices"][0].update(input_usd=-1.0), "input_usd"),
    "a price that is no number": (lambda c: _own(c)["prices"][0].update(output_usd=float("nan")), "output_usd"),
    "a negative stock": (lambda c: _own(c).update(stock=-1), "stock"),
    "no context": (lambda c: _own(c).update(context_window=0), "context_window"),
    "a field nobody knows": (lambda c: _own(c).update(contxt_window=1), "contxt_window"),
    "a name with a line break": (lambda c: _own(c).update(name="a\nb"), "name"),
    "a tag twice": (lambda c: _own(c).update(tags=["eu", "eu"]), "tags"),
    "a serving nobody offers": (lambda c: _own(c).update(serving="borrowed"), "serving"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_catalog_that_contradicts_itself_is_refused_by_file_model_and_rule(name: str, tmp_path: Path) -> None:
    """Each contradiction is told by the field that breaks it."""
    spoil, words = CONTRADICTIONS[name]
    content = yaml.safe_load(_CATALOG)
    spoil(content)
    path = tmp_path / "catalog.yaml"
    path.write_text(yaml.dump(content, sort_keys=False, Dumper=_Unaliased))
    with pytest.raises(CatalogError, match=words) as refused:
        read_catalog(path)
    assert str(path) in str(refused.value)


def test_a_price_that_begins_too_late_is_refused_when_it_is_asked_for(tmp_path: Path) -> None:
    """A backfill before the first price fails by the model's name, not with a price of another day."""
    catalog = read_catalog(PROJECT_ROOT / "config" / "catalog.yaml")
    with pytest.raises(CatalogError, match="no price valid on 1999-01-01"):
        catalog.prices_on(date(1999, 1, 1))


class _Unaliased(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _own(content: dict[str, Any]) -> dict[str, Any]:
    return next(model for model in content["models"] if model["serving"] == "self_hosted")


def _api(content: dict[str, Any]) -> dict[str, Any]:
    return next(model for model in content["models"] if model["serving"] == "api")


def _mutate(path: Path, text: str, rng: Rng) -> None:
    """The document with a value replaced, a line lost, doubled, moved in or renamed, or its bytes broken."""
    lines = text.splitlines(keepends=True)
    at, way = int(rng.integers(0, len(lines))), int(rng.integers(0, 8))
    scalar = SCALARS[int(rng.integers(0, len(SCALARS)))]
    if way <= 3 and ":" in lines[at]:
        lines[at] = f"{lines[at].split(':')[0]}: {scalar}\n"
    elif way == 4:
        lines[at] = lines[at] + lines[at]
    elif way == 5:
        del lines[at]
    elif way == 6:
        lines[at] = f"x{lines[at].lstrip(' -')}"
    raw = "".join(lines).encode("utf-8", "surrogatepass")
    path.write_bytes(mutate_bytes(raw, rng) if way == 7 else raw)


def test_the_settings_that_are_mutated_are_good_ones(home: Path) -> None:
    """Without a mutation they are read; the tests above would pass for nothing otherwise."""
    path = home / "config" / "settings.yaml"
    path.parent.mkdir()
    path.write_text(_SETTINGS)
    assert isinstance(load_settings(), Settings)
    assert SECRET not in repr(load_settings().public())
