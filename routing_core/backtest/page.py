"""The report as a page: one file, no script, no network, light or dark as the reader's system is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from zlib import crc32

from routing_core.backtest.comparisons import Comparison
from routing_core.backtest.plots import curves, gains
from routing_core.backtest.report import MEANINGS, TITLES, WORDS, cells, facts, sections, sentences
from routing_core.backtest.run import Backtest
from routing_core.backtest.stage import Order
from routing_core.route.verdict import Verdict

STYLE = """
:root { color-scheme: light dark; --paper: #fdfdfb; --ink: #1d2129; --muted: #68707c; --line: #d9dce1;
  --ours: #0b6bcb; --theirs: #b3541e; --best: #7a3fb0; --gain: #17693a; --loss: #a5281b; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --ink: #e7e9ec; --muted: #9aa3af; --line: #343a43;
  --ours: #6cb2ff; --theirs: #f0a06b; --best: #c79bf2; --gain: #74d69b; --loss: #ff9587; } }
body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 72rem; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; margin: 0 0 .5rem; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .4rem; }
p { max-width: 62rem; } figure { margin: 1rem 0; overflow-x: auto; } figcaption, .facts { color: var(--muted); }
svg { height: auto; max-width: 100%; min-width: 36rem; } li { margin: .2rem 0; }
details { margin: 1rem 0; } summary { cursor: pointer; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { border-bottom: 1px solid var(--line); padding: .2rem .45rem; text-align: right; }
th { color: var(--muted); font-weight: 600; vertical-align: bottom; white-space: normal; }
.text { text-align: left; } tr.mean td { font-weight: 600; }
.gain { color: var(--gain); } .loss { color: var(--loss); } .unmatched { color: var(--muted); }
"""
_CLASSES = {Verdict.GAIN: "gain", Verdict.LOSS: "loss", Verdict.UNMATCHED: "unmatched"}
_NUMBER = re.compile(r"[+-]?[\d.]+(e-?\d+)?|mean|\?|")


def write_page(backtest: Backtest, file: Path) -> None:
    """Write the report as one HTML file."""
    file.write_text(page(backtest), encoding="utf-8")


def page(backtest: Backtest) -> str:
    """The report as HTML."""
    found = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences(backtest))
    notes = "".join(f"<li>{escape(note)}</li>" for note in backtest.notes)
    body = "".join(_section(name, lines) for name, lines in sections(backtest.comparisons).items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>Backtest of {escape(Path(backtest.outcomes).name)}</title>'
        f"<style>{STYLE}</style></head><body><main><h1>What joint routing bought</h1>"
        f'<p class="facts"><strong>{escape(Path(backtest.outcomes).name)}</strong>: {escape(facts(backtest))}</p>'
        f"<ul>{found}</ul><ul class='facts'>{notes}</ul>{body}</main></body></html>\n"
    )


def _section(name: str, lines: Sequence[Comparison]) -> str:
    means = [line for line in lines if line.budget_usd is None]
    plots = _figure(gains(means, [_label(line) for line in means]), _caption(name))
    if name == "batch_vs_per_query":
        plots += _quality(lines)
    return (
        f'<section id="{name}"><h2>{escape(TITLES[name])}</h2><p>{escape(MEANINGS[name])}</p>{plots}'
        f"<details open><summary>Every cell</summary>{_table(lines)}</details></section>"
    )


def _caption(name: str) -> str:
    text = "Means over budgets; the axis is logarithmic beyond 5 %."
    return text + " Filled: at our spend. Hollow: per-query at its best." if name == "batch_vs_per_query" else text


def _quality(lines: Sequence[Comparison]) -> str:
    shown = {
        order.value: [x for x in lines if (x.order, x.caps, x.fallback) == (order.value, "none", "best_feasible")]
        for order in Order
    }
    return _figure(curves(shown), "Realised quality by budget, by the order queries come in; best-feasible, no caps.")


def _figure(svg: str, caption: str) -> str:
    """A plot with its caption; ids are made its own, since several share the page."""
    own = f"p{crc32(svg.encode()):08x}-"
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{own}", svg)
    return f'<figure role="img" aria-label="{escape(caption)}">{svg}<figcaption>{escape(caption)}</figcaption></figure>'


def _label(line: Comparison) -> str:
    if line.caps == "fleet":
        return "over " + line.name.removeprefix("allocation_vs_").replace("_", " ")
    parts = [WORDS[line.order], "" if line.caps == "none" else f"caps {WORDS[line.caps]}"]
    parts.append("" if line.fallback == "none" else WORDS[line.fallback])
    return ", ".join(part for part in parts if part)


def _table(lines: Sequence[Comparison]) -> str:
    head, rows = cells(lines)
    text = [not all(_NUMBER.fullmatch(row[k]) for row in rows) for k in range(len(head))]

    def entry(tag: str, k: int, value: str) -> str:
        names = ["text"] if text[k] else []
        names += [_CLASSES[verdict] for verdict in _CLASSES if value == verdict]
        return f'<{tag} class="{" ".join(names)}">{escape(value)}</{tag}>'

    top = "".join(entry("th", k, value) for k, value in enumerate(head))
    body = "".join(
        f"<tr{mean}>{''.join(entry('td', k, value) for k, value in enumerate(row))}</tr>"
        for mean, row in zip((" class=mean" if line.budget_usd is None else "" for line in lines), rows, strict=True)
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
