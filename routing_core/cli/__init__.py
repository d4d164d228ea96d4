"""``routing``: the steps of a night, by hand.

Every command reads the same settings as the DAGs do and calls the same steps. With ``--json`` it
prints one JSON document and nothing else on standard output. Exit status 0 is success, 1 an
unforeseen error; a named error has the status of its class (``routing_core.errors``).
"""

from __future__ import annotations

import sys

import typer

from routing_core.cli import handing_out, measurements, nights, operations, proof, questions, workloads
from routing_core.cli.app import app
from routing_core.errors import NightshiftError

__all__ = ["app", "handing_out", "main", "measurements", "nights", "operations", "proof", "questions", "workloads"]


def main() -> None:
    """Run the command line; named errors become a message and their exit status."""
    try:
        app()
    except NightshiftError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        from sqlalchemy.exc import SQLAlchemyError

        from routing_core.store.database import said

        if not isinstance(error, SQLAlchemyError):
            raise
        typer.secho(f"error: the results database: {said(error)}\n  remedy: routing doctor", fg="red", err=True)
        sys.exit(1)
