"""Ask the results database one of the questions under ``sql/queries``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from routing_core.errors import SettingsError
from routing_core.settings import Settings
from routing_core.steps.night import parse_dt
from routing_core.store import dictionary as documents
from routing_core.store import questions
from routing_core.store.database import reading
from routing_core.store.questions import Question

KINDS: Mapping[str, Callable[[str], Any]] = {
    "dt": parse_dt,
    "first": parse_dt,
    "last": parse_dt,
    "run_a": int,
    "run_b": int,
    "least": int,
    "most": int,
    "share": float,
    "query_id": str,
}
"""How the text of each parameter is read."""


def known() -> list[Question]:
    """The questions there are."""
    return questions.questions()


def dictionary() -> str:
    """The data dictionary, in Markdown."""
    return documents.markdown()


def ask(name: str, values: Mapping[str, str], settings: Settings) -> list[dict[str, Any]]:
    """Answer a question.

    Parameters
    ----------
    name : str
        File under ``sql/queries``, without its suffix.
    values : mapping of str to str
        Of each of its parameters.
    settings : Settings

    Raises
    ------
    NotFoundError
        If there is no such question.
    SettingsError
        If a parameter is missing, unknown, or not of its kind.
    """
    asked = questions.question(name)
    if set(values) != set(asked.parameters):
        wanted = ", ".join(asked.parameters)
        raise SettingsError(f"query {name!r} takes {wanted}, got {', '.join(sorted(values)) or 'nothing'}")
    with reading(settings) as connection:
        return questions.answer(connection, asked, {key: _value(key, text) for key, text in values.items()})


def _value(key: str, text: str) -> Any:
    try:
        return KINDS[key](text)
    except ValueError:
        raise SettingsError(f"{key} must be {KINDS[key].__name__}, got {text!r}") from None
