"""What comes in: the newest backlog and the newest outcomes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from routing_core.settings import Settings
from routing_core.steps.doctor.finding import Checks, ill, odd, well
from routing_core.store import files

_STALE_DAYS = 7


def backlog(settings: Settings) -> Checks:
    """The newest backlog: its date, its marker, its files."""
    days = files.partition_dates(settings.backlog_root)
    if not days:
        yield ill(
            "backlog",
            f"there is no partition dt=YYYY-MM-DD under {settings.backlog_root}",
            "write one, or set NIGHTSHIFT_BACKLOG",
        )
        return
    newest = days[-1]
    yield from _not_ahead("backlog", newest)
    if settings.backlog_marker and not files.is_complete(settings.backlog_root, newest, settings.backlog_marker):
        yield ill(
            "marker",
            f"the backlog of {newest} has no {settings.backlog_marker}, which backlog_marker asks for: no night begins",
            f"let whoever writes the backlog put {settings.backlog_marker} there when it is whole, or unset it",
        )
    yield from _passed_over("backlog", settings.backlog_root, newest)
    listed = files.list_partition(settings.backlog_root, newest)
    broken = [file.path for file in listed if file.rows is None]
    for path in broken:
        yield ill("backlog", f"{path} is not readable Parquet, and fails its night", "write it again, or remove it")
    if not broken:
        rows = sum(file.rows or 0 for file in listed)
        yield well("backlog", f"newest of {newest}: {len(listed)} files, {rows} rows")


def outcomes(settings: Settings) -> Checks:
    """The newest outcomes: there, and as new as the backlog."""
    days = files.partition_dates(settings.outcomes_root)
    if not days:
        yield ill(
            "outcomes",
            f"there is no partition dt=YYYY-MM-DD under {settings.outcomes_root}",
            "log outcomes there, or set NIGHTSHIFT_OUTCOMES",
        )
        return
    yield from _not_ahead("outcomes", days[-1])
    yield from _passed_over("outcomes", settings.outcomes_root, days[-1])
    backlogs = files.partition_dates(settings.backlog_root)
    behind = (backlogs[-1] - days[-1]).days if backlogs else 0
    if behind > _STALE_DAYS:
        yield ill(
            "outcomes",
            f"the newest outcomes are of {days[-1]}, {behind} days behind the backlog: nothing new is learnt",
            "find out why they are no longer logged",
        )
    else:
        yield well("outcomes", f"{len(days)} days, the newest {days[-1]}")


def _passed_over(check: str, root: str, newest: date) -> Checks:
    if names := files.misnamed_days(root):
        yield odd(
            check, f"{', '.join(names[:3])} under {root} are no days, and are not read", "name them dt=YYYY-MM-DD"
        )
    if names := files.passed_over(root, newest):
        yield odd(
            check,
            f"{len(names)} entries of {files.partition_path(root, newest)} are not read: {', '.join(names[:3])}",
            "write rows as Parquet files named *.parquet, directly in the day's directory",
        )


def next_night(settings: Settings) -> date:
    """The night of the newest backlog; today's where there is none."""
    days = files.partition_dates(settings.backlog_root)
    return days[-1] if days else datetime.now(UTC).date()


def _not_ahead(check: str, newest: date) -> Checks:
    # A day of grace for time zones.
    if newest > datetime.now(UTC).date() + timedelta(days=1):
        yield odd(check, f"the newest partition is of {newest}, a day to come", "correct its name, or the clock")
