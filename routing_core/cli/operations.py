"""Commands that keep the thing running: examine it, show its settings, and take out what nobody needs any more."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from routing_core.cli.app import app
from routing_core.cli.output import Json, lines, ready_settings, show, yesterday
from routing_core.settings import load_settings


@app.command()
def doctor(as_json: Json = False) -> None:
    """Look at everything a night stands on, and say what to fix; the exit status is 1 if something must be."""
    from routing_core.steps import doctor as step

    examined = step.report(step.examine())
    show(as_json, examined, _examined)
    if not examined["ok"]:
        raise typer.Exit(1)


@app.command()
def settings(
    reference: Annotated[bool, typer.Option("--reference", help="What there is to set, in Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """Show the settings in force, secrets masked, or what each of them means."""
    if reference:
        from routing_core.steps import ask

        typer.echo(ask.settings_reference(), nl=False)
    else:
        show(as_json, load_settings().public(), lines)


@app.command()
def prune(
    keep_days: Annotated[
        int | None, typer.Option(min=1, help="Days that everything is kept; the settings' by default.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and touch nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Take out superseded and failed runs, their shards, old exports and predictors that nothing refers to."""
    from routing_core.steps.prune import prune as step

    show(as_json, step(ready_settings(), keep_days=keep_days, dry_run=dry_run), lines)


@app.command()
def budget(
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="The current month by default.")] = None,
    as_json: Json = False,
) -> None:
    """Show a month's money: planned, settled, at risk and left, by night and by team."""
    from routing_core.steps.money import month_ledger as step

    show(as_json, step(month or f"{yesterday():%Y-%m}", ready_settings()), _ledger)


def _ledger(result: dict[str, Any]) -> str:
    nights = [
        f"{row['execution_date']}  {row['team']:<12}  planned {row['planned_usd']:.6g}, "
        f"settled {row['settled_usd']:.6g}, outstanding {row['outstanding_usd']:.6g}, at risk {row['at_risk_usd']:.6g}"
        for row in result["nights"]
    ]
    teams = [f"team {team.pop('team')}\n{lines(team)}" for team in map(dict, result["teams"])]
    return "\n".join([lines({k: v for k, v in result.items() if k not in ("nights", "teams")}), *teams, *nights])


def _examined(result: dict[str, Any]) -> str:
    rows = []
    for one in result["checks"]:
        rows.append(f"{one['status']:<4}  {one['check']:<11}  {one['what']}")
        if one["remedy"]:
            rows.append(f"{'':<19}remedy: {one['remedy']}")
    return "\n".join([*rows, f"{result['failed']} must be fixed, {result['warned']} are odd"])
