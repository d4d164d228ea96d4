"""The report as Markdown: what was found in sentences, the means over budgets, then every cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from routing_core.backtest.comparisons import Comparison, Margin
from routing_core.backtest.run import Backtest
from routing_core.route.verdict import Verdict

TITLES = {
    "batch_vs_per_query": "Batch against per-query",
    "robust_vs_point": "Robust against point",
    "planned_vs_arrival": "Planned nights against batches as they come",
    "allocation": "Optimised fleet against naive ones",
}
MEANINGS = {
    "batch_vs_per_query": "Each batch solved jointly, against one query at a time by a·quality − (1 − a)·cost; same "
    "estimates, same budget and capacities in every batch. A query whose first choice is full, or would leave too "
    "little to serve the rest of its batch with the cheapest models, falls back. «Ours» and «theirs» are at matched "
    "spend: a is bisected until mean realised spend is ours. «At best» a is chosen in hindsight for most quality "
    "at no more spend than ours, and our budget is cut to that spend: a per-query router made to spend all that a plan "
    "can put to use may do worse than one that spends less.",
    "robust_vs_point": "The tenth percentile of the estimate planned with, against its mean; same predictor and "
    "solver, batches as they come.",
    "planned_vs_arrival": "The night as one problem with the budget and capacities of all its batches, against each "
    "batch by itself. Planned objective per query at the same budget; realised quality at matched spend.",
    "allocation": "Instances chosen by the joint program on out-of-fold estimates of the past, against naive policies "
    "with the same GPUs; batches in random order, routed by the same solver.",
}
WORDS = {
    "none": "–",
    "cheapest_feasible": "cheapest feasible",
    "best_feasible": "best feasible",
    "unserved": "unserved",
    "random": "random",
    "task": "by task",
    "length": "by length",
    "predicted_spend": "by predicted spend",
    "twice_even": "twice even",
    "fleet": "fleet",
}


def kind(line: Comparison) -> str:
    """The section a line belongs to."""
    return "allocation" if line.name.startswith("allocation") else line.name


def sections(lines: Iterable[Comparison]) -> dict[str, list[Comparison]]:
    """Lines by section, sections in the order of the titles."""
    found: dict[str, list[Comparison]] = {name: [] for name in TITLES}
    for line in lines:
        found[kind(line)].append(line)
    return {name: group for name, group in found.items() if group}


def sentences(backtest: Backtest) -> list[str]:
    """What was found, one sentence for each mean over budgets that people ask for first, section by section."""
    means = [line for line in backtest.comparisons if line.budget_usd is None]
    return [
        _sentence(line)
        for group in sections(means).values()
        for line in group
        if (line.caps in ("none", "fleet")) and line.fallback in ("none", "best_feasible")
    ]


def _sentence(line: Comparison) -> str:
    of = {
        "batch_vs_per_query": "Batch over per-query (best-feasible fallback)",
        "robust_vs_point": "Robust over point",
        "planned_vs_arrival": "Planned over arrival batching",
    }
    name = of.get(line.name, f"Optimised fleet over {line.name.removeprefix('allocation_vs_').replace('_', ' ')}")
    text = f"{name}, {WORDS[line.order]}: {_claim(line.margin)}"
    if line.at_their_best is not None:
        text += f"; against per-query at its best, {_claim(line.at_their_best)}"
    return text + "."


def _claim(margin: Margin) -> str:
    """A gain in words that claim no more than the verdict does."""
    figure = f"{_gain(margin)} % ± {_error(margin)}"
    if margin.verdict == Verdict.GAIN:
        return figure
    if margin.verdict == Verdict.NO_GAIN:
        return f"no gain ({figure})"
    return f"{margin.verdict} ({figure})"


def _gain(margin: Margin) -> str:
    return "?" if margin.gain_pct is None else f"{margin.gain_pct:+.2f}"


def _error(margin: Margin) -> str:
    return "?" if margin.stderr_pct is None else f"{margin.stderr_pct:.2f}"


def render(backtest: Backtest) -> str:
    """The whole report as Markdown."""
    parts = ["# Backtest", facts(backtest), *(f"- {note}" for note in backtest.notes), "", "## What was found", ""]
    parts += [f"- {sentence}" for sentence in sentences(backtest)]
    for name, lines in sections(backtest.comparisons).items():
        parts += ["", f"## {TITLES[name]}", "", MEANINGS[name], "", *table(lines)]
    return "\n".join(parts) + "\n"


def facts(backtest: Backtest) -> str:
    """What was replayed, in a sentence or two."""
    return (
        f"{backtest.queries} queries × {backtest.models} models; {len(backtest.nights)} nights replayed, predictors "
        f"fitted before each on what was known; batches of {backtest.batch}; {len(backtest.seeds)} seeds. Quality is "
        "what was realised per query, an unserved one 0; ± is one standard error, paired and clustered by query; a "
        "gain within two of them is no gain. Means are over budgets.\n"
    )


def table(lines: Sequence[Comparison]) -> list[str]:
    """Lines as a Markdown table."""
    head, rows = cells(lines)
    align = ["---" if k < head.index("USD per query") else "--:" for k in range(len(head))]
    return [f"| {' | '.join(row)} |" for row in (head, align, *rows)]


def cells(lines: Sequence[Comparison]) -> tuple[list[str], list[list[str]]]:
    """A section's heading and rows, every line one row, as text."""
    section = kind(lines[0])
    head = ["order", "caps", "USD per query", "ours", "theirs", "gain, %", "±", "spend ratio", "verdict"]
    rows = [[WORDS[line.order], WORDS[line.caps], _budget(line), *_figures(line.margin)] for line in lines]
    if section == "allocation":
        head = ["fleet of", *head[2:]]
        rows = [
            [line.name.removeprefix("allocation_vs_").replace("_", " "), *row[2:]]
            for line, row in zip(lines, rows, strict=True)
        ]
    if section == "batch_vs_per_query":
        head = [*head[:2], "fallback", *head[2:], "at best: ours", "theirs", "gain, %", "±", "verdict"]
        rows = [[*row[:2], WORDS[line.fallback], *row[2:], *_best(line)] for line, row in zip(lines, rows, strict=True)]
    if section == "planned_vs_arrival":
        head = [*head, "planned: ours", "theirs"]
        rows = [[*row, *_planned(line)] for line, row in zip(lines, rows, strict=True)]
    return head, rows


def _budget(line: Comparison) -> str:
    return "mean" if line.budget_usd is None else f"{line.budget_usd:g}"


def _figures(margin: Margin) -> list[str]:
    return [
        f"{margin.ours:.4f}",
        f"{margin.theirs:.4f}",
        _gain(margin),
        _error(margin),
        f"{margin.spend_ratio:.3f}",
        margin.verdict,
    ]


def _best(line: Comparison) -> list[str]:
    if line.at_their_best is None:
        return [""] * 5
    ours, theirs, gain, error, _, verdict = _figures(line.at_their_best)
    return [ours, theirs, gain, error, verdict]


def _planned(line: Comparison) -> list[str]:
    return ["", ""] if line.planned is None else [f"{value:.5f}" for value in line.planned]
