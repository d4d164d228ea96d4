"""Commands that make and read a night."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from routing_core.cli.app import app
from routing_core.cli.output import Dt, Json, lines, ready_settings, run_key, show
from routing_core.errors import SettingsError
from routing_core.settings import Settings

Policy = Literal["as_of", "latest"]


@app.command()
def retrain(dt: Dt, as_json: Json = False) -> None:
    """Fit predictors on the outcomes through the day, judge them, and promote the winner."""
    from routing_core.steps.retrain import retrain as step

    show(as_json, step(dt, ready_settings(), run_key=run_key()), lines)


@app.command()
def allocate(
    dt: Dt,
    predictor_policy: Annotated[Policy, typer.Option(help="Which predictor.")] = "as_of",
    as_json: Json = False,
) -> None:
    """Forecast the mix of the day after, and decide the instances that serve it."""
    from routing_core.steps.allocate import allocate as step

    show(as_json, step(dt, ready_settings(), run_key=run_key(), predictor_policy=predictor_policy), lines)


@app.command("allocate-value")
def allocate_value(
    dt: Dt,
    gpu_type: Annotated[str | None, typer.Option(help="Type of GPU varied; needed if there are several.")] = None,
    upto: Annotated[
        int | None, typer.Option(min=0, help="Most GPUs; as many as the stock takes by default, or as budgeted.")
    ] = None,
    predictor_policy: Annotated[Policy, typer.Option(help="Which predictor.")] = "as_of",
    as_json: Json = False,
) -> None:
    """Show what 0, 1, 2, … GPUs would be worth on the day after, and fleets nearly as good; nothing is recorded."""
    from routing_core.steps.allocate import value_of_gpus as step

    found = step(dt, ready_settings(), gpu_type=gpu_type, upto=upto, predictor_policy=predictor_policy)
    show(as_json, found, _value_lines)


def _value_lines(found: dict[str, Any]) -> str:
    """The value table, then the rest."""
    rest = {name: value for name, value in found.items() if name not in ("gpus", "alternatives")}
    others = [f"{row['changes']}  {row['objective']:.6g}" for row in found["alternatives"]]
    heading = f"{'GPUs':>5} {'quality':>12} {'deferred':>10} {'last GPU':>10}  instances"
    return "\n".join([heading, *map(_value_line, found["gpus"]), "", lines(rest), "", "nearly as good", *others])


def _value_line(row: dict[str, Any]) -> str:
    running = ", ".join(f"{count} {name}" for name, count in row["instances"].items() if count) or "none"
    if not row["feasible"]:
        return f"{row['gpus']:>5}  no instances keep every rule"
    return f"{row['gpus']:>5} {row['quality']:>12.2f} {row['deferred']:>10.1f} {row['shadow_price']:>10.3f}  {running}"


@app.command()
def route(
    dt: Dt,
    budget: Annotated[float | None, typer.Option("--budget", help="Budget of the night, USD.")] = None,
    robust_level: Annotated[float | None, typer.Option(help="Quantile to plan with, between 0 and 1.")] = None,
    batching: Annotated[Literal["planned", "arrival"] | None, typer.Option(help="Who forms the batches.")] = None,
    predictor_policy: Annotated[Policy, typer.Option(help="Which predictor.")] = "as_of",
    allocation_policy: Annotated[Policy, typer.Option(help="Which allocation.")] = "as_of",
    carry_over: Annotated[
        Literal["chained", "none", "as_before"],
        typer.Option(help="Take up what nights before deferred, or not; as_before does as the date's current plan."),
    ] = "as_before",
    replan: Annotated[bool, typer.Option(help="Replace the plan even if it was handed out.")] = False,
    as_it_was: Annotated[
        bool, typer.Option("--as-it-was", help="A shadow, planned with what the current run was planned with.")
    ] = False,
    todays_policy: Annotated[
        bool, typer.Option("--todays-policy", help="A shadow, planned with today's settings, predictor and allocation.")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Do everything but publish.")] = False,
    as_json: Json = False,
) -> None:
    """Assign every query of the day's backlog to a model, or defer or reject it, and publish the plan."""
    from routing_core.steps.route import RouteOptions
    from routing_core.steps.route import route as step

    if as_it_was and todays_policy:
        raise SettingsError("a night is planned again either --as-it-was or with --todays-policy, not both")
    options = RouteOptions(
        budget_usd=budget,
        robust_level=robust_level,
        batching=batching,
        predictor_policy=predictor_policy,
        allocation_policy=allocation_policy,
        carry_over=carry_over,
        replan=replan,
        beside="as_it_was" if as_it_was else "todays_policy" if todays_policy else None,
        dry_run=dry_run,
    )
    show(as_json, step(dt, ready_settings(), run_key=run_key(), options=options), lines)


@app.command()
def status(
    dt: Dt,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the same as an HTML file, for mail.")
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option("--png", metavar="FILE", help="Write a picture of it and of the nights before."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what the current run of a night decided."""
    from routing_core import console
    from routing_core.steps import read

    settings = ready_settings()
    if html is not None:
        html.write_text(console.night_as_html(read.night_report(dt, settings), settings), encoding="utf-8")
    if png is not None:
        _save_picture(dt, settings, png)
    if as_json:
        show(True, read.status(dt, settings), lines)
    else:
        console.show_night(read.night_report(dt, settings), settings)


def _save_picture(dt: date, settings: Settings, file: Path) -> None:
    from routing_core.steps import read

    try:
        from routing_core import picture
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"--png needs {error.name}, which is not installed", remedy="install nightshift[report]"
        ) from None
    picture.save_night(read.night_report(dt, settings), read.nights(dt - timedelta(days=29), dt, settings), file)


@app.command()
def seal(dt: Dt, as_json: Json = False) -> None:
    """Mark the night's plan as handed out: from here on it is not replaced in silence."""
    from routing_core.steps import settle

    show(as_json, settle.seal(dt, ready_settings()), lines)
