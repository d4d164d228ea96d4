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


class Application:
    """The page's application, imported when it is first asked for anything."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as the application does."""
        await _imported()(scope, receive, send)

    def __getattr__(self, name: str) -> Any:
        """Its routes, and whatever else an API server asks of an application."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_imported(), name)


def _imported() -> Any:
    from nightshift_dashboard.server import app

    return app


class NightshiftPage(AirflowPlugin):
    """The page and the ways to it."""

    name = "nightshift"
    fastapi_apps = [{"app": Application(), "url_prefix": PREFIX, "name": "Nightshift"}]  # noqa: RUF012
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
