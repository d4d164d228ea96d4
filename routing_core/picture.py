"""A night as one picture, for mail: the headline, spend against budget, decisions, and how full the models were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, RED, SKY, GREY = "#0072B2", "#E69F00", "#D55E00", "#56B4E9", "#6b7580"
"""Okabe and Ito's colours, safe for colour-blind eyes."""


def save_night(report: Mapping[str, Any], span: Mapping[str, Any], file: Path) -> None:
    """Write the picture of a night.

    Parameters
    ----------
    report : mapping
        As ``steps.read.night_report`` returns it.
    span : mapping
        As ``steps.read.nights`` returns it: the range shown beside the night.
    file : Path
        Of a kind that matplotlib writes, such as ``.png``.
    """
    figure = Figure(figsize=(11, 8), layout="constrained", dpi=110)
    figure.suptitle(_headline(report["night"]), fontsize=11, ha="left", x=0.02, parse_math=False)
    spend, decisions, quality, models = figure.subplots(2, 2).flat
    _spend(spend, span["nights"])
    _decisions(decisions, span["nights"])
    _quality(quality, span["nights"])
    _models(models, report["utilisation"])
    figure.savefig(file)


def _headline(night: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{name} {night[name]:,}" for name in ("assigned", "deferred", "rejected"))
    money = f"planned ${night['planned_spend_usd'] or 0:,.4f} of ${night['budget_usd']:,.2f}"
    return (
        f"Night of {night['dt']}, run {night['run_id']}: {counts}\n"
        f"{money}, expected quality {night['expected_quality'] or 0:.4f}"
    )


def _numbers(nights: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [float("nan") if night[name] is None else float(night[name]) for night in nights]


def _spend(axes: Axes, nights: Sequence[Mapping[str, Any]]) -> None:
    axes.plot(_numbers(nights, "budget_usd"), color=GREY, linestyle="--", marker="_", label="budget")
    axes.plot(_numbers(nights, "planned_spend_usd"), color=BLUE, marker="o", markersize=3, label="planned")
    axes.plot(_numbers(nights, "projected_spend_usd"), color=RED, marker="D", markersize=4, label="actual, projected")
    axes.set_ylim(bottom=0)
    _finish(axes, "Spend, USD", nights)


def _decisions(axes: Axes, nights: Sequence[Mapping[str, Any]]) -> None:
    below = [0.0] * len(nights)
    for name, colour, hatch in (("assigned", BLUE, ""), ("deferred", ORANGE, "//"), ("rejected", RED, "..")):
        values = [float(night[name] or 0) for night in nights]
        axes.bar(range(len(nights)), values, bottom=below, color=colour, hatch=hatch, label=name)
        below = [low + value for low, value in zip(below, values, strict=True)]
    _finish(axes, "Queries", nights)


def _quality(axes: Axes, nights: Sequence[Mapping[str, Any]]) -> None:
    axes.plot(_numbers(nights, "expected_quality"), color=BLUE, marker="o", markersize=3, label="expected")
    axes.plot(_numbers(nights, "realised_quality"), color=RED, marker="D", markersize=4, label="realised")
    _finish(axes, "Quality", nights)


def _models(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    limited = [row for row in rows if row["utilisation"] is not None][::-1]
    axes.barh([row["model"] for row in limited], [100 * row["utilisation"] for row in limited], color=SKY)
    axes.set_xlim(0, 100)
    axes.set_title("Capacity used, %", loc="left", fontsize=10)


def _finish(axes: Axes, title: str, nights: Sequence[Mapping[str, Any]]) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    step = max(1, len(nights) // 5)
    places = range(0, len(nights), step)
    axes.set_xticks(list(places), [str(nights[place]["dt"]) for place in places], fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlim(-1, max(len(nights), 2))
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
