"""Plan what has not been sent of a night anew, when a model is withdrawn or instances are lost after planning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Row

from routing_core import log
from routing_core.errors import NotFoundError, SettingsError
from routing_core.settings import Settings
from routing_core.steps import route
from routing_core.steps.means import as_it_was
from routing_core.steps.rest import Loss
from routing_core.store import allocations, catalogs, kept, openings, runs
from routing_core.store.database import reading, writing
from routing_core.store.shards import write_directory


@dataclass(frozen=True, slots=True)
class Change:
    """What has happened since the night was planned.

    Attributes
    ----------
    withdraw : tuple of str
        Models that take no more queries.
    lose : mapping of str to int
        Instances lost, by self-hosted model.
    after_batch : int
        Everything up to this batch of the night was sent.
    sent : tuple of Path
        Files that say what was sent, as :func:`routing_core.store.kept.read_sent` reads them. Batches up to the last
        of theirs are over: what they hold unsent is planned into later ones.
    """

    withdraw: tuple[str, ...] = ()
    lose: Mapping[str, int] = field(default_factory=dict)
    after_batch: int = 0
    sent: tuple[Path, ...] = ()


@log.step
def replan(dt: date, settings: Settings, change: Change, *, run_key: str) -> dict[str, Any]:
    """Replace the current plan of a date, sealed or not, by one that keeps what was sent and plans the rest anew.

    It is planned with what the plan before was planned with: settings, catalog, predictor and estimates; with what is
    left of the budgets; and with what is left of the capacities in the batches to come. A query that a later night
    has taken up stays deferred.

    Returns
    -------
    dict
        As :func:`routing_core.steps.route.publish_run`, and replaced_run_id, sent_through_batch, kept (queries),
        assigned, deferred.

    Raises
    ------
    NotFoundError
        If no run of the date is current, or what is said to be sent is not of it.
    CatalogError, SettingsError
        If what went missing cannot be.
    """
    sent = [name for file in change.sent for name in kept.read_sent(file)]
    run_id, base, stays = _open(dt, settings, change, sent, run_key)
    published = route.finish(run_id, settings)
    with reading(settings) as connection:
        run = runs.get_run(connection, run_id)
    return {
        **published,
        "replaced_run_id": base.run_id,
        "sent_through_batch": run.sent_through_batch,
        "kept": stays,
        "assigned": run.assigned,
        "deferred": run.deferred,
    }


def _open(dt: date, settings: Settings, change: Change, sent: Sequence[str], run_key: str) -> tuple[int, Row[Any], int]:
    """Open the run, and keep what stays in its directory."""
    with writing(settings) as connection:
        base = runs.current_run(connection, dt)
        if base is None:
            raise NotFoundError(
                f"no run of {dt} is current, so nothing is left of it", remedy=f"routing route --dt {dt}"
            )
        loss = Loss(frozenset(change.withdraw), dict(change.lose)).and_before(base.options)
        loss.check(catalogs.of_run(base, settings), allocations.get_allocation(connection, base.allocation_id))
        after = _sent_through(base, change.after_batch)
        through = max(after, kept.last_batch_sent(connection, base, sent))
        means = as_it_was(base, settings)
        # The rest is planned as one problem, however the batches were formed at first.
        means = replace(means, settings=means.settings.model_copy(update={"batching": "planned"}))
        options = {"withdraw": sorted(loss.withdrawn), "lose": dict(loss.lost), "after_batch": after, "sent": len(sent)}
        columns = means.columns(dt, options)
        columns |= {"replan": True, "dry_run": False, "shadow": False, "sent_through_batch": through}
        run_id = openings.open_run(connection, dt, run_key, columns)
        stays = kept.read_kept(connection, base, after, sent)
        write_directory(settings.run_directory(run_id) / kept.DIRECTORY, {"kept": stays})
    return run_id, base, len(stays)


def _sent_through(base: Row[Any], after_batch: int) -> int:
    """Last batch that is sent as a whole; what an earlier replan took for sent stays sent.

    Raises
    ------
    SettingsError
        If the night has no such batch.
    """
    if not 0 <= after_batch <= base.batches:
        raise SettingsError(f"after_batch must be from 0 to {base.batches}, the night's batches, got {after_batch}")
    return max(after_batch, base.sent_through_batch or 0)
