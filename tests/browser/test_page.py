"""The page in a real browser against a running Airflow: its figures are the database's, and nobody else sees them."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nightshift_site import NIGHTS, RUN, TONIGHT, Site
from sqlalchemy import text

from routing_core.store.database import reading

pytestmark = pytest.mark.browser

ENDPOINTS = [
    "",
    "static/page.js",
    "static/vendor/echarts.min.js",
    "static/../server.py",
    "api/extent",
    "api/nights?first=2026-11-20&last=2026-11-22",
    "api/nights/2026-11-22",
    "api/nights/2026-11-22/batches",
    "api/nights/2026-11-22/frontier",
    "api/queries?query_id=x",
    "api/runs?dag=route_backlog&run=x",
    "docs",
    "openapi.json",
    "nothing-here",
]
METHODS = ["POST", "PUT", "PATCH", "DELETE"]


def answer(url: str, method: str = "GET", token: str | None = None) -> tuple[int, dict[str, str], bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = None if method == "GET" else b"{}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body, method=method, headers=headers)) as got:
            return got.status, dict(got.headers), got.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def token(site: Site, user: str) -> str:
    body = json.dumps({"username": user, "password": site.password(user)}).encode()
    request = urllib.request.Request(
        f"{site.airflow.url}/auth/token", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as got:
        return str(json.load(got)["access_token"])


def one(site: Site, query: str) -> Any:
    with reading(site.settings) as connection:
        return connection.execute(text(query)).mappings().one()


@pytest.mark.parametrize("path", ENDPOINTS)
def test_without_login_every_endpoint_refuses_every_method(site: Site, path: str):
    for method in ("GET", *METHODS):
        assert answer(site.page + path, method)[0] in (401, 403), method


@pytest.mark.parametrize("path", ENDPOINTS)
def test_without_permission_every_endpoint_is_forbidden(site: Site, path: str):
    nobody = token(site, "nobody")
    for method in ("GET", *METHODS):
        assert answer(site.page + path, method, nobody)[0] == 403, method
    assert answer(site.page + path, token="not.a.token")[0] in (401, 403)


def test_with_permission_figures_come_and_nothing_can_be_written(site: Site):
    admin = token(site, "admin")
    before = one(site, "SELECT count(*) AS runs, max(run_id) AS newest FROM routing_runs")
    for path in ENDPOINTS:
        code, headers, _ = answer(site.page + path, token=admin)
        expected = 404 if path in ("docs", "openapi.json", "nothing-here", "static/../server.py") else 200
        if path.endswith("=x"):
            expected = 404
        assert code == expected, path
        assert "unsafe" not in headers["content-security-policy"]
        for method in METHODS:
            assert answer(site.page + path, method, admin)[0] == 405, (method, path)
    assert one(site, "SELECT count(*) AS runs, max(run_id) AS newest FROM routing_runs") == before


def test_wrong_questions_are_refused_by_name(site: Site):
    admin = token(site, "admin")
    for path, code in {
        "api/nights/2026-13-45": 422,
        "api/nights/1999-01-01": 404,
        "api/nights?first=2026-11-22&last=2026-11-20": 422,
        "api/nights?first=1000-01-01&last=2026-11-20": 422,
        "api/queries?query_id=%27%20OR%201%3D1%20--": 404,
        "api/queries?query_id=": 422,
    }.items():
        got, _, body = answer(site.page + path, token=admin)
        assert (got, "detail" in json.loads(body)) == (code, True), path


@pytest.fixture
def seen(site: Site, chromium: Any) -> Iterator[tuple[Any, list[str]]]:
    """A page of somebody logged in, and what the browser complains of."""
    context = chromium.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(90_000)
    page.goto(site.airflow.url)
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", site.password("admin"))
    page.click("button[type=submit]")
    page.wait_for_url(re.compile(r"^(?!.*/auth/login).*$"))
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page, complaints
    context.close()


def whole_page(page: Any, site: Site, dt: Any) -> None:
    """The page by itself, with its slow sections there."""
    page.goto(f"{site.page}?dt={dt}")
    page.wait_for_selector(f"html[data-shown='{dt}']")
    page.wait_for_selector("#utilisation .chart canvas")
    page.wait_for_selector("#frontier .chart canvas")
    page.wait_for_selector("#waiting .chart canvas")


def value(frame: Any, name: str) -> float:
    return float(frame.get_attribute(f"#figure-{name}", "data-value"))


def test_from_login_to_the_figures_of_another_date_and_the_run_behind_them(
    site: Site, seen: tuple[Any, list[str]], tmp_path: Path
):
    page, complaints = seen
    page.goto(site.airflow.url)
    page.get_by_role("link", name="Nightshift", exact=True).first.click()
    frame = page.wait_for_selector("iframe[title=Nightshift]").content_frame()
    for dt in (TONIGHT, NIGHTS[0]):
        frame.fill("#dt", dt.isoformat())
        frame.dispatch_event("#dt", "change")
        frame.wait_for_selector(f"html[data-shown='{dt}']")
        page.screenshot(path=Path(os.environ.get("NIGHTSHIFT_SCREENSHOTS", tmp_path)) / "in-airflow.png")
        row = one(site, f"SELECT * FROM nights WHERE dt = '{dt}'")
        for name in ("assigned", "deferred", "rejected"):
            assert value(frame, name) == row[name]
        assert value(frame, "spend") == pytest.approx(row["planned_spend_usd"], abs=1e-12)
        assert value(frame, "quality") == pytest.approx(row["expected_quality"], abs=1e-12)
        sums = one(site, f"SELECT sum(planned_spend_usd) AS usd, sum(assigned) AS n FROM nights WHERE dt <= '{dt}'")
        assert float(frame.get_attribute("#totals", "data-spend")) == pytest.approx(sums["usd"], abs=1e-12)
        assert float(frame.get_attribute("#totals", "data-assigned")) == sums["n"]
    used = one(
        site, f"SELECT model, assigned FROM utilisation WHERE dt = '{NIGHTS[0]}' ORDER BY assigned DESC, model LIMIT 1"
    )
    first = frame.locator("#utilisation table").first.locator("tbody tr").first.inner_text().split("\t")
    assert (first[0], first[2]) == (used["model"], f"{used['assigned']:,}")
    frame.click("#dag-run")
    page.wait_for_url(f"**/dags/route_backlog/runs/{RUN.format(dt=NIGHTS[0])}**")
    page.get_by_role("link", name="Night", exact=True).first.click()
    frame = page.wait_for_selector("iframe[title=Night]").content_frame()
    frame.wait_for_selector(f"html[data-shown='{NIGHTS[0]}']")
    assert [one for one in complaints if "nightshift" in one or "Content Security" in one] == []


def test_a_query_is_explained_as_the_command_line_does(site: Site, seen: tuple[Any, list[str]]):
    from routing_core.steps.why import explain

    page, complaints = seen
    whole_page(page, site, TONIGHT)
    row = one(site, f"SELECT max(query_id) AS id FROM assignments WHERE dt = '{TONIGHT}'")
    page.fill("#query-id", row["id"])
    page.keyboard.press("Enter")
    page.wait_for_selector("#explanation table")
    assert explain(row["id"], site.settings, TONIGHT)["words"] in page.inner_text("#explanation")
    assert complaints == []


def test_empty_and_failing_states_say_what_to_do(site: Site, seen: tuple[Any, list[str]]):
    page, _ = seen
    page.goto(f"{site.page}?dt=2026-10-01")
    page.wait_for_selector("html[data-shown='2026-10-01']")
    assert "routing route --dt 2026-10-01" in page.inner_text("#state")
    page.route("**/api/nights/**", lambda route: route.abort())
    page.click("#later")
    page.wait_for_selector("#state.error")
    assert "cannot be reached" in page.inner_text("#state")


@pytest.mark.parametrize(("theme", "width"), [("light", 1400), ("dark", 1400), ("light", 380)])
def test_the_page_is_accessible_and_says_no_error(
    site: Site, seen: tuple[Any, list[str]], theme: str, width: int, tmp_path: Path
):
    from axe_playwright_python.sync_playwright import Axe

    page, complaints = seen
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 1000})
    whole_page(page, site, TONIGHT)
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    folder = Path(os.environ.get("NIGHTSHIFT_SCREENSHOTS", tmp_path))
    page.screenshot(path=folder / f"page-{theme}-{width}.png", full_page=True)
    assert complaints == []
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    found = Axe().run(page).response["violations"]
    serious = [f"{v['id']}: {v['nodes'][0]['html']}" for v in found if v["impact"] in ("serious", "critical")]
    assert serious == []


def test_every_control_is_reached_and_worked_by_keyboard(site: Site, seen: tuple[Any, list[str]]):
    page, _ = seen
    whole_page(page, site, TONIGHT)
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"earlier", "dt", "later", "span", "dag-run", "query-id", "SUMMARY"} <= set(reached)
    page.focus("#earlier")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"html[data-shown='{NIGHTS[0]}']")
