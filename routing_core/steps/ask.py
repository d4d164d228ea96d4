"""Ask the results database one of the questions under ``sql/queries``."""

from __future__ import annotations

import json
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


_SETTINGS_HEAD = """# Settings

Made from `routing_core/settings.py` by `routing settings --reference`; a test keeps it current. Each is a variable
`NIGHTSHIFT_<SETTING>` of the environment, or a line of `config/settings.yaml` under the home; the environment wins.
Mappings are JSON in the environment: `NIGHTSHIFT_GPU_BUDGET='{"h100": 16}'`. Money is in USD,
quality in [0, 1], times are in minutes unless the name says otherwise. `routing settings` shows those in force.
"""


def known() -> list[Question]:
    """The questions there are."""
    return questions.questions()


def dictionary() -> str:
    """The data dictionary, in Markdown."""
    return documents.markdown()


def settings_reference() -> str:
    """Every setting with its default and meaning, in Markdown."""
    lines = [_SETTINGS_HEAD, "| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = None if name == "home" else field.get_default(call_default_factory=True, validated_data={})
        lines.append(f"| `{name}` | {_default(default)} | {field.description} |")
    return "\n".join([*lines, ""])


def _default(value: Any) -> str:
    if value is None or value == {} or str(value) == "":  # an empty secret is printed as nothing
        return ""
    return f"`{json.dumps(value) if isinstance(value, bool | dict) else value}`"


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
