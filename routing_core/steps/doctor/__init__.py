"""``routing doctor``: everything a night stands on, looked at before the night does; what is wrong, and what to do.

One file for each kind of ground; nothing is changed, and no check keeps the others from being made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from routing_core.errors import NightshiftError, masked
from routing_core.settings import Settings, load_settings
from routing_core.steps.doctor import database, ground, inputs, learnt, models, software
from routing_core.steps.doctor.finding import Examination, Finding, ill, well

__all__ = ["Finding", "examine", "report"]


def examine() -> list[Finding]:
    """Look at everything, from the settings of this environment on."""
    found = _made("software", software.packages)
    found += _made("airflow", software.airflow)
    found += _made("environment", ground.variables)
    try:
        settings = load_settings()
    except NightshiftError as error:
        return [*found, ill("settings", error.message, error.remedy or "correct the fields named")]
    found.append(well("settings", f"read, home {settings.home}"))
    for check, examination in _examinations(settings):
        found += _made(check, examination)
    if not any(one.status == "fail" and one.check in ("connection", "schema") for one in found):
        found += _made("champion", partial(learnt.predictor, settings))
        found += _made("allocation", partial(learnt.allocation, settings))
    return found


def report(found: Sequence[Finding]) -> dict[str, Any]:
    """The findings as plain data: ok, failed, warned, and checks (check, status, what, remedy)."""
    failed = sum(one.status == "fail" for one in found)
    warned = sum(one.status == "warn" for one in found)
    return {"ok": not failed, "failed": failed, "warned": warned, "checks": [asdict(one) for one in found]}


def _examinations(settings: Settings) -> list[tuple[str, Examination]]:
    on_all = [
        ("secrets", ground.secrets),
        ("home", ground.home),
        ("disk", ground.disk),
        ("connection", database.database),
        ("catalog", models.catalog),
        ("gpus", models.gpus),
        ("pins", models.pins),
        ("budgets", models.budgets),
        ("backlog", inputs.backlog),
        ("outcomes", inputs.outcomes),
    ]
    return [(check, partial(one, settings)) for check, one in on_all]


def _made(check: str, examination: Examination) -> list[Finding]:
    """What an examination finds; one that breaks off is a finding itself, and keeps no other from being made."""
    found: list[Finding] = []
    try:
        for one in examination():
            found.append(one)
    except NightshiftError as error:
        found.append(ill(check, error.message, error.remedy or "correct what is named"))
    except Exception as error:
        what = masked(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
        found.append(ill(check, f"it could not be looked at: {what}", "correct what is named, and look again"))
    return found
