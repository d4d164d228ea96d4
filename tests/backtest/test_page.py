"""The report page: one file, every cell, and what a real browser makes of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from small_histories import made_up_backtest

from routing_core.backtest.page import page, write_page


def test_the_page_stands_alone_and_holds_every_cell() -> None:
    """No address outside itself, no script; a table row for each line; the same for the same backtest."""
    found = made_up_backtest()
    html = page(found)
    links = [link for link in re.findall(r'(?:src|href)="([^"]*)"', html) if not link.startswith(("#", "data:"))]
    assert not links
    assert "<script" not in html
    assert "@import" not in html
    assert "a &lt;file&gt;.parquet" in html
    assert "a <file>" not in html
    assert html.count("<tr") == len(found.comparisons) + 4
    assert page(found) == html


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_real_browser_draws_it_without_the_network(tmp_path: Path, chromium: Any, scheme: str) -> None:
    """Plots have a size and the page's colours, nothing is asked of a network, and nothing overflows sideways."""
    file = tmp_path / "report.html"
    write_page(made_up_backtest(), file)
    tab = chromium.new_page(color_scheme=scheme, viewport={"width": 1280, "height": 900})
    asked, wrong = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: wrong.append(message.text))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.goto(file.as_uri())
    sizes = [plot.bounding_box() for plot in tab.locator("figure svg").all()]
    colours = tab.evaluate(
        "() => [getComputedStyle(document.body).backgroundColor,"
        " getComputedStyle(document.querySelector('svg text')).fill]"
    )
    wide = tab.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    tab.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
    tab.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert wrong == []
    assert len(sizes) == 5
    assert all(size and size["width"] > 500 and size["height"] > 60 for size in sizes)
    light = [sum(int(part) for part in re.findall(r"\d+", colour)[:3]) > 382 for colour in colours]
    assert light == [scheme == "light", scheme == "dark"]
    assert wide == 0
