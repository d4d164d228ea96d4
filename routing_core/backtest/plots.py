"""Plots of a backtest as SVG that takes its colours from the page, and so is light or dark with it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from routing_core.backtest.comparisons import Comparison, Margin
from routing_core.backtest.report import WORDS
from routing_core.route.verdict import Verdict

INK, MUTED, OURS, THEIRS, BEST = "#010203", "#010204", "#010205", "#010206", "#010207"
"""Colours that no page shows: each is replaced by a variable of the page."""
VARIABLES = {INK: "--ink", MUTED: "--muted", OURS: "--ours", THEIRS: "--theirs", BEST: "--best"}
LINEAR = 5.0
"""Gain, percent, up to which the axis is linear; logarithmic beyond."""
TICKS = (-50, -20, -10, -5, -2, 0, 2, 5, 10, 20, 50, 100, 300)
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "nightshift",
    "font.family": "sans-serif",
    "font.sans-serif": ["system-ui", "DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": MUTED,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
}


def gains(lines: Sequence[Comparison], labels: Sequence[str]) -> str:
    """Gains with two standard errors, a row a line; hollow where the opponent is at its best."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 0.9 + 0.34 * len(lines)), layout="constrained")
        axes = figure.subplots()
        for y, line in enumerate(lines):
            if line.at_their_best is not None:
                _point(axes, y + 0.18, line.at_their_best, BEST, hollow=True)
                _point(axes, y - 0.14, line.margin, OURS, hollow=False)
            else:
                _point(axes, y, line.margin, OURS, hollow=False)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_yticks(range(len(lines)), labels)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        _percent_axis(axes, [m for line in lines for m in (line.margin, line.at_their_best) if m is not None])
        axes.grid(axis="x")
        return _svg(figure)


def _point(axes: Axes, y: float, margin: Margin, colour: str, *, hollow: bool) -> None:
    if margin.gain_pct is None:
        return
    shown = MUTED if margin.verdict == Verdict.UNMATCHED else colour
    axes.errorbar(
        margin.gain_pct,
        y,
        xerr=2 * (margin.stderr_pct or 0.0),
        fmt="o",
        color=shown,
        markerfacecolor="none" if hollow else shown,
        markersize=6,
        capsize=3,
        linewidth=1.4,
    )


def _percent_axis(axes: Axes, margins: Sequence[Margin]) -> None:
    known = [(margin.gain_pct, 2 * (margin.stderr_pct or 0)) for margin in margins if margin.gain_pct is not None]
    low = min((gain - error for gain, error in known), default=0.0)
    high = max((gain + error for gain, error in known), default=0.0)
    axes.set_xscale("symlog", linthresh=LINEAR)
    axes.set_xlim(min(1.15 * low, -1.5), max(1.15 * high, 1.5))
    left, right = axes.get_xlim()
    shown = [tick for tick in TICKS if left <= tick <= right]
    axes.set_xticks(shown, [f"{tick:+d}" if tick else "0" for tick in shown])
    axes.minorticks_off()
    axes.set_xlabel("gain in realised quality, %, ± 2 standard errors")


def curves(by_order: Mapping[str, Sequence[Comparison]]) -> str:
    """Realised quality by budget, a panel an order: ours, per-query at our spend, per-query at its best."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 3.4), layout="constrained")
        panels = figure.subplots(1, len(by_order), sharey=True, squeeze=False)[0]
        for axes, (order, lines) in zip(panels, by_order.items(), strict=True):
            _curve(axes, order, [line for line in lines if line.budget_usd is not None])
        panels[0].set_ylabel("realised quality per query")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3)
        return _svg(figure)


def _curve(axes: Axes, order: str, lines: Sequence[Comparison]) -> None:
    budget = [line.budget_usd or 0.0 for line in lines]
    axes.plot(budget, [line.margin.ours for line in lines], "o-", color=OURS, label="joint, each batch as one")
    axes.plot(budget, [line.margin.theirs for line in lines], "s--", color=THEIRS, label="per-query at our spend")
    best = [line.at_their_best.theirs if line.at_their_best else float("nan") for line in lines]
    axes.plot(budget, best, "^:", color=BEST, label="per-query at its best, spending less")
    axes.set_xscale("log")
    axes.set_xticks(budget, [f"{1e3 * usd:g}" for usd in budget])
    axes.minorticks_off()
    axes.set_xlabel("USD per 1000 queries")
    axes.set_title(WORDS[order])
    axes.grid()


def _svg(figure: Figure) -> str:
    """The figure as an SVG element whose colours are the page's."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text
