"""Every command, query and script in README and docs is run, on a home prepared for it.

Lines that start servers, or build the whole project, are held to what understands them (Airflow's command line,
the Makefile, docker-compose.yml), and their block names what runs them in full.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import BLOCKS, DOCUMENTS, NIGHT, Block, in_passing, of_kind, passing_blocks
from sqlalchemy import text
from typer.testing import CliRunner
from typing_them import Reader

from routing_core.cli import app
from routing_core.records.outcomes import OUTCOME_COLUMNS
from routing_core.records.queries import QUERY_COLUMNS
from routing_core.settings import PROJECT_ROOT, Settings
from routing_core.steps.ask import known
from routing_core.store import database

_ELSEWHERE = re.compile(r"^(?:\S*/)?(make|airflow|docker)\b", re.MULTILINE)


def test_blocks_are_of_known_kinds():
    assert {block.kind for block in BLOCKS} <= {"sh", "sql", "python", "yaml", "mermaid"}
    assert len(of_kind("sh")) > 20
    assert len(of_kind("sql")) >= 3
    assert len(passing_blocks()) >= 4


@pytest.mark.parametrize("block", of_kind("sh"), ids=str)
def test_what_only_a_whole_machine_runs_says_where_it_is_run(block: Block):
    """A block with servers or builds names the tests that do the same; no other block needs to."""
    assert bool(_ELSEWHERE.search(block.body)) == (block.elsewhere is not None)
    for name in (block.elsewhere or "").split(", "):
        assert (PROJECT_ROOT / name).exists(), f"{block}: {name}"


@pytest.mark.big
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("block", [*of_kind("sh"), *passing_blocks()], ids=str)
def test_commands_do_what_the_document_says(
    block: Block,
    told: Settings,
    home: Path,
    prepared: Path,
    postgres_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
):
    with database.reading(told) as connection:
        query_id = str(connection.execute(text("SELECT min(query_id) FROM assignments")).scalar_one())
    reader = Reader(home, prepared, query_id, postgres_settings.database_url, monkeypatch)
    for line in block.body.splitlines():
        reader.type(line)


@pytest.mark.parametrize("block", of_kind("sql"), ids=str)
def test_queries_answer(block: Block, settings: Settings):
    with database.reading(settings) as connection:
        for statement in filter(None, map(str.strip, block.body.split(";"))):
            connection.execute(text(statement)).all()


@pytest.mark.parametrize("block", of_kind("python"), ids=str)
def test_scripts_run_and_print_what_they_say(block: Block, tmp_path: Path):
    command = [sys.executable, "-c", block.body]
    said = subprocess.check_output(command, cwd=tmp_path, env=dict(os.environ), text=True)
    assert said.splitlines() == re.findall(r"# prints (.+)$", block.body, re.MULTILINE)


def test_the_script_for_your_own_data_writes_what_the_contracts_take(tmp_path: Path):
    from routing_core.store.files import list_partition
    from routing_core.store.parquet import read_outcomes, read_queries

    (script,) = (block.body for block in of_kind("python") if block.file.name == "your-data.md")
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, env=dict(os.environ))
    outcomes, bad_outcomes = read_outcomes(tmp_path / "outcomes", [NIGHT])
    backlog = tmp_path / "backlog"
    read = read_queries(backlog, NIGHT, list_partition(backlog, NIGHT))
    assert (len(outcomes), len(read.queries), bad_outcomes, read.rejected) == (2, 2, (), ())


@pytest.mark.parametrize("block", of_kind("yaml"), ids=str)
def test_catalogs_are_read(block: Block, tmp_path: Path):
    from routing_core.store.catalog import read_catalog

    (tmp_path / "catalog.yaml").write_text(block.body, encoding="utf-8")
    assert len(read_catalog(tmp_path / "catalog.yaml")) >= 2


def test_every_column_of_the_contracts_is_explained():
    """In the table of its kind, as optional where it is."""
    content = (PROJECT_ROOT / "docs" / "your-data.md").read_text(encoding="utf-8")
    waiting, logged = content.split("## A waiting query")[1].split("## A logged answer")
    for columns, table in ((QUERY_COLUMNS, waiting), (OUTCOME_COLUMNS, logged.split("Any Parquet type")[0])):
        for column in columns:
            (row,) = re.findall(rf"^\|[^|]*`{column.name}`.*$", table, re.MULTILINE)
            assert ("optional" in row) == (not column.required), column.name


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_commands_named_in_passing_exist_with_their_options(file: Path):
    for said in in_passing(file):
        program, name, *rest = said.split()
        if program != "routing":
            continue
        named = [name, rest[0]] if name == "bench" and rest else [name]
        done = CliRunner().invoke(app, [*named, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
        assert done.exit_code == 0, f"{file.name}: {said}"
        for option in re.findall(r"--[a-z-]+", said):
            assert option in done.output, f"{file.name}: {said}"
        if name == "query" and rest and rest[0].islower():
            assert rest[0] in {one.name for one in known()}, f"{file.name}: {said}"


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_settings_named_are_settings(file: Path):
    """``NIGHTSHIFT_…`` in a document is a field of the settings, or one of the few that are read elsewhere."""
    others = {"LOG_FORMAT", "NO_SKIPS", "DATA"}
    named = re.findall(r"NIGHTSHIFT_([A-Z_]+[A-Z])", file.read_text(encoding="utf-8"))
    assert {name.lower() for name in set(named) - others} <= set(Settings.model_fields)


def test_the_readme_names_every_view():
    content = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8").split("## Query it")[1].split("## ")[0]
    assert {database.view_name(file) for file in database.view_files()} <= set(re.findall(r"`(\w+)`", content))


def test_messages_that_trouble_is_looked_up_by_are_ours():
    """The first cell of each row that quotes a message quotes it as the code says it, … standing for what is put in."""
    rows = re.findall(r"^\| `([^`]+)` \|", (PROJECT_ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    said = list(_said_by_the_code())
    assert len(rows) > 15
    assert [message for message in rows if not any(message in text for text in said)] == []


def _said_by_the_code() -> Iterator[str]:
    for folder in ("routing_core", "plugins", "dags"):
        for file in sorted((PROJECT_ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                    yield "".join(map(str, parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_links_and_files_named_lead_somewhere(file: Path):
    content = file.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", content):
        assert (file.parent / target).exists(), f"{file.name}: {target}"
    for name in re.findall(r"`((?:routing_core|sql|tests|docs|dags|plugins|requirements)/[\w./-]+)`", content):
        assert (PROJECT_ROOT / name).exists(), f"{file.name}: {name}"
