"""``routing``: the steps of a night, by hand.

Every command reads the same settings as the DAGs do and calls the same steps. With ``--json`` it
prints one JSON document and nothing else on standard output. Exit status 0 is success, 1 an
unforeseen error; a named error has the status of its class (``routing_core.errors``).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import uuid4

import typer

from routing_core import __version__
from routing_core.errors import NightshiftError, SettingsError
from routing_core.settings import Settings, load_settings
from routing_core.steps.night import parse_dt

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Plan a whole night of LLM queries at once.",
)
bench = typer.Typer(no_args_is_help=True, help="Measure; tables of kept results are under tests/benchmarks.")
app.add_typer(bench, name="bench")

Dt = Annotated[date, typer.Option("--dt", parser=parse_dt, metavar="YYYY-MM-DD", help="Day the night is about.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Policy = Literal["as_of", "latest"]


def main() -> None:
    """Run the command line; named errors become a message and their exit status."""
    try:
        app()
    except NightshiftError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(error.exit_code)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Plan a whole night of LLM queries at once."""


@app.command("init-db")
def init_db(as_json: Json = False) -> None:
    """Bring the results database to this version's schema, and renew its views."""
    from routing_core.steps import prepare

    _print(as_json, prepare.init_db(load_settings()), _lines)


@app.command("make-workload")
def make_workload(
    to: Annotated[Path | None, typer.Option(help="Directory to lay out; NIGHTSHIFT_HOME by default.")] = None,
    dt: Annotated[
        date | None, typer.Option("--dt", parser=parse_dt, metavar="YYYY-MM-DD", help="Tonight; yesterday by default.")
    ] = None,
    tonight: Annotated[int, typer.Option(min=0, help="Queries in tonight's backlog.")] = 6000,
    queries_per_day: Annotated[int, typer.Option(min=0, help="Queries of an ordinary weekday, before tonight.")] = 1500,
    backlog_per_day: Annotated[int | None, typer.Option(min=0, help="The same of the backlog history alone.")] = None,
    days: Annotated[int, typer.Option(min=1, help="Days of outcomes and of backlog history.")] = 14,
    parts: Annotated[int, typer.Option(min=1, help="Files of tonight's backlog.")] = 8,
    broken: Annotated[int, typer.Option(min=0, help="Rows of tonight's backlog broken on purpose.")] = 12,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed; the settings' by default.")] = None,
    as_json: Json = False,
) -> None:
    """Write a synthetic workload: outcomes of the answering model only, backlog history, and tonight's backlog."""
    from routing_core.steps import prepare

    settings = load_settings() if seed is None else load_settings(seed=seed)
    size = prepare.WorkloadSize(days, queries_per_day, backlog_per_day, tonight, parts, broken)
    _print(as_json, prepare.make_workload(to or settings.home, dt or _yesterday(), settings, size), _lines)


@app.command("import-routerbench")
def import_routerbench(
    file: Annotated[Path, typer.Argument(help="The public wide table, Parquet or CSV.")],
    to: Annotated[Path, typer.Option("--to", help="Directory to lay out as a NIGHTSHIFT_HOME.")],
    dt: Annotated[
        date | None, typer.Option("--dt", parser=parse_dt, metavar="YYYY-MM-DD", help="Tonight; yesterday by default.")
    ] = None,
    days: Annotated[int, typer.Option(min=14, help="Days the outcomes are spread over.")] = 14,
    parts: Annotated[int, typer.Option(min=1, help="Files of tonight's backlog.")] = 8,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed; the settings' by default.")] = None,
    as_json: Json = False,
) -> None:
    """Lay a public RouterBench table out as outcomes and a backlog, disjoint, with its catalog."""
    from routing_core.steps import prepare

    settings = load_settings() if seed is None else load_settings(seed=seed)
    _print(as_json, prepare.import_routerbench(file, to, dt or _yesterday(), settings, days=days, parts=parts), _lines)


@app.command()
def retrain(dt: Dt, as_json: Json = False) -> None:
    """Fit predictors on the outcomes through the day, judge them, and promote the winner."""
    from routing_core.steps.retrain import retrain as step

    _print(as_json, step(dt, _ready_settings(), run_key=_key()), _lines)


@app.command()
def allocate(
    dt: Dt,
    predictor_policy: Annotated[Policy, typer.Option(help="Which predictor.")] = "as_of",
    as_json: Json = False,
) -> None:
    """Forecast the mix of the day after, and decide the instances that serve it."""
    from routing_core.steps.allocate import allocate as step

    _print(as_json, step(dt, _ready_settings(), run_key=_key(), predictor_policy=predictor_policy), _lines)


@app.command()
def route(
    dt: Dt,
    budget: Annotated[float | None, typer.Option("--budget", help="Budget of the night, USD.")] = None,
    robust_level: Annotated[float | None, typer.Option(help="Quantile to plan with, between 0 and 1.")] = None,
    batching: Annotated[Literal["planned", "arrival"] | None, typer.Option(help="Who forms the batches.")] = None,
    predictor_policy: Annotated[Policy, typer.Option(help="Which predictor.")] = "as_of",
    allocation_policy: Annotated[Policy, typer.Option(help="Which allocation.")] = "as_of",
    carry_over: Annotated[
        Literal["chained", "none"], typer.Option(help="Take up what the night before deferred, or not.")
    ] = "none",
    replan: Annotated[bool, typer.Option(help="Replace the plan even if it was handed out.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Do everything but publish.")] = False,
    as_json: Json = False,
) -> None:
    """Assign every query of the day's backlog to a model, or defer or reject it, and publish the plan."""
    from routing_core.steps.route import RouteOptions
    from routing_core.steps.route import route as step

    options = RouteOptions(
        budget_usd=budget,
        robust_level=robust_level,
        batching=batching,
        predictor_policy=predictor_policy,
        allocation_policy=allocation_policy,
        carry_over=carry_over,
        replan=replan,
        dry_run=dry_run,
    )
    _print(as_json, step(dt, _ready_settings(), run_key=_key(), options=options), _lines)


@app.command()
def status(dt: Dt, as_json: Json = False) -> None:
    """Show what the current run of a night decided."""
    from routing_core import console
    from routing_core.steps import read

    settings = _ready_settings()
    if as_json:
        _print(True, read.status(dt, settings), _lines)
    else:
        console.show_night(read.night_report(dt, settings), settings)


@app.command()
def seal(dt: Dt, as_json: Json = False) -> None:
    """Mark the night's plan as handed out: from here on it is not replaced in silence."""
    from routing_core.steps import settle

    _print(as_json, settle.seal(dt, _ready_settings()), _lines)


@app.command()
def demo() -> None:
    """Write a workload, run two nights through Airflow, and show what came of it."""
    from routing_core import console
    from routing_core.demo import run_demo
    from routing_core.demo.night import tonight
    from routing_core.steps import prepare, read

    dt = tonight()
    settings = prepare.demo_home(load_settings().home, dt)
    run_demo(settings, lambda dt: console.show_night(read.night_report(dt, settings), settings, queries=True), dt=dt)


@bench.command("night")
def bench_night(
    queries: Annotated[int, typer.Option(min=1, help="Queries in the backlog.")] = 20_000,
    models: Annotated[int, typer.Option(min=1, help="Models in the catalog.")] = 11,
    partitions: Annotated[int, typer.Option(min=1, help="Files of the backlog.")] = 8,
    dsn: Annotated[str | None, typer.Option(help="Results database; SQLite by default.")] = None,
    embedding: Annotated[bool, typer.Option(help="Give the queries an embedding column.")] = False,
    as_json: Json = False,
) -> None:
    """Time a whole night through the same steps as the DAG, from text in Parquet to published assignments."""
    from routing_core.bench.night import bench_night as measure

    _print(as_json, measure(queries, models, partitions, dsn=dsn, embedding=embedding), _lines)


@bench.command("solver")
def bench_solver(
    queries: Annotated[
        int | None, typer.Option(min=1, help="Queries in a night; the whole table if not given.")
    ] = None,
    models: Annotated[int, typer.Option(min=1, help="Models to choose among.")] = 11,
    outcomes: Annotated[Path | None, typer.Option(help="RouterBench table to make further estimates from.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Markdown file that the whole table is written to.")] = None,
    as_json: Json = False,
) -> None:
    """Solve nights of four families: seconds against one argmax pass over the same matrix, proven gap, memory."""
    from routing_core.bench import solver

    if queries is not None:
        rows = solver.bench_solver(queries, models)
        _print(as_json, rows, solver.render_table)
        return
    nights, batches = solver.run(keep, outcomes)
    if as_json:
        _print(True, {"nights": nights, "batches": batches}, _lines)
    else:
        typer.echo(f"{solver.render_table(nights)}\n\n{solver.render_table(batches)}")


@bench.command("predict")
def bench_predict(
    outcomes: Annotated[Path, typer.Option(help="Outcomes: RouterBench's wide table, or long under contract.")],
    full: Annotated[bool, typer.Option(help="Add every method and the paper's boosting, on one split.")] = False,
    as_json: Json = False,
) -> None:
    """Measure the default predictor by the quality its routing realises on held-out queries."""
    from routing_core.bench.predict import bench_predict as measure

    _print(as_json, measure(outcomes, full), _lines)


@bench.command("allocate")
def bench_allocate(
    outcomes: Annotated[Path, typer.Option(help="Outcomes: RouterBench's wide table.")],
    seeds: Annotated[int, typer.Option(min=2, help="Random splits.")] = 20,
    as_json: Json = False,
) -> None:
    """Compare the optimised fleet with naive ones by realised quality, cell by cell."""
    from routing_core.bench.allocate import bench_allocate as measure

    _print(as_json, measure(outcomes, seeds=seeds), _lines)


@bench.command("churn")
def bench_churn(
    nights: Annotated[int, typer.Option(min=2, help="Nights simulated.")] = 30,
    as_json: Json = False,
) -> None:
    """Count instances started and stopped over a simulated month, with and without stability terms."""
    from routing_core.bench.churn import bench_churn as measure

    _print(as_json, measure(nights), _lines)


def _ready_settings() -> Settings:
    from routing_core.steps import prepare

    settings = load_settings()
    prepare.check_ready(settings)
    return settings


def _yesterday() -> date:
    return datetime.now(UTC).date() - timedelta(days=1)


def _key() -> str:
    """A key of its own for each command, so that typing it again opens a new run."""
    return f"cli/{uuid4().hex}"


def _print(as_json: bool, result: Any, render: Callable[[Any], str]) -> None:
    typer.echo(json.dumps(result, default=_plain, allow_nan=False) if as_json else render(result))


def _lines(result: dict[str, Any]) -> str:
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
    if hasattr(value, "item"):
        return value.item()
    raise SettingsError(f"a result of type {type(value).__name__} has no JSON form")
