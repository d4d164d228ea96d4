"""docker-compose.yml as docker compose would read it: variables put in, one service at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
FILE = REPOSITORY / "docker-compose.yml"
_VARIABLE = re.compile(r"\$(\$|\{(?P<name>\w+)(?::(?P<how>[-?])(?P<other>[^}]*))?\})")


def required_variables() -> set[str]:
    """Names that must be in ``.env``: ``${NAME:?…}``."""
    return {m["name"] for m in _VARIABLE.finditer(FILE.read_text()) if m["how"] == "?"}


def all_variables() -> set[str]:
    return {m["name"] for m in _VARIABLE.finditer(FILE.read_text()) if m["name"]}


def read(variables: Mapping[str, str]) -> dict[str, Any]:
    """The file with ``variables`` put in."""
    return _put_in(yaml.safe_load(FILE.read_text()), variables)


def _put_in(node: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _put_in(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_put_in(value, variables) for value in node]
    return _VARIABLE.sub(lambda match: _value(match, variables), node) if isinstance(node, str) else node


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if not match["name"]:
        return "$"
    value = variables.get(match["name"], "")
    if value or match["how"] is None:
        return value
    if match["how"] == "?":
        raise KeyError(f"docker-compose.yml requires {match['name']}: {match['other']}")
    return match["other"]
