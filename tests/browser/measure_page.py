"""How long the page takes on a year of large nights: ``.venv/bin/python tests/browser/measure_page.py``.

Prints the rows of tests/benchmarks/dashboard.md. Not a test: times of a shared machine hold nothing up.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from chromium import CHROMIUM, FLAGS
from playwright.sync_api import sync_playwright

from routing_core.bench.dashboard import LAST, make_year, measure
from routing_core.demo.airflow import COMPONENTS, AirflowError, LocalAirflow, local_airflow
from routing_core.settings import load_settings

REPEATS = 7
SHOWN = "performance.getEntriesByName('nightshift-shown')[0].startTime"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="nightshift-year-") as folder:
        settings = load_settings(home=Path(folder), dsn="", catalog=None, outcomes="", backlog="")
        make_year(settings)
        for what, seconds in measure(settings).items():
            print(f"| {what}, from SQL | {1000 * seconds:.0f} ms |")
        parts = {"api-server": COMPONENTS["api-server"]}
        with local_airflow(settings.home, components=parts, ready=answers) as airflow, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            for span in ("30", "366"):
                times = look(browser, airflow, span)
                middle, fastest, slowest = statistics.median(times), min(times), max(times)
                print(
                    f"| page interactive, {span} nights shown, in Chromium | "
                    f"{middle:.0f} ms (median of {len(times)}; {fastest:.0f} to {slowest:.0f}) |"
                )
            browser.close()


def answers(airflow: LocalAirflow) -> bool:
    try:
        return bool(airflow.request("GET", "/api/v2/version"))
    except (AirflowError, OSError):
        return False


def look(browser: Any, airflow: LocalAirflow, span: str) -> list[float]:
    """Times from asking for the page until its figures and first charts are there, ms; the first, cold one left out."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(airflow.url)
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", airflow.password)
    page.click("button[type=submit]")
    page.wait_for_url(re.compile(r"^(?!.*/auth/login).*$"))
    times = []
    for _ in range(REPEATS + 1):
        page.goto(f"{airflow.url}/nightshift/?dt={LAST}&span={span}")
        page.wait_for_selector(f"html[data-shown='{LAST}']")
        times.append(float(page.evaluate(SHOWN)))
        page.wait_for_selector("#utilisation .chart canvas")
    context.close()
    return times[1:]


if __name__ == "__main__":
    main()
