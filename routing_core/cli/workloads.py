"""Commands that lay things out: the database, and data when there is none."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from routing_core.cli.app import app
from routing_core.cli.output import Json, lines, show, yesterday
from routing_core.settings import load_settings
from routing_core.steps.night import parse_dt

if TYPE_CHECKING:
    from routing_core.demo.airflow import LocalAirflow


@app.command("init-db")
def init_db(as_json: Json = False) -> None:
    """Bring the results database to this version's schema, and renew its views."""
    from routing_core.steps import prepare

    show(as_json, prepare.init_db(load_settings()), lines)


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
    show(as_json, prepare.make_workload(to or settings.home, dt or yesterday(), settings, size), lines)


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
    show(as_json, prepare.import_routerbench(file, to, dt or yesterday(), settings, days=days, parts=parts), lines)


@app.command("make-env")
def make_env(
    to: Annotated[Path, typer.Option(help="File to write; docker compose reads .env.")] = Path(".env"),
    executor: Annotated[
        Literal["local", "celery"], typer.Option(help="Who runs the tasks: the scheduler, or workers behind Redis.")
    ] = "local",
    data: Annotated[Path | None, typer.Option(help="Directory of the data; ./.nightshift by default.")] = None,
    as_json: Json = False,
) -> None:
    """Write the secrets and choices of a deployment in containers; a file that is there is never touched."""
    from routing_core.steps import deployment

    show(as_json, deployment.make_env(to, executor=executor, data=data), lines)


@app.command()
def demo(
    look: Annotated[bool, typer.Option("--look", help="Leave Airflow up afterwards to look at, until Ctrl-C.")] = False,
) -> None:
    """Write a workload, run two nights through Airflow, and show what came of it."""
    from routing_core import console
    from routing_core.demo import run_demo
    from routing_core.demo.night import tonight
    from routing_core.steps import prepare, read

    dt = tonight()
    settings = prepare.demo_home(load_settings().home, dt)
    run_demo(
        settings,
        lambda dt: console.show_night(read.night_report(dt, settings), settings, queries=True),
        dt=dt,
        stay=_until_interrupted if look else None,
    )


def _until_interrupted(airflow: LocalAirflow) -> None:
    typer.echo(f"\nAirflow is at {airflow.url}: user {airflow.user}, password {airflow.password}. Ctrl-C ends it.")
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)
