"""A night as tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from io import StringIO
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from routing_core.settings import Settings

_COUNTS = {"routed": "assigned", "deferred": "deferred", "rejected": "rejected"}

_QUERIES = {
    "What each model costs tonight": "SELECT model, sum(queries) AS queries, sum(planned_spend_usd) AS usd "
    "FROM spend WHERE dt = '{dt}' GROUP BY model ORDER BY usd DESC;",
    "Why queries wait": "SELECT cause, task, queries FROM deferrals WHERE dt = '{dt}' ORDER BY queries DESC;",
    "What broke": "SELECT q.partition, q.row, q.reason, q.detail FROM rejected_queries AS q "
    "JOIN nights AS n ON n.run_id = q.run_id WHERE n.dt = '{dt}';",
}


def show_night(
    report: Mapping[str, Any], settings: Settings, *, queries: bool = False, to: Console | None = None
) -> None:
    """Print a night's report.

    Parameters
    ----------
    report : mapping
        As ``steps.read.night_report`` returns it.
    settings : Settings
    queries : bool
        Whether to close with queries to try.
    to : Console, optional
    """
    console = to or Console()
    night = report["night"]
    console.print(Panel(_headline(night), title=f"Night of {night['dt']}, run {night['run_id']}", expand=False))
    for words in report["alerts"]:
        console.print(f"[bold yellow]attention:[/] {escape(words)}")
    console.print(_utilisation(report["utilisation"]))
    for title, rows, columns in _more_tables(report):
        if rows:
            console.print(_plain_table(title, rows, columns))
    console.print(_comparisons(report["comparisons"]))
    for row in report["prices"]:
        if row["binding"]:
            console.print(f"  [bold]•[/] {row['words']}")
    for title, rows, label in (
        ("Left to the next night", report["deferrals"], ("cause", "task")),
        ("Rejected", report["rejections"], ("reason", "partition")),
    ):
        if rows:
            console.print(_counts(title, rows, label))
    for name in ("overspend", "verdict", "fleet", "held"):
        if report[name]:
            console.print(f"[dim]{name}:[/] {report[name]}")
    console.print(f"[dim]settlement:[/] {_settlement(report['settled'])}")
    console.print(f"[dim]results database:[/] {_shown_database(settings)}")
    if queries:
        _show_queries(console, night["dt"], settings)


def night_as_html(report: Mapping[str, Any], settings: Settings) -> str:
    """What :func:`show_night` prints, as one HTML document that needs nothing beside it."""
    console = Console(record=True, width=120, file=StringIO())
    show_night(report, settings, to=console)
    return console.export_html(inline_styles=True)


def rows(found: Sequence[Mapping[str, Any]]) -> str:
    """Rows of an answer as a table, or that there are none."""
    if not found:
        return "no rows"
    return _text(_plain_table("", found, list(found[0])))


def what_if(found: Mapping[str, Any]) -> str:
    """The points of ``steps.what_if`` as a table, and what the next of each is worth."""
    table = _table(
        f"Night of {found['dt']}, planned again (* is on the frontier)",
        *("budget, USD", "GPUs", "served", "spend, USD", "expected quality", "objective", "next USD adds", ""),
        text_columns=0,
    )
    for point in found["points"]:
        table.add_row(
            f"{point['budget_usd']:.4g}",
            "as it was" if point["gpus"] is None else str(point["gpus"]),
            f"{point['served']:,}",
            f"{point['planned_spend_usd']:.4f}",
            f"{point['expected_quality']:.4f}",
            f"{point['objective']:,.2f}",
            f"{point['next_dollar']:.4g}",
            "*" if point["efficient"] else "",
        )
    worth = found["next"]
    lines = [f"As it was, one more USD would add {worth['dollar']:.4g} of quality"]
    for what, key in (("slot in the night", "slot"), ("instance", "instance")):
        lines += [f"  one more {what} of {name}: {value:.4g}" for name, value in worth[key].items() if value > 0]
    return "\n".join([_text(table), *lines])


def why(found: Mapping[str, Any]) -> str:
    """The answer of ``steps.why`` in words, and its candidates as a table."""
    lines = [f"{found['query_id']} on {found['dt']}: {found['decision']}, {found['words']}"]
    if found["candidates"]:
        table = _table("Candidates, best first", "model", "quality", "planned", "cost, USD", "price", "worth", "")
        for one in found["candidates"]:
            worth = (
                ("not eligible" if not one["eligible"] else "closed") if one["worth"] is None else f"{one['worth']:.4f}"
            )
            table.add_row(
                one["model"],
                f"{one['mean_quality']:.4f}",
                f"{one['planned_quality']:.4f}",
                f"{one['cost_usd']:.6f}",
                f"{one['price']:.4f}",
                worth,
                "chosen" if one["chosen"] else "",
            )
        lines.append(_text(table))
    return "\n".join(lines)


def _text(table: Table) -> str:
    console = Console(width=140, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip()


def _headline(night: Mapping[str, Any]) -> str:
    budget, spend = night["budget_usd"], night["planned_spend_usd"]
    share = f" ({100 * spend / budget:.1f} %)" if budget else ""
    lines = [
        "   ".join(f"{what} [bold]{night[count]:,}[/]" for what, count in _COUNTS.items()),
        f"planned spend [bold]${spend:,.4f}[/] of ${budget:,.2f}{share}, after a margin of {night['cost_margin']:.3f}",
        f"expected quality [bold]{night['expected_quality'] or 0:.4f}[/], objective {night['objective']:,.2f}",
        f"proven to be at most {100 * night['gap']:.2g} % from the optimum ({night['solver_status']})",
    ]
    if night["degraded"]:
        lines.append(f"[yellow]went on without: {night['degraded']}[/]")
    if night["sealed"]:
        lines.append("[yellow]sealed: the plan has been handed out[/]")
    return "\n".join(lines)


def _utilisation(rows: Iterable[Mapping[str, Any]]) -> Table:
    table = _table("Models", "model", "instances", "queries", "capacity", "used", "spend, USD")
    for row in rows:
        used = "" if row["utilisation"] is None else f"{100 * row['utilisation']:.1f} %"
        capacity = "no limit" if row["capacity"] is None else f"{row['capacity']:,}"
        instances = "api" if row["instances"] is None else str(row["instances"])
        table.add_row(
            row["model"], instances, f"{row['assigned']:,}", capacity, used, f"{row['planned_spend_usd']:.4f}"
        )
        if row["outcomes_until_eligible"] is not None:
            table.add_row(f"  [dim]{row['outcomes_until_eligible']} outcomes until eligible[/]")
    return table


def _more_tables(report: Mapping[str, Any]) -> list[tuple[str, Sequence[Mapping[str, Any]], list[str]]]:
    return [
        ("Teams", report["teams"], ["team", "assigned", "planned_spend_usd", "budget_usd"]),
        ("Instances", report["fleet_rows"], ["model", "previous_instances", "instances", "gpus", "utilisation"]),
        ("Quality by model", report["quality"], ["model", "settled", "predicted_quality", "realised_quality"]),
        ("Champions", report["champions"][-3:], ["dt", "decision", "champion_quality", "challenger_quality"]),
    ]


def _plain_table(title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    table = _table(title, *(column.replace("_", " ") for column in columns))
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float | Decimal) else str(value)


def _settlement(settled: Mapping[str, Any] | None) -> str:
    if settled is None:
        return "not yet"
    came = f"{settled['settled']:,} of {settled['assigned']:,} answers, ${settled['actual_spend_usd']:,.4f} spent"
    if settled["realised_quality"] is None:
        return came
    return f"{came}, quality {settled['realised_quality']:.4f} against {settled['predicted_quality']:.4f} predicted"


def _comparisons(rows: Iterable[Mapping[str, Any]]) -> Table:
    table = _table(
        "The same night, caps and spend, decided another way",
        "policy",
        "served",
        "spend, USD",
        "expected quality",
        "ours is better by",
        "verdict",
    )
    for row in rows:
        ours = row["policy"] == "nightshift" or row["gain"] is None
        gain = "" if ours else f"{row['gain']:+.4f} ({row['gain_lower']:+.4f} to {row['gain_upper']:+.4f})"
        table.add_row(
            row["policy"],
            f"{row['served']:,}",
            f"{row['planned_spend_usd']:.4f}",
            f"{row['expected_quality']:.4f}",
            gain,
            row["verdict"] or "",
        )
    return table


def _counts(title: str, rows: Iterable[Mapping[str, Any]], label: tuple[str, ...]) -> Table:
    table = _table(title, *label, "queries", text_columns=len(label))
    for row in rows:
        table.add_row(*(str(row[name]) for name in label), f"{row['queries']:,}")
    return table


def _table(title: str, *columns: str, text_columns: int = 1) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < text_columns else "right")
    return table


def _show_queries(console: Console, dt: str, settings: Settings) -> None:
    console.print("\n[bold]Three queries to try[/]", f"[dim](sqlite3 {_shown_database(settings)})[/]")
    for title, query in _QUERIES.items():
        console.print(f"[dim]-- {title}[/]")
        console.print(query.format(dt=dt), soft_wrap=True, highlight=False)


def _shown_database(settings: Settings) -> str:
    """Where the results are, without what a DSN keeps secret."""
    return "the configured DSN" if settings.dsn.get_secret_value() else str(settings.home / "results.db")
