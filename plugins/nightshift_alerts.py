"""Telling somebody: by Airflow's own log and metrics, and by a webhook where one is set (``alert_webhook``).

A failed task and a night that is late come here by Airflow's callbacks; what a night's figures give cause for comes
from the tasks that made them. Telling never fails a task.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

from routing_core.log import say

if TYPE_CHECKING:
    from routing_core.steps.watch import Alert

_PATIENCE_SECONDS = 10.0


def late_after() -> timedelta | None:
    """How long after it was queued a run is late; None where nothing is set, or the settings cannot be read."""
    from routing_core.errors import SettingsError
    from routing_core.settings import load_settings

    try:
        hours = load_settings().late_after_hours
    except SettingsError:
        return None
    return None if hours is None else timedelta(hours=hours)


def tell(alerts: Iterable[Alert], **about: Any) -> None:
    """Tell what a night's figures give cause for."""
    for alert in alerts:
        tell_one(alert.kind, alert.words, **about)


def failed(context: Any) -> None:
    """A task has failed for good: Airflow's ``on_failure_callback``."""
    from routing_core.errors import masked

    ti, error = context["ti"], context.get("exception")
    why = masked(f"{type(error).__name__}: {error}")[:500] if error else "without a word"
    tell_one("failed", f"{ti.dag_id}.{ti.task_id} failed: {why}", dag_run=ti.run_id)


async def late(context: Any, **about: Any) -> None:
    """A run is not done when it should be: the callback of its ``DeadlineAlert``, in the triggerer."""
    name = context["dag_run"]["dag_run_id"]  # of a deadline Airflow gives what its REST API says of a run
    tell_one("late", f"{about.get('dag_id')} is not done {about.get('after')} after it was queued", dag_run=name)


def tell_one(kind: str, words: str, **about: Any) -> None:
    """Log it, count it as ``nightshift.alerts.<kind>``, and post it to the webhook; what goes wrong is logged alone."""
    say(f"alert: {words}", level=logging.WARNING, kind=kind, **about)
    try:
        _count(kind)
        _post({"kind": kind, "text": words, **about})
    except Exception as error:
        say("the alert could not be passed on", level=logging.WARNING, kind=kind, error=type(error).__name__)


def _count(kind: str) -> None:
    from airflow.sdk.observability import stats

    stats.incr(f"nightshift.alerts.{kind}")


def _post(message: dict[str, Any]) -> None:
    from routing_core.settings import load_settings

    url = load_settings().alert_webhook.get_secret_value()
    if not url.startswith(("https://", "http://")):
        return
    body = json.dumps(message, default=str).encode()
    request = Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310 — checked above
    with urlopen(request, timeout=_PATIENCE_SECONDS):  # noqa: S310
        pass
