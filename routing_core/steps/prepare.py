"""Before the first night: a database at the right schema, and data to plan when you have none of your own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from routing_core import log
from routing_core.settings import Settings, load_settings
from routing_core.store import database
from routing_core.store.catalog import read_catalog
from routing_core.workload import routerbench, synthetic

_DEMO_SETTINGS = """\
# For 6,000 queries a night: a budget and a fleet that both bind.
budget_usd: 2.0
gpu_budget: {h100: 6}
batch_minutes: 60.0
"""


@dataclass(frozen=True, slots=True)
class WorkloadSize:
    """How much a synthetic workload holds.

    Attributes
    ----------
    days : int
        Days of outcomes, and of backlog history, that end with tonight.
    queries_per_day : int
        Queries of an ordinary weekday, as outcomes and as backlog history.
    backlog_per_day : int or None
        Those of the backlog history, where they are others.
    tonight : int
        Queries in tonight's backlog.
    parts : int
        Files of tonight's backlog.
    broken : int
        Rows of it broken on purpose.
    """

    days: int = 14
    queries_per_day: int = 1500
    backlog_per_day: int | None = None
    tonight: int = 6000
    parts: int = 8
    broken: int = 12


@log.step
def init_db(settings: Settings) -> dict[str, Any]:
    """Bring the results database to this version's schema, and renew its views."""
    return {"schema": database.migrate(settings)}


def check_ready(settings: Settings) -> None:
    """Refuse a results database at another schema version.

    Raises
    ------
    SchemaError
    """
    database.check_schema(settings)


@log.step
def make_workload(
    to: Path, dt: date, settings: Settings, size: WorkloadSize, *, embedding_size: int = 0
) -> dict[str, Any]:
    """Write a synthetic workload whose tonight is ``dt`` under ``to``."""
    return synthetic.make_workload(
        to,
        last_day=dt,
        outcome_days=size.days,
        backlog_days=size.days,
        queries_per_day=size.queries_per_day,
        backlog_per_day=size.backlog_per_day,
        tonight=size.tonight,
        parts=size.parts,
        seed=settings.seed,
        broken=size.broken,
        catalog=read_catalog(settings.catalog_file),
        labels="logged",
        embedding_size=embedding_size,
    )


def demo_home(home: Path, dt: date) -> Settings:
    """Lay out a home in which a night of ``dt`` can be shown: settings that bind, a database, a workload.

    Settings that are there already stay.

    Returns
    -------
    Settings
        Those of the home.
    """
    file = home / "config" / "settings.yaml"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_DEMO_SETTINGS)
    settings = load_settings(home=home)
    init_db(settings)
    make_workload(home, dt, settings, WorkloadSize(queries_per_day=1000, backlog_per_day=6000))
    return settings


def import_routerbench(file: Path, to: Path, dt: date, settings: Settings, *, days: int, parts: int) -> dict[str, Any]:
    """Lay a public RouterBench table out under ``to``, with ``dt`` as tonight."""
    return routerbench.import_routerbench(file, to, last_day=dt, days=days, parts=parts, seed=settings.seed).as_dict()
