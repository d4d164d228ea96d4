"""What the duels come to: one comparison a cell and one a mean over budgets, with standard errors and a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing_core.backtest.duels import Duel
from routing_core.backtest.matching import Pair
from routing_core.route.verdict import WITHIN, Verdict

ERRORS = 2.0
"""Standard errors that a gain must be away from nothing."""


@dataclass(frozen=True, slots=True)
class Margin:
    """Ours against theirs.

    Attributes
    ----------
    ours, theirs : float
        Mean realised quality per query; an unserved query counts 0.
    gain_pct : float or None
        100 (ours / theirs − 1); None where theirs realised nothing.
    stderr_pct : float or None
        Its standard error, paired and clustered by query; None for a single query.
    spend_ratio : float
        Mean realised spend of ours over theirs.
    verdict : str
    """

    ours: float
    theirs: float
    gain_pct: float | None
    stderr_pct: float | None
    spend_ratio: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of the tables.

    Attributes
    ----------
    name, order, fallback, caps : str
    budget_usd : float, USD per query, or None
        None for the mean over budgets.
    margin : Margin
        At matched spend.
    at_their_best : Margin or None
        Per-query routing at the trade-off that served it best in hindsight, ours held to the spend of that.
    planned : tuple of float, or None
        Planned objective per query of (ours, theirs) at the whole budget.
    """

    name: str
    order: str
    fallback: str
    caps: str
    budget_usd: float | None
    margin: Margin
    at_their_best: Margin | None
    planned: tuple[float, float] | None

    def as_dict(self) -> dict[str, Any]:
        """The line as plain data; ``planned_ours`` and ``planned_theirs`` only where plans are compared."""
        line: dict[str, Any] = {
            name: getattr(self, name) for name in ("name", "order", "fallback", "caps", "budget_usd")
        }
        line |= asdict(self.margin)
        line["at_their_best"] = None if self.at_their_best is None else asdict(self.at_their_best)
        if self.planned is not None:
            line["planned_ours"], line["planned_theirs"] = self.planned
        return line


def compare(duels: Sequence[Duel]) -> list[Comparison]:
    """Every cell, each group of budgets followed by its mean."""
    groups: dict[tuple[str, str, str, str], list[Duel]] = {}
    for duel in duels:
        groups.setdefault((duel.name, duel.order, duel.caps, duel.fallback), []).append(duel)
    lines: list[Comparison] = []
    for group in groups.values():
        group.sort(key=lambda duel: duel.budget)
        lines += [_line([duel], duel.budget) for duel in group]
        lines.append(_line(group, None))
    return lines


def _line(group: Sequence[Duel], budget: float | None) -> Comparison:
    first = group[0]
    bests = [duel.best for duel in group if duel.best is not None]
    plans = [duel.planned for duel in group if duel.planned is not None]
    return Comparison(
        name=first.name,
        order=first.order,
        fallback=first.fallback,
        caps=first.caps,
        budget_usd=budget,
        margin=margin([duel.pair for duel in group], first.rows),
        at_their_best=margin(bests, first.rows) if bests else None,
        planned=(float(np.mean([p[0] for p in plans])), float(np.mean([p[1] for p in plans]))) if plans else None,
    )


def margin(pairs: Sequence[Pair], rows: NDArray[np.int64]) -> Margin:
    """Ours against theirs over some budgets.

    The gain is a ratio of two means over the same queries. Its standard error is the linearised one (Cochran, 1977,
    section 6.4) over queries of the history: one that comes in several nights or under several budgets counts once.

    Parameters
    ----------
    pairs : sequence of Pair
    rows : ndarray of int64, shape (n_queries,)
        Queries of the history that the results are of.
    """
    ours = np.mean([pair.ours.quality for pair in pairs], axis=0)
    theirs = np.mean([pair.theirs.quality for pair in pairs], axis=0)
    spends = [sum(getattr(pair, side).usd for pair in pairs) for side in ("ours", "theirs")]
    ratio = float(ours.mean() / theirs.mean()) if theirs.mean() > 0 else None
    error = None if ratio is None else _error(ours, theirs, ratio, rows)
    gain = None if ratio is None else 100 * (ratio - 1)
    matched = all(abs(pair.ours.usd - pair.theirs.usd) <= WITHIN * abs(pair.theirs.usd) for pair in pairs)
    return Margin(
        ours=float(ours.mean()),
        theirs=float(theirs.mean()),
        gain_pct=gain,
        stderr_pct=error,
        spend_ratio=spends[0] / spends[1] if spends[1] else 1.0,
        verdict=str(_verdict(gain, error, matched)),
    )


def _error(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], ratio: float, rows: NDArray[np.int64]
) -> float | None:
    _, query = np.unique(rows, return_inverse=True)
    residual = np.bincount(query, ours - ratio * theirs)
    n = len(residual)
    if n < 2:
        return None
    return float(100 * np.sqrt(n / (n - 1) * np.sum(residual**2)) / abs(theirs.sum()))


def _verdict(gain: float | None, error: float | None, matched: bool) -> Verdict:
    if not matched:
        return Verdict.UNMATCHED
    if gain is None or error is None or abs(gain) <= ERRORS * error:
        return Verdict.NO_GAIN
    return Verdict.GAIN if gain > 0 else Verdict.LOSS
