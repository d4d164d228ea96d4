"""What README and docs ask people to type: blocks of code, and commands in passing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from routing_core.settings import PROJECT_ROOT

DOCUMENTS = [PROJECT_ROOT / "README.md", *sorted((PROJECT_ROOT / "docs").glob("*.md"))]
NIGHT, BEFORE = date(2026, 11, 7), date(2026, 11, 6)
"""The night that documents speak of."""

_BLOCK = re.compile(r"(?:<!-- run by (?P<elsewhere>.+?) -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)\n```", re.DOTALL)
_IN_PASSING = re.compile(r"`((?:routing|airflow) [a-z][^`]*)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code.

    Attributes
    ----------
    file : Path
    line : int
    kind : str
        The language it says it is in.
    body : str
    elsewhere : str or None
        What runs it in full, where a test of commands cannot: a file or directory of the repository.
    """

    file: Path
    line: int
    kind: str
    body: str
    elsewhere: str | None = None

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line}"


def _found() -> Iterator[Block]:
    for file in DOCUMENTS:
        content = file.read_text(encoding="utf-8")
        for found in _BLOCK.finditer(content):
            line = content.count("\n", 0, found.start("kind")) + 1
            yield Block(file, line, found["kind"], found["body"], found["elsewhere"])


BLOCKS = list(_found())


def of_kind(kind: str) -> list[Block]:
    return [block for block in BLOCKS if block.kind == kind]


def in_passing(file: Path) -> list[str]:
    """Commands named within sentences."""
    return _IN_PASSING.findall(_BLOCK.sub("", file.read_text(encoding="utf-8")))


def whole(command: str) -> bool:
    """Whether a command named in passing can be typed as it stands: it has arguments, and none left out."""
    words = shlex.split(command)
    given = any(word.startswith("--") or "=" in word or word.isdigit() for word in words)
    return given and "…" not in command and not any(word.isupper() for word in words)


def passing_blocks() -> list[Block]:
    """The commands named in passing that can be typed, a block for each document."""
    typed = {file: [command for command in in_passing(file) if whole(command)] for file in DOCUMENTS}
    return [Block(file, 0, "sh", "\n".join(dict.fromkeys(lines))) for file, lines in typed.items() if lines]
