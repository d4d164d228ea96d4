"""Types the lines of a document as its reader would."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from routing_core.cli import app
from routing_core.errors import NightshiftError, NotFoundError, RunStateError
from routing_core.settings import PROJECT_ROOT, load_settings
from routing_core.store import database

REFUSED: dict[str, type[NightshiftError]] = {"value-policy": NightshiftError}
"""Commands whose answer on so young a home is a refusal, and which."""

SMALLER = {
    ("backtest",): "--seeds 1 --nights 1 --budget 4e-4 --recipe paper --jobs 1",
    ("bench", "predict"): "--seeds 1 --splits halves",
    ("bench", "night"): "--queries 300 --partitions 2",
    ("bench", "mapped"): "--queries 3000",
    ("bench", "solver"): "--queries 2000",
    ("bench", "allocate"): "--seeds 2",
    ("bench", "churn"): "--nights 2",
    ("bench", "store"): "--rows 4000 --per-night 2000",
    ("make-workload",): "--days 8 --queries-per-day 60 --tonight 60",
}
"""What is put behind a command that measures, so that it measures less."""

_PARSED_BY_AIRFLOW = "import sys; from airflow.cli.cli_parser import get_parser; get_parser().parse_args(sys.argv[1:])"


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody in front of a shell.

    Attributes
    ----------
    home : Path
        The working directory, and NIGHTSHIFT_HOME.
    prepared : Path
        What the home is a copy of.
    query_id : str
        What is put for QUERY_ID.
    postgres : str
        DSN put for one that names somebody's own server.
    environment : pytest.MonkeyPatch
    """

    home: Path
    prepared: Path
    query_id: str
    postgres: str
    environment: pytest.MonkeyPatch

    def type(self, line: str) -> None:
        """Type a line; what fails is an AssertionError."""
        words = shlex.split(os.path.expandvars(line), comments=True)
        while words and "=" in words[0]:
            self._set(words.pop(0))
        if words:
            {"routing": self._routing, "export": self._export, "airflow": _airflow, "docker": _docker, "make": _make}[
                Path(words[0]).name
            ](words[1:])

    def _set(self, assignment: str) -> None:
        name, _, value = assignment.partition("=")
        if name == "NIGHTSHIFT_HOME" and Path(value).is_absolute():
            value = str(self.home)
        self.environment.setenv(name, self.postgres if name == "NIGHTSHIFT_DSN" else value)

    def _export(self, words: list[str]) -> None:
        for assignment in words:
            self._set(assignment)

    def _routing(self, words: list[str]) -> None:
        words = [word.replace("QUERY_ID", self.query_id) for word in words]
        named = tuple(word for word in words if not word.startswith("-"))
        fewer = next((SMALLER[key] for key in (named[:1], named[:2]) if key in SMALLER), "")
        words += fewer.split()
        done = CliRunner().invoke(app, words)
        if isinstance(done.exception, REFUSED.get(words[0], ())):
            return
        if isinstance(done.exception, RunStateError | NotFoundError):
            # The lines of a block are alternatives: what went out cannot be rolled back. Each is tried afresh too.
            done = self._afresh(words)
        assert done.exit_code == 0, f"{shlex.join(words)}\n{done.output}\n{done.exception!r}"

    def _afresh(self, words: list[str]) -> Result:
        database.engine(load_settings()).dispose()
        shutil.rmtree(self.home)
        shutil.copytree(self.prepared, self.home)
        os.chdir(self.home)
        return CliRunner().invoke(app, words)


def _airflow(words: list[str]) -> None:
    """Understood by Airflow's own command line."""
    done = subprocess.run(
        [sys.executable, "-c", _PARSED_BY_AIRFLOW, *words],
        env=os.environ | {"AIRFLOW_HOME": str(Path.cwd() / "airflow-that-only-reads")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def _make(words: list[str]) -> None:
    """Known to the Makefile."""
    command = ["make", "--dry-run", "--question", "--directory", str(PROJECT_ROOT), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "No rule to make target" not in done.stderr, done.stderr


def _docker(words: list[str]) -> None:
    """Of the services of docker-compose.yml."""
    assert words[:2] == ["compose", "up"], words
    services = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())["services"]
    scaled = [words[at + 1].partition("=")[0] for at, word in enumerate(words) if word == "--scale"]
    assert set(scaled) <= set(services), scaled
