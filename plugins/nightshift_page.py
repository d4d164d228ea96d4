"""Nightshift in Airflow's navigation, and beside each DAG run.

Airflow loads every plugin in every component. Only an API server that is asked for the page imports it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

PREFIX = "/nightshift"
_BASE = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The page's application, imported when it is first asked."""
    from nightshift_dashboard.server import app

    await app(scope, receive, send)


class NightshiftPage(AirflowPlugin):
    """The page and the ways to it."""

    name = "nightshift"
    fastapi_apps = [{"app": application, "url_prefix": PREFIX, "name": "Nightshift"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Nightshift",
            "href": f"{_BASE}{PREFIX}/",
            "destination": "nav",
            "url_route": "nightshift",
            "icon": f"{_BASE}{PREFIX}/static/icon.svg",
            "nav_top_level": True,
        },
        {
            "name": "Night",
            "href": f"{_BASE}{PREFIX}/?dag={{DAG_ID}}&run={{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "nightshift-night",
            "icon": f"{_BASE}{PREFIX}/static/icon.svg",
        },
    ]
