"""The command line's root, on which the other files hang their commands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from routing_core import __version__, log

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
    log_format: Annotated[
        log.Form | None,
        typer.Option(
            envvar="NIGHTSHIFT_LOG_FORMAT",
            help="Log each step's start and end on standard error; by default warnings alone.",
        ),
    ] = None,
) -> None:
    """Plan a whole night of LLM queries at once."""
    if log_format is None:
        log.warnings_alone()
    else:
        log.to_stream(log_format, sys.stderr)
