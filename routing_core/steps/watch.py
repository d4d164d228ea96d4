"""What somebody should be told of a night: it defers too much, it overspent, a challenger was refused."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from routing_core import log
from routing_core.settings import Settings
from routing_core.store import files, runs, versions
from routing_core.store.database import reading
from routing_core.store.parquet import RejectedRow
from routing_core.store.tables.proof import night_settlements

Kind = Literal["deferred", "overspent", "refused"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to tell.

    Attributes
    ----------
    kind : {"deferred", "overspent", "refused"}
    words : str
        What happened, with the figures and the limit.
    """

    kind: Kind
    words: str


def night_alerts(dt: date, settings: Settings) -> list[Alert]:
    """What to tell of the current run of a date; nothing where there is none.

    A night defers too much above ``alert_deferred_share`` of its queries.
    """
    with reading(settings) as connection:
        run = runs.current_run(connection, dt)
    if run is None:
        return []
    queries = (run.assigned or 0) + (run.deferred or 0)
    if not queries or run.deferred / queries <= settings.alert_deferred_share:
        return []
    words = (
        f"the night of {dt} (run {run.run_id}) defers {run.deferred} of {queries} queries, more than "
        f"{settings.alert_deferred_share:.0%}"
    )
    return [Alert("deferred", words)]


def settlement_alerts(dt: date, settings: Settings) -> list[Alert]:
    """What to tell of a night that was settled: that it overspent, or is on its way to."""
    table = night_settlements
    newest = select(table).where(table.c.dt == dt, table.c.overspent.is_(True)).order_by(table.c.run_id.desc()).limit(1)
    with reading(settings) as connection:
        row = connection.execute(newest).one_or_none()
    if row is None:
        return []
    words = (
        f"the night of {dt} (run {row.run_id}) comes to {row.projected_spend_usd:.6g} USD, over its budget of "
        f"{row.budget_usd:.6g}; {row.settled} of {row.assigned} queries are settled"
    )
    return [Alert("overspent", words)]


def verdict_alerts(dt: date, settings: Settings) -> list[Alert]:
    """What to tell of the verdict of a date: that the challenger does not reign, and why."""
    with reading(settings) as connection:
        verdict = versions.verdict_of(connection, dt)
    if verdict is None or verdict.decision == "promoted":
        return []
    return [Alert("refused", f"the challenger of {dt} was not promoted ({verdict.decision}): {verdict.reason}")]


_MOST_TOLD = 5
"""Files or rows that a line of the log names, of as many as there are."""


def tell_passed_over(root: str, dt: date) -> None:
    """Warn of what lies in a partition and is not read, by name."""
    if names := files.passed_over(root, dt):
        log.say(
            f"{len(names)} entries of {files.partition_path(root, dt)} are not *.parquet files and are not read: "
            f"{', '.join(names[:_MOST_TOLD])}",
            level=logging.WARNING,
        )


def tell_rejected(rejected: Sequence[RejectedRow]) -> None:
    """Warn of outcomes that are not learnt from: how many, and the first of each file, with row and reason."""
    first = {row.partition: row for row in reversed(rejected)}
    for partition, row in sorted(first.items())[:_MOST_TOLD]:
        count = sum(one.partition == partition for one in rejected)
        log.say(
            f"{count} outcomes of {partition} are not learnt from; the first, row {row.row}: {row.detail}",
            level=logging.WARNING,
        )


def tell_unknown(models: NDArray[np.object_], known: Sequence[str]) -> None:
    """Warn of outcomes of models that the catalog does not have, which nothing is learnt from."""
    names, counts = np.unique(models[~np.isin(models, known)].astype(str), return_counts=True)
    if len(names):
        log.say(
            f"{counts.sum()} outcomes are of models that the catalog does not have, and are not learnt from: "
            f"{', '.join(names[np.argsort(-counts, kind='stable')][:_MOST_TOLD])}",
            level=logging.WARNING,
        )
