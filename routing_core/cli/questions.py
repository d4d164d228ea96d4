"""Commands that ask: what came of a night, what if, why this model, and what another policy would be worth."""

from __future__ import annotations

from datetime import date
from math import isfinite
from typing import Annotated

import typer

from routing_core.cli.app import app
from routing_core.cli.output import Dt, Json, lines, ready_settings, show
from routing_core.errors import SettingsError
from routing_core.steps.night import parse_dt

MOST_STEPS = 1000


@app.command()
def settle(
    dt: Dt,
    through: Annotated[
        date | None,
        typer.Option(parser=parse_dt, metavar="YYYY-MM-DD", help="Last day of outcomes to look at; all by default."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Join the night's executed plan to the outcomes logged since: spend, quality, calibration, and what is missing."""
    from routing_core.steps import settle as steps

    show(as_json, steps.settle(dt, ready_settings(), through=through), lines)


@app.command("value-policy")
def value_policy(
    first: Annotated[
        date, typer.Option("--from", parser=parse_dt, metavar="YYYY-MM-DD", help="First night of the logs.")
    ],
    last: Annotated[date, typer.Option("--to", parser=parse_dt, metavar="YYYY-MM-DD", help="Last night of the logs.")],
    predictor: Annotated[int | None, typer.Option(help="Predictor (predictor_id) to plan with instead.")] = None,
    robust_level: Annotated[
        float | None, typer.Option(min=1e-6, max=1 - 1e-6, help="Quantile to plan with instead.")
    ] = None,
    budget: Annotated[float | None, typer.Option(min=0, help="Budget of each night instead, USD.")] = None,
    as_json: Json = False,
) -> None:
    """Value a policy that was never run by the logs of executed nights; refused where they hold too little of it."""
    from routing_core.steps import value_policy as steps

    challenger = steps.Challenger(predictor, robust_level, budget)
    show(as_json, steps.value_policy(first, last, ready_settings(), challenger), lines)


@app.command("what-if")
def what_if(
    dt: Dt,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="FROM:TO:STEP", help="Budgets of the night, USD; or one.")
    ] = None,
    gpus: Annotated[
        str | None, typer.Option("--gpus", metavar="[TYPE=]FROM:TO:STEP", help="GPUs to choose instances for; or one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Plan a night again with other money or GPUs, and say what the next of each is worth; publishes nothing."""
    from routing_core import console
    from routing_core.steps.what_if import what_if as step

    kind, _, counts = (gpus or "").rpartition("=")
    found = step(
        dt,
        ready_settings(),
        budgets=steps_of("--budget", budget) if budget else (),
        gpus=[round(count) for count in steps_of("--gpus", counts, whole=True)] if gpus else (),
        gpu_type=kind or None,
    )
    show(as_json, found, console.what_if)


@app.command()
def explain(
    query_id: Annotated[str, typer.Argument(metavar="QUERY_ID", help="Query to explain.")],
    dt: Annotated[
        date | None,
        typer.Option("--dt", parser=parse_dt, metavar="YYYY-MM-DD", help="Night; the newest that has it by default."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say why a query got its model, or none: candidates, estimates, prices, runner-up and regret."""
    from routing_core import console
    from routing_core.steps.why import explain as step

    show(as_json, step(query_id, ready_settings(), dt), console.why)


def steps_of(option: str, text: str, *, whole: bool = False) -> list[float]:
    """The numbers of ``FROM:TO:STEP``, both ends included, or of a single number.

    Raises
    ------
    SettingsError
        Naming the option, the rule and what was given.
    """
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if len(parts) == 1:
        parts = [parts[0], parts[0], 1.0]
    good = len(parts) == 3 and all(map(isfinite, parts)) and 0 <= parts[0] <= parts[1] and parts[2] > 0
    if not good or (whole and any(part % 1 for part in parts)):
        kind = "whole numbers" if whole else "numbers"
        raise SettingsError(f"{option} must be FROM:TO:STEP, {kind} with 0 ≤ FROM ≤ TO and STEP above 0, got {text!r}")
    first, last, step = parts
    count = int((last - first) / step + 1e-9) + 1
    if count > MOST_STEPS:
        raise SettingsError(f"{option} must have at most {MOST_STEPS} steps, {text!r} has {count}")
    return [first + k * step for k in range(count)]


@app.command()
def query(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Query to run; without one, all are listed.")
    ] = None,
    values: Annotated[list[str] | None, typer.Argument(metavar="[PARAMETER=VALUE ...]", help="Its parameters.")] = None,
    as_json: Json = False,
) -> None:
    """Run one of the queries under sql/queries on the results database, or list them."""
    from routing_core import console
    from routing_core.steps import ask

    if name is None:
        listed = [
            {"name": one.name, "asks": one.asks, "grain": one.grain, "parameters": list(one.parameters)}
            for one in ask.known()
        ]
        show(as_json, listed, console.rows)
        return
    pairs = [value.partition("=") for value in values or []]
    if bad := [key for key, equals, _ in pairs if not equals]:
        raise SettingsError(f"parameters must be NAME=VALUE, got {bad[0]!r}")
    show(as_json, ask.ask(name, {key: value for key, _, value in pairs}, ready_settings()), console.rows)


@app.command()
def dictionary() -> None:
    """Print the data dictionary: every table, column, view and query, in Markdown."""
    from routing_core.steps import ask

    typer.echo(ask.dictionary(), nl=False)
