"""Commands for a plan that goes out: hold it, hand it out, take it back, plan the rest anew, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from routing_core.cli.app import app
from routing_core.cli.output import Dt, Json, lines, ready_settings, run_key, show
from routing_core.errors import SettingsError


@app.command()
def export(
    dt: Dt,
    to: Annotated[
        Path | None, typer.Option(help="Directory to write below; exports under the home by default.")
    ] = None,
    form: Annotated[
        Literal["parquet", "jsonl"],
        typer.Option("--format", help="One Parquet file, or batch requests and work lists by model as JSON lines."),
    ] = "parquet",
    as_json: Json = False,
) -> None:
    """Write the night's plan for the dispatcher, with checksums, and seal the night."""
    from routing_core.steps import hand_out

    show(as_json, hand_out.export(dt, ready_settings(), to=to, form=form), _exported)


@app.command()
def hold(
    dt: Dt,
    reason: Annotated[str, typer.Option(help="Why, for whoever wants to export it.")] = "held by hand",
    release: Annotated[bool, typer.Option("--release", help="Let it go again.")] = False,
    as_json: Json = False,
) -> None:
    """Keep the night from being exported or sealed, until it is released."""
    from routing_core.steps import hand_out

    settings = ready_settings()
    show(as_json, hand_out.release(dt, settings) if release else hand_out.hold(dt, settings, reason=reason), lines)


@app.command()
def rollback(dt: Dt, as_json: Json = False) -> None:
    """Make the plan that the current one superseded current again, unless the night was handed out."""
    from routing_core.steps import hand_out

    show(as_json, hand_out.roll_back(dt, ready_settings()), lines)


@app.command()
def replan(
    dt: Dt,
    withdraw: Annotated[list[str] | None, typer.Option(metavar="MODEL", help="A model that takes no more.")] = None,
    lose: Annotated[list[str] | None, typer.Option(metavar="MODEL=N", help="Instances a model has lost.")] = None,
    after_batch: Annotated[int, typer.Option(min=0, help="Last batch of the night that was sent.")] = 0,
    sent: Annotated[
        list[Path] | None,
        typer.Option(help="File of the queries that were sent: an exported file, Parquet, or one query_id a line."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Plan what has not been sent anew, with what is left of budget, models and batches; what was sent is kept."""
    from routing_core.steps import replan as step

    change = step.Change(tuple(withdraw or ()), _counts(lose or []), after_batch, tuple(sent or ()))
    show(as_json, step.replan(dt, ready_settings(), change, run_key=run_key()), lines)


@app.command()
def diff(
    run_a: Annotated[int, typer.Argument(metavar="RUN", help="Number of a run.")],
    run_b: Annotated[int, typer.Argument(metavar="RUN", help="Number of another run of the same night.")],
    as_json: Json = False,
) -> None:
    """Show what changed from one run of a night to another: queries, spend, quality, objective, by model."""
    from routing_core.steps import compare

    show(as_json, compare.diff(run_a, run_b, ready_settings()), _compared)


def _counts(pairs: list[str]) -> dict[str, int]:
    """``MODEL=N`` as a mapping; a model named twice loses both."""
    counts: dict[str, int] = {}
    for pair in pairs:
        model, _, count = pair.rpartition("=")
        if not model or not count.isdecimal():
            raise SettingsError(f"lose must be MODEL=N with a whole number N, got {pair!r}")
        counts[model] = counts.get(model, 0) + int(count)
    return counts


def _exported(result: dict[str, Any]) -> str:
    files = [f"  {one['name']}: {one['rows']} queries, sha256 {one['sha256'][:12]}" for one in result["files"]]
    return "\n".join([lines({name: value for name, value in result.items() if name != "files"}), *files])


def _compared(result: dict[str, Any]) -> str:
    a, b = result["a"], result["b"]
    head = f"night of {result['dt']}: run {a['run_id']} ({a['status']}) and run {b['run_id']} ({b['status']})"
    counts = lines({name: count for name, count in result["queries"].items() if count})
    figures = [
        f"{name}: {a[name]:.6g} to {b[name]:.6g} ({change:+.3g})"
        for name, change in result["difference"].items()
        if change is not None
    ]
    models = [
        f"{one['model']}: {one['assigned_a']} to {one['assigned_b']} queries, {one['kept']} the same; "
        f"{one['planned_spend_a_usd']:.4g} to {one['planned_spend_b_usd']:.4g} USD"
        for one in result["models"]
    ]
    return "\n".join([head, counts, *figures, *models])
