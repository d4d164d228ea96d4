"""The answer: instances, what they are worth, and what an operator asks before signing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class AllocationStatus(StrEnum):
    """How a search for instances ended."""

    UNDETERMINED = "undetermined"
    """Nothing is known; no plan may be used from here."""
    OPTIMAL = "optimal"
    """No allocation is better by more than the gap asked for plus the indifference."""
    FEASIBLE = "feasible"
    """The rounds ran out: every rule is kept and the reported gap is proven, but it is wider than asked."""
    NO_DEMAND = "no_demand"
    """Nothing is expected to be served; the instances change as little as the rules allow."""
    INFEASIBLE = "infeasible"
    """The rules contradict each other, as the notes say; the instances are not a plan."""

    @property
    def usable(self) -> bool:
        """Whether the instances keep every rule."""
        return self in (AllocationStatus.OPTIMAL, AllocationStatus.FEASIBLE, AllocationStatus.NO_DEMAND)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Other instances nearly as good.

    Attributes
    ----------
    instances : mapping of str to int
    objective : float
        On the scale of the plan's.
    changes : str
        Difference to the plan in words.
    """

    instances: Mapping[str, int]
    objective: float
    changes: str


@dataclass(frozen=True, slots=True)
class AllocationPlan:
    """Instances for a day, and why.

    Attributes
    ----------
    instances : mapping of str to int
        Every self-hosted model of the catalog. All 0 where the status is infeasible.
    objective : float
        Expected Σ n_i (Σ_j q_ij x_ij − p_i z_i) over the scenarios, less change and start-up costs, quality units.
    bound : float
        No allocation has a higher objective: proven, rounding allowance included.
    gap : float
        (bound − objective) / bound in value served, design.md section 1; 0 when nothing can be served.
    status : AllocationStatus
    expected_quality : float
        Expected Σ n_i q_ij x_ij, quality units; deferred queries add nothing.
    expected_served : float
        Expected queries served.
    deferred, spend_usd : mapping of str to float
        By scenario: queries deferred; USD, GPU-hours included.
    served, utilisation : mapping of str to float
        By model: expected queries; expected share of its slots in use, in [0, 1], 0 where it has none
        and where its capacity is unlimited.
    gpus_used, gpus_free : mapping of str to int
        By GPU type.
    shadow_price : mapping of str to float
        What one more GPU of the type adds to the objective, quality units, at least 0: a gain
        found, not proven largest.
    budget_price : float
        What one more USD in every scenario would add, quality units.
    alternatives : tuple of Alternative
        Within the tolerance of the best, best first; of the allocations looked at, not all there are.
    diff : str
        The plan against yesterday in words.
    notes : tuple of str
        What an operator should know: models that cannot run and why, rules that contradict each other.
    seconds : float
        Wall-clock time; the one field that differs between equal runs.
    """

    instances: Mapping[str, int]
    objective: float
    bound: float
    gap: float
    status: AllocationStatus
    expected_quality: float
    expected_served: float
    deferred: Mapping[str, float]
    spend_usd: Mapping[str, float]
    served: Mapping[str, float]
    utilisation: Mapping[str, float]
    gpus_used: Mapping[str, int]
    gpus_free: Mapping[str, int]
    shadow_price: Mapping[str, float]
    budget_price: float
    alternatives: tuple[Alternative, ...]
    diff: str
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class ValueRow:
    """What a GPU budget buys.

    Attributes
    ----------
    gpus : int
        GPUs of the type varied, all others as budgeted.
    quality : float
        Expected Σ n q x, quality units.
    objective : float
        With deferral penalties and costs of change; never falls as GPUs are added.
    deferred : float
        Expected queries deferred.
    instances : mapping of str to int
    shadow_price : float
        What the last GPU added to the objective; 0 in the first row.
    feasible : bool
        False where the rules contradict each other at this budget; the figures are then 0.
    """

    gpus: int
    quality: float
    objective: float
    deferred: float
    instances: Mapping[str, int]
    shadow_price: float
    feasible: bool = True


def changes_in_words(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """Instances started and stopped, ``+1 llama-70b, −2 qwen-32b``; ``no change`` if none."""
    names = [*after, *(name for name in before if name not in after)]
    steps = [(after.get(name, 0) - before.get(name, 0), name) for name in names]
    started = [f"+{step} {name}" for step, name in steps if step > 0]
    stopped = [f"−{-step} {name}" for step, name in steps if step < 0]
    return ", ".join(started + stopped) or "no change"


def diff_in_words(
    before: Mapping[str, int] | None,
    after: Mapping[str, int],
    quality: tuple[float, float],
    gpus_free: Mapping[str, int],
) -> str:
    """The whole diff: ``+1 llama-70b, −2 qwen-32b: +0.8 % expected quality, 2 GPUs free``.

    Parameters
    ----------
    before : mapping of str to int or None
        Yesterday's instances; None at the first allocation.
    after : mapping of str to int
        The plan's.
    quality : tuple of float
        Expected quality under tomorrow's demand of (yesterday's instances, the plan's), quality units.
    gpus_free : mapping of str to int
        GPUs left, by type.
    """
    if before is None:
        running = ", ".join(f"{count} {name}" for name, count in after.items() if count) or "no instances"
        return f"first allocation: {running}; {_free_in_words(gpus_free)}"
    return f"{changes_in_words(before, after)}: {_gain_in_words(*quality)}, {_free_in_words(gpus_free)}"


def _gain_in_words(before: float, after: float) -> str:
    if before <= 0:
        return "expected quality unchanged" if after <= 0 else "expected quality from 0"
    percent = 100 * (after / before - 1)
    return f"{'+' if percent >= 0 else '−'}{abs(percent):.1f} % expected quality"


def _free_in_words(gpus_free: Mapping[str, int]) -> str:
    if len(gpus_free) == 1:
        (free,) = gpus_free.values()
        return f"{free} {'GPU' if free == 1 else 'GPUs'} free"
    return ", ".join(f"{free} {gpu_type} free" for gpu_type, free in gpus_free.items()) or "no GPUs"
