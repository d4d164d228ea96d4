"""Every command and query in README and docs is run, on a home prepared for it, or says why it is not."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from routing_core.cli import app
from routing_core.errors import NightshiftError, NotFoundError, RunStateError
from routing_core.settings import PROJECT_ROOT, Settings, load_settings
from routing_core.steps import prepare
from routing_core.steps.allocate import allocate
from routing_core.steps.ask import known
from routing_core.steps.retrain import retrain
from routing_core.steps.route import route
from routing_core.store import database

DOCUMENTS = [PROJECT_ROOT / "README.md", *sorted((PROJECT_ROOT / "docs").glob("*.md"))]
NIGHT, BEFORE = date(2026, 11, 7), date(2026, 11, 6)
SIZE = prepare.WorkloadSize(days=8, queries_per_day=100, tonight=200, parts=2, broken=4)
_BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>.+?) -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)\n```", re.DOTALL)

REFUSED: dict[str, type[NightshiftError]] = {"value-policy": NightshiftError}
"""Commands whose answer on so young a home is a refusal, and which."""


@dataclass(frozen=True, slots=True)
class Block:
    file: Path
    line: int
    kind: str
    body: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line}"


def blocks() -> Iterator[Block]:
    for file in DOCUMENTS:
        content = file.read_text(encoding="utf-8")
        for found in _BLOCK.finditer(content):
            line = content.count("\n", 0, found.start("kind")) + 1
            yield Block(file, line, found["kind"], found["body"], found["reason"])


BLOCKS = list(blocks())


def runnable(*kinds: str) -> list[Block]:
    return [block for block in BLOCKS if block.kind in kinds and block.reason is None]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the night of the documents planned twice, and the night before retrained and allocated."""
    home = tmp_path_factory.mktemp("documents")
    settings = load_settings(home=home, dsn="", catalog=None, outcomes="", backlog="", budget_usd=0.05)
    prepare.init_db(settings)
    prepare.make_workload(home, NIGHT, settings, SIZE)
    retrain(BEFORE, settings, run_key="docs")
    allocate(BEFORE, settings, run_key="docs")
    retrain(NIGHT, settings, run_key="docs")
    for key in ("a", "b"):
        route(NIGHT, settings, run_key=key)
    database.engine(settings).dispose()
    return home


@pytest.fixture
def told(prepared: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings on a copy of that home, from within which commands are typed."""
    shutil.copytree(prepared, home, dirs_exist_ok=True)
    monkeypatch.setenv("NIGHTSHIFT_BUDGET_USD", "0.05")
    monkeypatch.chdir(home)
    return load_settings()


def a_query(settings: Settings) -> str:
    with database.reading(settings) as connection:
        return str(connection.execute(text("SELECT min(query_id) FROM assignments")).scalar_one())


def test_blocks_are_of_known_kinds_and_reasons_are_given_in_words():
    assert {block.kind for block in BLOCKS} <= {"sh", "sql", "python", "mermaid"}
    assert all(len(block.reason.split()) >= 4 for block in BLOCKS if block.reason is not None)
    assert len(runnable("sh")) > 10
    assert len(runnable("sql")) >= 3


@pytest.mark.big
@pytest.mark.parametrize("block", runnable("sh"), ids=str)
def test_commands_do_what_the_document_says(
    block: Block, told: Settings, home: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
):
    query_id = a_query(told)
    for line in filter(None, map(str.strip, block.body.splitlines())):
        words = shlex.split(line, comments=True)
        if not words:
            continue
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            monkeypatch.setenv(name, value)
        assert words[0] == "routing", f"{block}: {line!r} is not ours to run; say why with <!-- not run: … -->"
        arguments = [word.replace("QUERY_ID", query_id) for word in words[1:]]
        done = CliRunner().invoke(app, arguments)
        refusal = REFUSED.get(arguments[0])
        if refusal is not None and isinstance(done.exception, refusal):
            continue
        if isinstance(done.exception, RunStateError | NotFoundError):
            # The lines of a block are alternatives: what went out cannot be rolled back. Each is tried afresh too.
            database.engine(told).dispose()
            shutil.rmtree(home)
            shutil.copytree(prepared, home)
            monkeypatch.chdir(home)
            done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, f"{block}: {line}\n{done.output}\n{done.exception!r}"


@pytest.mark.parametrize("block", runnable("sql"), ids=str)
def test_queries_answer(block: Block, settings: Settings):
    with database.reading(settings) as connection:
        for statement in filter(None, map(str.strip, block.body.split(";"))):
            connection.execute(text(statement)).all()


@pytest.mark.parametrize("block", runnable("python"), ids=str)
def test_scripts_write_what_the_contracts_take(block: Block, tmp_path: Path):
    from routing_core.store.files import list_partition
    from routing_core.store.parquet import read_outcomes, read_queries

    subprocess.run([sys.executable, "-c", block.body], cwd=tmp_path, check=True, env=dict(os.environ))
    outcomes, bad_outcomes = read_outcomes(tmp_path / "outcomes", [NIGHT])
    backlog = tmp_path / "backlog"
    read = read_queries(backlog, NIGHT, list_partition(backlog, NIGHT))
    assert (len(outcomes), len(read.queries), bad_outcomes, read.rejected) == (2, 2, (), ())


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_commands_named_in_passing_exist_with_their_options(file: Path):
    content = _BLOCK.sub("", file.read_text(encoding="utf-8"))
    for said in re.findall(r"`routing ([a-z][^`]*)`", content):
        name, *rest = said.split()
        named = [name, rest[0]] if name == "bench" and rest else [name]
        done = CliRunner().invoke(app, [*named, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
        assert done.exit_code == 0, f"{file.name}: routing {said}"
        for option in re.findall(r"--[a-z-]+", said):
            assert option in done.output, f"{file.name}: routing {said}"
    for said in re.findall(r"`routing query ([a-z_]+)", content):
        assert said in {one.name for one in known()}, f"{file.name}: routing query {said}"


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_links_lead_somewhere(file: Path):
    for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text(encoding="utf-8")):
        assert (file.parent / target).exists(), f"{file.name}: {target}"
