"""YAML that can only be data: no aliases, tags, merges or repeated keys, and no larger than what a person writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

LARGEST_FILE = 1 << 20
"""Bytes."""

# What PyYAML lets escape of its own scalars (a day that does not exist, a number too long to convert, …).
_ESCAPES = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, OverflowError, RecursionError)


class NotPlainError(ValueError):
    """The bytes are not plain YAML.

    Attributes
    ----------
    line : int or None
        Line it was seen in, from 1, where that is known.
    """

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


def read(path: Path) -> Any:
    """The data in a file; None of an empty one.

    Raises
    ------
    OSError
        If it cannot be opened, or is no regular file.
    NotPlainError
        If it is too large, or not plain YAML. The reason may quote it.
    """
    if path.exists() and not path.is_file():  # a pipe or a device would be read for ever
        raise OSError(None, "it is not a regular file")
    with path.open("rb") as stream:
        raw = stream.read(LARGEST_FILE + 1)
    if len(raw) > LARGEST_FILE:
        raise NotPlainError(f"must be at most {LARGEST_FILE} bytes")
    try:
        return yaml.load(raw, Loader=_PlainLoader)  # noqa: S506 (a SafeLoader, made stricter)
    except _ESCAPES as error:
        mark = getattr(error, "problem_mark", None)
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise NotPlainError(f"must be plain YAML: {reason}", mark.line + 1 if mark else None) from error


def dump(data: Any) -> str:
    """Data as YAML that :func:`read` gives back."""
    return yaml.dump(data, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=120)


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without what can multiply or hide: aliases, anchors, tags, merge keys, duplicate keys."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:  # an alias carries the name of its anchor too
            raise _refused("anchors and aliases are not allowed", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise _refused("tags are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":merge"):
                raise _refused("a key must be a plain word", key.start_mark)
            if key.value in seen:
                raise _refused(f"key {key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class _PlainDumper(yaml.SafeDumper):
    """Safe YAML that repeats a value where PyYAML would write an alias to it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _refused(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
