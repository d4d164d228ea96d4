"""The command line's root, on which the other files hang their commands."""

from __future__ import annotations

from typing import Annotated

import typer

from routing_core import __version__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Plan a whole night of LLM queries at once.",
)
bench = typer.Typer(no_args_is_help=True, help="Measure; tables of kept results are under tests/benchmarks.")
app.add_typer(bench, name="bench")


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
