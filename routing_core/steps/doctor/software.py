"""The software: Python, the versions of libraries, and Airflow's own settings as far as they concern us."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from routing_core.steps.doctor.finding import Checks, ill, odd, well

_KNOWN_TO_BREAK = {
    "celery": "from 5.7 on, Airflow's Celery provider ends with a message about something else",
    "apache-airflow": "the DAGs are written for the Airflow named, whose task SDK changes between minor versions",
}


def packages() -> Checks:
    """Versions against what this package declares, extras included where they are installed."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        yield ill(
            "python", f"Python is {sys.version.split()[0]}, must be 3.11 to 3.13", "make a virtualenv of one of them"
        )
    wrong = []
    for requirement in _declared():
        installed = _version(requirement.name)
        if installed is not None and not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(requirement.name)
            why = _KNOWN_TO_BREAK.get(requirement.name, "it was not tested with another")
            yield ill(
                "versions",
                f"{requirement.name} is {installed}, must be {requirement.specifier}: {why}",
                f"pip install '{requirement.name}{requirement.specifier}'",
            )
    if not wrong:
        yield well("versions", "every library is of a version this code was tested with")


def airflow() -> Checks:
    """Where Airflow is told to find the DAGs and the plugin, and whether its workers can share the results."""
    told = {"DAGS_FOLDER": "route_backlog.py", "PLUGINS_FOLDER": "nightshift_waits.py"}
    for name, needed in told.items():
        folder = os.environ.get(f"AIRFLOW__CORE__{name}")
        if folder and not (Path(folder) / needed).is_file():
            yield ill(
                "airflow",
                f"AIRFLOW__CORE__{name} is {folder}, which has no {needed}",
                f"point it at {name.split('_')[0].lower()}/ of this checkout",
            )
    celery = os.environ.get("AIRFLOW__CORE__EXECUTOR", "").endswith("CeleryExecutor")
    if celery and not os.environ.get("NIGHTSHIFT_DSN", "").startswith("postgres"):
        yield odd(
            "airflow",
            "Airflow runs tasks by Celery, and the results are not in PostgreSQL: workers would each write a file",
            "set NIGHTSHIFT_DSN to a PostgreSQL that all workers reach",
        )


def _declared() -> list[Requirement]:
    try:
        return [Requirement(line) for line in metadata.requires("nightshift") or ()]
    except metadata.PackageNotFoundError:
        return []


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
