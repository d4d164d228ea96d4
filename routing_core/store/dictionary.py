"""The data dictionary: tables, columns and views as the code declares them, in Markdown."""

from __future__ import annotations

from sqlalchemy import Table

from routing_core.store.database import view_files, view_name
from routing_core.store.questions import questions
from routing_core.store.tables import metadata

_HEAD = """# Data dictionary

Made from `routing_core/store/tables/`, `sql/views` and `sql/queries` by `routing dictionary`; a test keeps it
current. Views are the promise; tables may change with a migration. Money is in USD, quality in [0, 1], times are UTC,
and `dt` is the day whose backlog a night plans.
"""


def markdown() -> str:
    """The whole document."""
    parts = [_HEAD, _picture(), _views(), _questions(), "## Tables", *map(_table, _ordered())]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _ordered() -> list[Table]:
    """Tables by name: the order of their dependencies is not the same in every process."""
    return sorted(metadata.tables.values(), key=lambda table: table.name)


def _picture() -> str:
    """Keys of every table and what they refer to, as a Mermaid entity-relationship diagram."""
    lines = ["## Picture", "", "```mermaid", "erDiagram"]
    for table in _ordered():
        lines += [f"    {table.name} {{", *_keys(table), "    }"]
        for column in table.columns:
            lines += [
                f"    {key.column.table.name} ||--o{{ {table.name} : {column.name}"
                for key in sorted(column.foreign_keys, key=lambda key: key.target_fullname)
            ]
    lines += ["    mix_forecasts ||--o{ allocations : forecast_id", "```", ""]
    return "\n".join(lines)


def _keys(table: Table) -> list[str]:
    marks = {
        column.name: ("PK" if column.primary_key else "", "FK" if column.foreign_keys else "") for column in table.c
    }
    return [
        f"        {str(column.type).lower()} {column.name} {', '.join(filter(None, marks[column.name]))}"
        for column in table.c
        if any(marks[column.name])
    ]


def _views() -> str:
    lines = ["## Views", "", "| view | grain |", "|---|---|"]
    for file in view_files():
        comments = [line[3:] for line in file.read_text().splitlines() if line.startswith("-- ")]
        lines.append(f"| `{view_name(file)}` | {_cell(' '.join(comments))} |")
    return "\n".join([*lines, ""])


def _questions() -> str:
    lines = ["## Queries", "", "`routing query NAME PARAMETER=VALUE …` runs one.", ""]
    lines += ["| query | asks | grain | parameters |", "|---|---|---|---|"]
    for one in questions():
        cells = (f"`{one.name}`", one.asks, one.grain, ", ".join(f"`{name}`" for name in one.parameters))
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join([*lines, ""])


def _table(table: Table) -> str:
    lines = [f"### {table.name}", "", str(table.comment), "", "| column | type | | meaning |", "|---|---|---|---|"]
    for column in table.columns:
        marks = ["key"] if column.primary_key else []
        marks += sorted(f"→ {key.column.table.name}" for key in column.foreign_keys)
        marks += ["null"] if column.nullable else []
        cells = (f"`{column.name}`", str(column.type).lower(), ", ".join(marks), str(column.comment))
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
