"""Commands that measure: ``routing bench …``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from routing_core.cli.app import bench
from routing_core.cli.output import Json, lines, show
from routing_core.errors import SettingsError

Splits = Literal["halves", "folds"]


@bench.command("night")
def bench_night(
    queries: Annotated[int, typer.Option(min=1, help="Queries in the backlog.")] = 20_000,
    models: Annotated[int, typer.Option(min=1, help="Models in the catalog.")] = 11,
    partitions: Annotated[int, typer.Option(min=1, help="Files of the backlog.")] = 8,
    dsn: Annotated[str | None, typer.Option(help="Results database; SQLite by default.")] = None,
    postgres: Annotated[bool, typer.Option(help="Start a PostgreSQL of its own for the results.")] = False,
    embedding: Annotated[bool, typer.Option(help="Give the queries an embedding column.")] = False,
    baseline: Annotated[bool, typer.Option(help="Compare with the same night written by hand.")] = False,
    airflow: Annotated[bool, typer.Option(help="Plan it a second time by the DAG, under Airflow.")] = False,
    keep: Annotated[Path | None, typer.Option(help="Markdown file whose table takes the figures up.")] = None,
    as_json: Json = False,
) -> None:
    """Time a whole night through the same steps as the DAG, from text in Parquet to published assignments."""
    from routing_core.bench.night import bench_night as measure
    from routing_core.bench.night_table import keep_night

    if dsn and postgres:
        raise SettingsError("bench night: give --dsn or --postgres, not both")
    figures = measure(
        queries,
        models,
        partitions,
        dsn=dsn,
        postgres=postgres,
        embedding=embedding,
        baseline=baseline,
        airflow=airflow,
    )
    if keep is not None:
        keep_night(keep, figures)
    show(as_json, figures, lines)


@bench.command("mapped")
def bench_mapped(
    queries: Annotated[int, typer.Option(min=1, help="Queries in the night.")] = 10_000_000,
    models: Annotated[int, typer.Option(min=1, help="Models to choose among.")] = 11,
    family: Annotated[str, typer.Option(help="How scarce money and room are.")] = "binding",
    keep: Annotated[Path | None, typer.Option(help="Markdown file whose table takes the figures up.")] = None,
    as_json: Json = False,
) -> None:
    """Solve a night larger than memory should hold: matrices mapped from disk, memory by what it is made of."""
    from routing_core.bench.mapped import bench_mapped as measure
    from routing_core.bench.night_table import keep_mapped

    figures = measure(queries, models, family)
    if keep is not None:
        keep_mapped(keep, figures)
    show(as_json, figures, lines)


@bench.command("scale")
def bench_scale(
    queries: Annotated[int, typer.Option(min=1, help="Queries in the night.")] = 100_000_000,
    models: Annotated[int, typer.Option(min=1, help="Models to choose among.")] = 11,
    chunk: Annotated[int, typer.Option(min=1, help="Queries of a mapped task.")] = 250_000,
    as_json: Json = False,
) -> None:
    """Simulate a night on more workers than this machine has, from what one core was measured to do."""
    from routing_core.bench.night_table import render
    from routing_core.bench.scale import simulate_night

    show(as_json, [simulate_night(queries, models, workers, chunk) for workers in (8, 32, 64, 128, 256)], render)


@bench.command("solver")
def bench_solver(
    queries: Annotated[
        int | None, typer.Option(min=1, help="Queries in a night; the whole table if not given.")
    ] = None,
    models: Annotated[int, typer.Option(min=1, help="Models to choose among.")] = 11,
    outcomes: Annotated[Path | None, typer.Option(help="RouterBench table to make further estimates from.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Markdown file that the whole table is written to.")] = None,
    batches: Annotated[bool, typer.Option("--batches", help="Only batches of a hundred, not nights.")] = False,
    as_json: Json = False,
) -> None:
    """Solve nights of four families: seconds against one argmax pass over the same matrix, proven gap, memory."""
    from routing_core.bench import solver

    if queries is not None:
        rows = solver.bench_solver(queries, models)
        show(as_json, rows, solver.render_table)
        return
    tables = solver.run(keep, outcomes, nights_too=not batches)
    if as_json:
        show(True, tables, lines)
    else:
        typer.echo("\n\n".join(solver.render_table(rows) for rows in tables.values()))


@bench.command("predict")
def bench_predict(
    outcomes: Annotated[Path, typer.Option(help="Outcomes: RouterBench's wide table, or long under contract.")],
    full: Annotated[bool, typer.Option(help="Add every method and the paper's boosting, on one split.")] = False,
    splits: Annotated[Splits, typer.Option(help="Learn from half of the queries, or from four fifths.")] = "halves",
    seeds: Annotated[int, typer.Option(min=1, max=5, help="Times that the queries are split.")] = 5,
    as_json: Json = False,
) -> None:
    """Measure the default predictor by the quality its routing realises on held-out queries."""
    from routing_core.bench.predict import SEEDS
    from routing_core.bench.predict import bench_predict as measure

    show(as_json, measure(outcomes, full, splits=splits, seeds=SEEDS[:seeds]), lines)


@bench.command("allocate")
def bench_allocate(
    outcomes: Annotated[Path, typer.Option(help="Outcomes: RouterBench's wide table.")],
    seeds: Annotated[int, typer.Option(min=2, help="Random splits.")] = 20,
    as_json: Json = False,
) -> None:
    """Compare the optimised fleet with naive ones by realised quality, cell by cell."""
    from routing_core.bench.allocate import bench_allocate as measure

    show(as_json, measure(outcomes, seeds=seeds), lines)


@bench.command("allocate-size")
def bench_allocate_size(
    queries: Annotated[int, typer.Option(min=1, help="Sampled queries.")] = 10_000,
    models: Annotated[int, typer.Option(min=2, help="Models, a quarter of them behind APIs.")] = 20,
    scenarios: Annotated[int, typer.Option(min=1, help="Scenarios of demand.")] = 5,
    as_json: Json = False,
) -> None:
    """Time one allocation, with and without shadow prices and alternatives."""
    from routing_core.bench.allocate_size import bench_size as measure

    show(as_json, measure(queries, models, scenarios), lines)


@bench.command("churn")
def bench_churn(
    nights: Annotated[int, typer.Option(min=2, help="Nights simulated.")] = 30,
    as_json: Json = False,
) -> None:
    """Count instances started and stopped over a simulated month, with and without stability terms."""
    from routing_core.bench.churn import bench_churn as measure

    show(as_json, measure(nights), lines)


@bench.command("store")
def bench_store(
    rows: Annotated[int, typer.Option(min=1, help="Assignments of current nights.")] = 20_000_000,
    per_night: Annotated[int, typer.Option(min=1, help="Assignments of one night.")] = 1_000_000,
    dsn: Annotated[str | None, typer.Option(help="An empty PostgreSQL database; one of its own by default.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Markdown file whose table takes the figures up.")] = None,
    as_json: Json = False,
) -> None:
    """Load nights of assignments into PostgreSQL: time and EXPLAIN every view, size, and pruning one night."""
    from routing_core.bench import store

    figures = store.bench_store(rows, per_night=per_night, dsn=dsn)
    if keep is not None:
        store.keep(keep, figures)
    show(as_json, figures, store.render)
