"""Commands that prove: what joint routing bought, at matched spend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routing_core.cli.app import app
from routing_core.cli.output import Json, show
from routing_core.errors import SettingsError

if TYPE_CHECKING:
    from routing_core.backtest.run import Backtest


@app.command()
def backtest(
    outcomes: Annotated[
        Path,
        typer.Option(help="RouterBench's wide table (Parquet, CSV), or outcomes under contract: root, day, file."),
    ],
    html: Annotated[Path | None, typer.Option(help="Report with plots, one file that needs no network.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Markdown file that the whole table is written to.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Draws, or orders in which a log's queries come.")] = 3,
    nights: Annotated[int, typer.Option(min=1, help="Nights of each draw, or last days of a log.")] = 2,
    budget: Annotated[
        list[float] | None, typer.Option(min=0, help="USD per query; may be given again. By default five.")
    ] = None,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs of each type for the fleets compared.")] = 16,
    catalog: Annotated[Path | None, typer.Option(help="Catalog that says what the models' instances take.")] = None,
    recipe: Annotated[str, typer.Option(help="Recipe of the predictor: default or paper.")] = "default",
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    as_json: Json = False,
) -> None:
    """Replay outcomes night by night, and compare joint routing with what it replaces at matched spend."""
    from routing_core.backtest.report import render
    from routing_core.backtest.run import Options, run_backtest
    from routing_core.predict.recipe import RECIPES
    from routing_core.store.catalog import read_catalog

    if recipe not in RECIPES:
        raise SettingsError(f"--recipe must be one of {', '.join(RECIPES)}, got {recipe!r}")
    write_page = None if html is None else _page_writer()
    known = None if catalog is None else read_catalog(catalog)
    for file in filter(None, (html, keep)):
        if not file.resolve().parent.is_dir():
            raise SettingsError(f"{file} cannot be written: there is no directory {file.parent}")
    options = Options(
        seeds=tuple(range(seeds)),
        nights=nights,
        budgets=tuple(sorted(set(budget))) if budget else None,
        gpus=gpus,
        catalog=known,
        recipe=RECIPES[recipe],
        jobs=jobs,
    )
    found = run_backtest(outcomes, options)
    if keep is not None:
        keep.write_text(render(found), encoding="utf-8")
    if write_page is not None and html is not None:
        write_page(found, html)
    show(as_json, found.as_dict() if as_json else found, render)


def _page_writer() -> Callable[[Backtest, Path], None]:
    """What writes the page; asked for before the work is done, since it needs an extra."""
    try:
        from routing_core.backtest.page import write_page
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"--html needs {error.name}, which is not installed", remedy="install nightshift[report]"
        ) from error
    return write_page
