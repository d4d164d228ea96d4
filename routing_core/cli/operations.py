"""Commands that keep the thing running: examine it, and take out what nobody needs any more."""

from __future__ import annotations

from typing import Any

import typer

from routing_core.cli.app import app
from routing_core.cli.output import Json, show


@app.command()
def doctor(as_json: Json = False) -> None:
    """Look at everything a night stands on, and say what to fix; the exit status is 1 if something must be."""
    from routing_core.steps import doctor as step

    examined = step.report(step.examine())
    show(as_json, examined, _examined)
    if not examined["ok"]:
        raise typer.Exit(1)


def _examined(result: dict[str, Any]) -> str:
    rows = []
    for one in result["checks"]:
        rows.append(f"{one['status']:<4}  {one['check']:<11}  {one['what']}")
        if one["remedy"]:
            rows.append(f"{'':<19}remedy: {one['remedy']}")
    return "\n".join([*rows, f"{result['failed']} must be fixed, {result['warned']} are odd"])
