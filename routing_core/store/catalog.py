"""The catalog between YAML and records; nothing is guessed, and every refusal names file, model, field and value."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from routing_core import plain_yaml
from routing_core.errors import CatalogError
from routing_core.records.catalog import Catalog, Model, Price, Serving

_LONGEST_NAME = 512


def read_catalog(path: Path) -> Catalog:
    """Read the catalog at ``path``.

    Raises
    ------
    CatalogError
        If the file is absent, is not plain YAML (aliases, duplicate keys and tags are refused), has a field that
        the contract does not know, or a value that breaks it.
    """
    content = _load(path)
    models = _fields(content, f"catalog {path}", {"models": _list}, required={"models"})["models"]
    records = tuple(_model(entry, f"catalog {path}, model {_label(entry, k)}") for k, entry in enumerate(models))
    try:
        return Catalog(records)
    except CatalogError as error:
        raise CatalogError(f"catalog {path}: {error.message}", remedy=error.remedy) from error


def write_catalog(catalog: Catalog, path: Path) -> None:
    """Write ``catalog`` so that :func:`read_catalog` gives it back; the file appears whole or not at all."""
    content = {"models": [_plain(model) for model in catalog]}
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with scratch.open("w", encoding="utf-8") as file:
            file.write(plain_yaml.dump(content))
            file.flush()
            os.fsync(file.fileno())  # or the name could outlive a crash that the content does not
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _load(path: Path) -> Any:
    try:
        return plain_yaml.read(path)
    except OSError as error:
        raise CatalogError(
            f"catalog {path} cannot be opened: {error.strerror or error}",
            remedy="set NIGHTSHIFT_CATALOG or write the file",
        ) from error
    except plain_yaml.NotPlainError as error:
        raise CatalogError(f"catalog {path} {error}") from error


Reader = Callable[[Any, str], Any]


def _fields(value: Any, where: str, readers: Mapping[str, Reader], required: set[str]) -> dict[str, Any]:
    """The fields of a mapping, each through its reader."""
    if not isinstance(value, dict):
        raise CatalogError(f"{where} must be a mapping with {', '.join(readers)}, got {_shown(value)}")
    for field in value:
        if field not in readers:
            raise CatalogError(
                f"{where}: field {field!r} is not known, got {_shown(value[field])}; known are {', '.join(readers)}"
            )
    for field in sorted(required - set(value)):
        raise CatalogError(f"{where}: field {field!r} is needed and missing")
    return {field: readers[field](entry, f"{where}: {field}") for field, entry in value.items()}


def _refused(where: str, rule: str, value: Any) -> CatalogError:
    return CatalogError(f"{where} must be {rule}, got {_shown(value)}")


def _shown(value: Any) -> str:
    try:
        text = f"{value!r} ({type(value).__name__})"
    except ValueError:  # a whole number of more digits than Python prints
        text = f"a {type(value).__name__} too long to show"
    return text if len(text) <= 120 else f"{text[:119]}…"


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _refused(where, "a list", value)
    return value


def _name(value: Any, where: str) -> str:
    if (
        not isinstance(value, str)
        or not 0 < len(value.encode("utf-8", "replace")) <= _LONGEST_NAME
        or not value.isprintable()
    ):
        raise _refused(where, f"a printable text of 1 to {_LONGEST_NAME} bytes", value)
    return value


def _names(value: Any, where: str) -> frozenset[str]:
    names = [_name(entry, where) for entry in _list(value, where)]
    if len(set(names)) < len(names):
        raise _refused(where, "free of repetitions", value)
    return frozenset(names)


def _whole(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**31:
        raise _refused(where, "a whole number below 2**31", value)
    return value


def _number(value: Any, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > 1e9 or not math.isfinite(value):
        raise _refused(where, "a finite number of at most 1e9 (YAML wants 1.0e-5, not 1e-5)", value)
    return float(value)


def _day(value: Any, where: str) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _refused(where, "a day written 2026-11-01, without quotes", value)
    return value


def _serving(value: Any, where: str) -> Serving:
    if value not in tuple(Serving):
        raise _refused(where, f"one of {', '.join(Serving)}", value)
    return Serving(value)


def _prices(value: Any, where: str) -> tuple[Price, ...]:
    readers: dict[str, Reader] = {"valid_from": _day, "input_usd": _number, "output_usd": _number}
    entries = (
        _fields(entry, f"{where}, entry {k}", readers, set(readers)) for k, entry in enumerate(_list(value, where))
    )
    return tuple(Price(**entry) for entry in entries)


def _optional(reader: Reader) -> Reader:
    return lambda value, where: None if value is None else reader(value, where)


_MODEL_FIELDS: dict[str, Reader] = {
    "name": _name,
    "serving": _serving,
    "prices": _prices,
    "context_window": _whole,
    "gpu_type": _name,
    "gpus_per_instance": _whole,
    "concurrency_per_instance": _whole,
    "stock": _optional(_whole),
    "rate_limit_per_minute": _optional(_number),
    "tags": _names,
}


def _model(entry: Any, where: str) -> Model:
    return Model(**_fields(entry, where, _MODEL_FIELDS, {"name", "serving", "prices", "context_window"}))


def _label(entry: Any, position: int) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    return repr(name)[:80] if isinstance(name, str) else f"number {position + 1}"


_MAY_BE_NOTHING = frozenset({"stock", "rate_limit_per_minute"})
"""Fields whose 0 is no default: it allows nothing, where leaving them out allows everything."""


def _plain(model: Model) -> dict[str, Any]:
    """A model as YAML holds it; fields at their default are left out."""
    entry: dict[str, Any] = {"name": model.name, "serving": model.serving.value}
    entry["prices"] = [
        {"valid_from": p.valid_from, "input_usd": p.input_usd, "output_usd": p.output_usd} for p in model.prices
    ]
    entry["context_window"] = model.context_window
    optional = {
        "gpu_type": model.gpu_type,
        "gpus_per_instance": model.gpus_per_instance,
        "concurrency_per_instance": model.concurrency_per_instance,
        "stock": model.stock,
        "rate_limit_per_minute": model.rate_limit_per_minute,
        "tags": sorted(model.tags),
    }
    return entry | {
        field: value for field, value in optional.items() if value or (value == 0 and field in _MAY_BE_NOTHING)
    }
