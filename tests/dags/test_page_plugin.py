"""The page's plugin: in Airflow's navigation, closed as a whole, and free of charge where nobody looks at it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

_LOAD = """
import sys, runpy
sys.path.insert(0, {plugins!r})
found = runpy.run_path({file!r}, run_name="plugin")["NightshiftPage"]
assert not [name for name in sys.modules if name.startswith(("nightshift_dashboard", "routing_core"))]
views = {{view["destination"]: view for view in found.external_views}}
assert set(views) == {{"nav", "dag_run"}}, views
app = found.fastapi_apps[0]["app"]
routes = app.routes
assert app.openapi_url is None and app.docs_url is None and app.redoc_url is None
only_get = [route for route in routes if route.path != "/{{path:path}}"]
assert all(route.methods == {{"GET"}} for route in only_get), routes
assert all(len(route.dependant.dependencies) >= 1 for route in routes), "a route without the login"
assert routes[-1].path == "/{{path:path}}"
"""


def test_the_plugin_imports_nothing_until_asked_and_every_route_is_get_and_behind_the_login(airflow_db: None):
    script = _LOAD.format(plugins=str(REPOSITORY / "plugins"), file=str(REPOSITORY / "plugins" / "nightshift_page.py"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_airflow_reads_one_plugin_file_of_ours_and_leaves_the_application_alone():
    assert (REPOSITORY / "plugins" / ".airflowignore").read_text().split() == ["nightshift_dashboard/"]


def test_every_asset_is_in_the_package_and_asks_nobody_else():
    folder = REPOSITORY / "plugins" / "nightshift_dashboard" / "static"
    for name in ("index.html", "page.js", "charts.js", "sections.js", "style.css", "icon.svg"):
        content = (folder / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in content, name
        assert "https://" not in content, name
        assert "innerHTML" not in content, name
    assert (folder / "vendor" / "echarts.LICENSE").exists()
