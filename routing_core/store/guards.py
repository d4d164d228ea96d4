"""What must hold before a plan goes out, so that no query is sent twice and none behind somebody's back."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, select

from routing_core.errors import RunStateError
from routing_core.store import carry, checks
from routing_core.store.tables.handing_out import holds


def refuse_unready(connection: Connection, run: Row[Any]) -> None:
    """Refuse to hand out a plan whose night is held, or that took up queries of a plan that no longer holds.

    Raises
    ------
    RunStateError
        With the command that helps.
    """
    held = connection.execute(select(holds).where(holds.c.dt == run.dt, holds.c.released_at.is_(None))).one_or_none()
    if held is not None:
        raise RunStateError(
            f"the night of {run.dt} is held since {held.held_at:%Y-%m-%d %H:%M} UTC and cannot be handed out: "
            f"{held.reason}",
            remedy=f"routing hold --dt {run.dt} --release",
        )
    _refuse_outdated(connection, run)
    refuse_sent_twice(connection, run)


def refuse_sent_twice(connection: Connection, run: Row[Any]) -> None:
    """Refuse a plan that gives models queries which another night, handed out, has sent or taken up.

    Raises
    ------
    RunStateError
        Naming the first of them.
    """
    twice = checks.run_check(connection, run.run_id, "nothing_is_sent_twice")
    if twice.offending:
        raise RunStateError(
            f"run {run.run_id} of {run.dt} gives models queries that another night, handed out, has sent or taken up: "
            f"{' | '.join(twice.offending)}",
            remedy=f"routing route --dt {run.dt} --replan leaves those alone",
        )


def refuse_dropped(connection: Connection, run: Row[Any], reigning: Row[Any] | None) -> None:
    """Refuse to plan anew a night handed out without queries that the plan before took up and gave to models.

    Nobody would remember that they were sent, and the next night would take them up again.

    Raises
    ------
    RunStateError
        Naming the first of them.
    """
    if reigning is None or not reigning.carried_rows or run.base_run_id is not None:
        return
    if not carry.is_sent(connection, run.dt):
        return
    dropped = carry.dropped(connection, run.run_id, reigning)
    if dropped:
        raise RunStateError(
            f"run {run.run_id} of {run.dt} says nothing of queries that run {reigning.run_id} took up from nights "
            f"before, and the night was handed out with them: {', '.join(dropped)}",
            remedy=f"routing route --dt {run.dt} --replan --carry-over as_before",
        )


def handed_out_later(connection: Connection, dt: date) -> date | None:
    """A later night that was handed out with queries it took up from ``dt``, at once or through nights between.

    Once there is one, what ``dt`` deferred has been sent: deciding it anew could send it twice.
    """
    ahead, seen = [dt], {dt}
    while ahead:
        for later in carry.takers(connection, ahead.pop()):
            if carry.is_sent(connection, later):
                return later
            if later not in seen:
                seen.add(later)
                ahead.append(later)
    return None


def _refuse_outdated(connection: Connection, run: Row[Any]) -> None:
    """Refuse a plan that took up queries of a run that was superseded since.

    The plan of what was left of another, or one that took up nothing, stands whatever became of the night before.
    """
    if not run.carried_rows or run.base_run_id is not None:
        return
    source = carry.outdated_source(connection, run.run_id)
    if source is not None:
        raise RunStateError(
            f"run {run.run_id} of {run.dt} took up queries of run {source.run_id} of {source.dt}, which is "
            f"{source.status}: what it deferred may be planned otherwise by now",
            remedy=f"routing route --dt {run.dt} --carry-over chained",
        )
