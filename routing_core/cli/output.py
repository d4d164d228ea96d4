"""What every command needs: settings, a day, a key, and a way to print."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer

from routing_core.errors import SettingsError
from routing_core.settings import Settings, load_settings
from routing_core.steps.night import parse_dt

Dt = Annotated[date, typer.Option("--dt", parser=parse_dt, metavar="YYYY-MM-DD", help="Day the night is about.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def ready_settings() -> Settings:
    from routing_core.steps import prepare

    settings = load_settings()
    prepare.check_ready(settings)
    return settings


def yesterday() -> date:
    return datetime.now(UTC).date() - timedelta(days=1)


def run_key() -> str:
    """A key of its own for each command, so that typing it again opens a new run."""
    return f"cli/{uuid4().hex}"


def show(as_json: bool, result: Any, render: Callable[[Any], str]) -> None:
    typer.echo(json.dumps(result, default=_plain, allow_nan=False) if as_json else render(result))


def lines(result: dict[str, Any]) -> str:
    shown = {name: value for name, value in result.items() if value is not None}
    width = max(map(len, shown), default=0)
    return "\n".join(f"{name:<{width}}  {_short(value)}" for name, value in shown.items())


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        shown = ", ".join(_short(part) for part in value[:10])
        return shown if len(value) <= 10 else f"{shown}, … ({len(value)} in all)"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, date | datetime | Path):
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    if hasattr(value, "item"):
        return value.item()
    raise SettingsError(f"a result of type {type(value).__name__} has no JSON form")
