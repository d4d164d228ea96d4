"""The one place that decides which day a run is about."""

from __future__ import annotations

from datetime import UTC, date, datetime

from routing_core.errors import DateError

_HAS_INTERVAL = frozenset({"scheduled", "backfill"})


def resolve_dt(dt: str | None, run_type: str, data_interval_start: datetime | None, *, dag_id: str) -> date:
    """The day ``dt`` whose outcomes and backlog a run is about.

    The parameter if given; else, for a scheduled or backfill run, the start of its data interval.
    Other runs have an interval inferred from the moment they were triggered, which may lie on either
    side of midnight of the day meant: trusting it would route the wrong day's money.

    Parameters
    ----------
    dt : str or None
        The run's ``dt`` parameter, ``YYYY-MM-DD``.
    run_type : str
        As Airflow names it: scheduled, backfill, manual, asset_triggered, …
    data_interval_start : datetime or None
        Start of the run's data interval; a naive time is UTC.
    dag_id : str
        Whose run it is, for the remedy.

    Returns
    -------
    date

    Raises
    ------
    DateError
        If the parameter is not a date, or the run has neither parameter nor an interval of its own.
    """
    if dt:
        return parse_dt(dt)
    if run_type in _HAS_INTERVAL and data_interval_start is not None:
        start = data_interval_start if data_interval_start.tzinfo else data_interval_start.replace(tzinfo=UTC)
        return start.astimezone(UTC).date()
    raise DateError(
        f"{dag_id}: a {run_type} run must say which day it is about; it has no dt parameter",
        remedy=f'airflow dags trigger {dag_id} --conf \'{{"dt": "YYYY-MM-DD"}}\'',
    )


def parse_dt(text: str) -> date:
    """A day written ``YYYY-MM-DD``.

    Raises
    ------
    DateError
        If it is written otherwise, or there is no such day.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise DateError(f"dt must be a day written YYYY-MM-DD, got {text!r}")
    return day
