"""The search for instances: near the best fractions first; then Benders' master proposes, the value function answers.

It ends where the gap is proven, or by pairs priced, with the gap it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from routing_core.allocate.master import ROUNDING, Master, Plane, Rounding, scenario_share
from routing_core.allocate.problem import AllocationProblem, Floats, Integers
from routing_core.allocate.relaxation import Relaxation
from routing_core.allocate.value import Prices, ScenarioValue, Worth, prepare

COARSENESS = 0.1
"""Precision of an evaluation against the gap still open: coarser repeats candidates, finer wastes rounds."""
RELAXED_ROUNDS = 100
"""Most rounds on fractions of instances; 60 close their gap for 20 models and 5 scenarios."""
FIRST_PRECISION = 1e-3
"""Precision of an evaluation before anything is known to compare it with."""
MASTER_PART = 0.3
"""Share that the master may leave open of the gap asked for, or of a tenth of the gap still open where that is more."""
CLIMBS = 2
"""Moves evaluated in one climb."""
RELAXED_SMOOTHING = 0.5
"""Weight of the prices before in the next ones; 0.7 took no fewer rounds."""
RELAXED_GAP = 1e-3
"""Gap at which fractions of instances have taught enough."""
SKETCHED = 1000
"""Queries of a sketch, up to twice as many."""
FINEST = 1e-8
"""Precision per real query beyond which the LP solver's tolerances do not carry."""


@dataclass(frozen=True, slots=True)
class AllocationParameters:
    """How hard to look, and what counts as equal.

    Attributes
    ----------
    gap : float, above 0
        Relative gap in value served to prove; below 1e-6 the solvers' rounding is all that is left.
    indifference : float, at least 0
        Share of the value served that is given up for fewer changes against yesterday: hysteresis.
    alternatives : int
        Most alternatives reported.
    alternatives_within : float
        Share of the value served by which an alternative may be worse than the best.
    worst_case_share : float in [0, 1]
        Weight of the worst scenario (per query) against the expectation.
    shadow_prices : bool
        Whether to look for what one more GPU of each type would gain.
    max_candidates : int
        Allocations evaluated in one search before it ends with the gap it has.
    max_pairs : int
        Pairs of query and model priced after which no further allocation is evaluated; counted, not timed, so that
        equal runs end alike.
    max_rounds : int
        Rounds of pricing for one allocation in one scenario.
    """

    gap: float = 1e-4
    indifference: float = 1e-3
    alternatives: int = 5
    alternatives_within: float = 1e-3
    worst_case_share: float = 0.0
    shadow_prices: bool = True
    max_candidates: int = 400
    max_pairs: int = 100_000_000
    max_rounds: int = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Instances and what they are worth.

    Attributes
    ----------
    instances : ndarray of int64, shape (n_models,)
    value : float
        Objective of a feasible plan, per real query.
    worths : tuple of Worth
        By scenario; None where a scenario has no demand.
    tolerance : float
        How far the value may be below the true one, per real query.
    """

    instances: Integers
    value: float
    worths: tuple[Worth | None, ...]
    tolerance: float


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The best instances and the proof.

    Attributes
    ----------
    best : Evaluation
    bound : float
        No allocation is worth more, per real query.
    proven : bool
        Whether the gap asked for was reached.
    """

    best: Evaluation
    bound: float
    proven: bool


class Search:
    """Everything learnt about one problem; answers for any GPU budget up to the problem's."""

    def __init__(self, problem: AllocationProblem, parameters: AllocationParameters) -> None:
        self.problem = problem
        self.parameters = parameters
        self.share = scenario_share(problem)
        self.scale = float(problem.probability @ problem.demand) or 1.0
        self.shift = float(problem.probability @ (np.asarray(problem.weight) @ problem.penalty)) / self.scale
        self.master = Master(problem, self.scale, parameters.worst_case_share)
        self._tolerance = max(parameters.gap / 10, FINEST)
        self._planes: list[list[Plane]] = [[] for _ in range(problem.n_scenarios)]
        self._asked: list[Sequence[Prices]] = []
        self._evaluated: dict[tuple[int, ...], Evaluation] = {}
        self._values = self._value_functions()
        self._allowance = self.parameters.max_pairs

    def best(self, gpu_budget: Mapping[str, int]) -> Found | None:
        """The best instances under a GPU budget; None if no instances keep the rules.

        Early candidates are evaluated as roughly as the bound is wide, the last ones to the gap asked for.
        """
        if not self._asked:
            self._sketch(gpu_budget)
        bound = self._relax(gpu_budget)
        self._allowance = self._pairs + self.parameters.max_pairs
        self._begin(gpu_budget, bound)
        for _ in range(self.parameters.max_candidates):
            best = self._incumbent(gpu_budget)
            wanted = 0.0 if best is None else self.slack(self.parameters.gap, best.value)
            left = wanted if best is None else max(wanted, COARSENESS * (bound - best.value))
            candidate = self.master.best(gpu_budget, MASTER_PART * left)
            if candidate is None:
                return None
            bound = min(bound, candidate.bound)
            if best is not None and (bound - best.value <= wanted + self.precision or self._exhausted):
                break
            self.evaluate(candidate.instances, self._roughly(bound, best))
        best = self._incumbent(gpu_budget)
        assert best is not None
        wanted = self.slack(self.parameters.gap, best.value)
        proven = bound - best.value <= wanted + self.precision
        best = best if proven else self.evaluate(best.instances, wanted)
        return Found(best, max(bound, best.value), proven)

    def climb(self, gpu_budget: Mapping[str, int], tolerance: float) -> Evaluation:
        """From the best instances so far follow the moves whose bounds promise most, as far as a few evaluations go."""
        best = self._incumbent(gpu_budget)
        assert best is not None
        for _ in range(CLIMBS):
            moves = [move for move in self._moves(best.instances) if self.allowed(move, gpu_budget)]
            moves = [move for move in moves if tuple(move.tolist()) not in self._evaluated]
            if not moves:
                break
            bounds = self._bounds(moves)
            if bounds.max() <= best.value:
                break
            tried = self.evaluate(moves[int(bounds.argmax())], tolerance)
            best = tried if tried.value > best.value else best
        return best

    def _begin(self, gpu_budget: Mapping[str, int], bound: float) -> None:
        """Evaluate whole instances near the best fractions, and climb from there."""
        relaxed = self._relaxation.solve(gpu_budget)
        nearest = None if relaxed is None else Rounding(self.problem).of(relaxed.instances, gpu_budget)
        if nearest is None:
            return
        first = self.evaluate(nearest.instances, FIRST_PRECISION)
        self.climb(gpu_budget, self._roughly(bound, first))

    def _roughly(self, bound: float, best: Evaluation | None) -> float:
        """How precisely to evaluate while so much is open."""
        return FIRST_PRECISION if best is None else max((bound - best.value) * COARSENESS, self._tolerance)

    @property
    def _exhausted(self) -> bool:
        """Whether all pairs allowed have been priced."""
        return self._pairs > self._allowance

    @property
    def _pairs(self) -> int:
        """Pairs of query and model priced so far."""
        return sum(function.pairs for function in self._values if function is not None)

    def _relax(self, gpu_budget: Mapping[str, int]) -> float:
        """Learn prices where fractions of instances are best; the bound they prove is tight around whole ones too.

        Prices asked are smoothed over the rounds (Neame, PhD thesis, Melbourne 2000).
        """
        smooth: tuple[Prices, ...] = ()
        bound = np.inf
        for _ in range(RELAXED_ROUNDS):
            relaxed, outer = self._relaxation.solve(gpu_budget), self.master.relaxed(gpu_budget)
            if relaxed is None or outer is None:
                break
            bound = min(bound, outer.bound)
            if bound - relaxed.value <= self.slack(RELAXED_GAP, relaxed.value) + self.precision:
                break
            smooth = tuple(_between(a, b) for a, b in zip(smooth or relaxed.prices, relaxed.prices, strict=True))
            self._ask(smooth)
        return bound

    def _sketch(self, gpu_budget: Mapping[str, int]) -> None:
        """Ask first what a sketch of the problem, which costs next to nothing, had to be asked."""
        sketch = _sketch_of(self.problem)
        if sketch is None:
            return
        search = Search(sketch, self.parameters)
        search._relax(gpu_budget)
        for prices in search._asked:
            self._ask([*prices] * self.problem.n_scenarios)

    def _ask(self, prices: Sequence[Prices]) -> None:
        """Ask the queries of every scenario what they do at its prices."""
        self._asked.append(prices)
        for scenario, function in enumerate(self._values):
            if function is not None:
                found, answer = function.learn(prices[scenario])
                self._learn(scenario, found)
                self._relaxation.add(scenario, answer)

    def simplest(self, gpu_budget: Mapping[str, int], found: Found) -> Evaluation:
        """Of the instances as good as the best, those with the fewest changes, then the fewest GPUs."""
        best, running = found.best, self.problem.running
        if running is None and not found.proven:
            return best
        gap, indifference = self.parameters.gap, self.parameters.indifference
        tolerance = gap if running is None else max(indifference, gap)
        threshold = best.value - self.slack(tolerance, best.value)
        self._allowance = self._pairs + self.parameters.max_pairs
        for _ in range(self.parameters.max_candidates):
            candidate = self.master.simplest(gpu_budget, threshold)
            if candidate is None or self._exhausted:
                return best
            evaluation = self.evaluate(candidate.instances)
            if evaluation.value >= threshold - self.precision:
                return evaluation
        return best

    def neighbours(self, gpu_budget: Mapping[str, int], plan: Evaluation) -> list[Evaluation]:
        """Instances one start, stop or swap away from the plan, or seen on the way, and nearly as good; best first."""
        threshold = plan.value - self.slack(self.parameters.alternatives_within, plan.value)
        moves = [move for move in self._moves(plan.instances) if self.allowed(move, gpu_budget)]
        bounds = self._bounds(moves) if moves else np.empty(0)
        for k in np.argsort(-bounds, kind="stable")[: self.parameters.alternatives]:
            if bounds[k] >= threshold:
                self.evaluate(moves[k], self.slack(self.parameters.gap, plan.value))
        near = [e for e in self._allowed(gpu_budget) if e.value >= threshold and e is not plan]
        near.sort(key=lambda e: (-e.value, tuple(e.instances)))
        return near[: self.parameters.alternatives]

    def evaluate(self, instances: Integers, tolerance: float = 0.0) -> Evaluation:
        """What the instances are worth, as precisely as asked, per real query; the prices found bound all others."""
        tolerance = max(tolerance, self._tolerance)
        key = tuple(int(count) for count in instances)
        known = self._evaluated.get(key)
        if known is None or known.tolerance > tolerance:
            worths = self._worths(instances, tolerance)
            self._evaluated[key] = Evaluation(instances, self._value(instances, worths), worths, tolerance)
        return self._evaluated[key]

    def allowed(self, instances: Integers, gpu_budget: Mapping[str, int]) -> bool:
        """Whether instances keep every rule under a GPU budget: checked without the solver."""
        problem = self.problem
        lower, upper = problem.bounds
        used = problem.gpus(instances)
        return bool(
            (instances >= lower).all()
            and (instances <= upper).all()
            and all(count <= gpu_budget.get(gpu_type, 0) for gpu_type, count in used.items())
            and (problem.max_changes is None or self.changes(instances) <= problem.max_changes)
            and (problem.gpu_usd == 0 or (problem.budget(instances) >= 0).all())
        )

    def changes(self, instances: Integers) -> int:
        """Instances started and stopped against yesterday; 0 when nothing is known of it."""
        running = self.problem.running
        return 0 if running is None else int(np.abs(instances - running).sum())

    def slack(self, tolerance: float, value: float) -> float:
        """A relative tolerance as quality per real query, at ``value``."""
        return tolerance * max(value + self.shift, 0.0)

    @property
    def precision(self) -> float:
        """How far values and bounds are from each other when both are called exact, per real query."""
        return 2 * ROUNDING + self._tolerance

    def _value_functions(self) -> list[ScenarioValue | None]:
        """One value function a scenario, None where there is no demand; the first prices go to the master."""
        sample = prepare(self.problem)
        self._relaxation = Relaxation(
            self.problem, self.scale, self.parameters.worst_case_share, len(sample.starts), sample.cost_unit
        )
        functions: list[ScenarioValue | None] = []
        for scenario, weight in enumerate(np.asarray(self.problem.weight, dtype=np.float64)):
            if not weight.any():
                functions.append(None)
                self._learn(scenario, Prices(0.0, 0.0, np.zeros(len(self.problem.catalog))))
                continue
            function = ScenarioValue(sample, weight, max_rounds=self.parameters.max_rounds)
            functions.append(function)
            self._relaxation.add(scenario, function.nothing())
            self._learn(scenario, function.at_no_prices())
        return functions

    def _worths(self, instances: Integers, tolerance: float) -> tuple[Worth | None, ...]:
        """Worth in each scenario; what one learns about prices the next begins from."""
        worths: list[Worth | None] = []
        hint: Prices | None = None
        budgets, capacity = self.problem.budget(instances).clip(0.0), self.problem.capacity(instances)
        for scenario, (function, demand) in enumerate(zip(self._values, self.problem.demand, strict=True)):
            if function is None:
                worths.append(None)
                continue
            if hint is not None:
                function.learn(hint)
            worth = function.at(budgets[scenario] / demand, capacity / demand, tolerance)
            self._learn(scenario, worth.prices)
            worths.append(worth)
            hint = worth.prices
        return tuple(worths)

    def _learn(self, scenario: int, prices: Prices) -> None:
        plane = Plane.of(self.problem, scenario, prices)
        self.master.add(scenario, plane)
        self._planes[scenario].append(plane)

    def _value(self, instances: Integers, worths: Sequence[Worth | None]) -> float:
        return self._objective([0.0 if worth is None else worth.value for worth in worths], instances)

    def _bounds(self, moves: Sequence[Integers]) -> Floats:
        """Upper bounds on the values by all prices so far: ndarray of shape (n_moves,)."""
        asked = np.array(moves, dtype=np.float64)
        worths = np.empty((len(moves), self.problem.n_scenarios))
        for scenario, planes in enumerate(self._planes):
            fixed, slope = np.array([plane.fixed for plane in planes]), np.array([plane.slope for plane in planes])
            worths[:, scenario] = (fixed + asked @ slope.T).min(axis=1)
        return np.array([self._objective(row, move) for row, move in zip(worths, moves, strict=True)])

    def _objective(self, worths: Sequence[float] | Floats, instances: Integers) -> float:
        """Scenarios' worths, per real query of each, as one objective per expected real query."""
        problem, omega = self.problem, self.parameters.worst_case_share
        expected = float(self.share @ np.array(worths))
        worst = min((worth for worth, part in zip(worths, self.share, strict=True) if part > 0), default=0.0)
        costs = 0.0
        if problem.running is not None:
            steps = instances - problem.running
            started = float(steps.clip(0).sum())
            costs = (problem.change_cost * float(np.abs(steps).sum()) + problem.startup_cost * started) / self.scale
        return (1 - omega) * expected + omega * worst - costs

    def _allowed(self, gpu_budget: Mapping[str, int]) -> list[Evaluation]:
        return [e for e in self._evaluated.values() if self.allowed(e.instances, gpu_budget)]

    def _incumbent(self, gpu_budget: Mapping[str, int]) -> Evaluation | None:
        """The best evaluated instances that the GPU budget allows; ties go to fewer changes, then fewer GPUs."""
        gpus = self.problem.gpus_per_instance
        return max(
            self._allowed(gpu_budget),
            key=lambda e: (e.value, -self.changes(e.instances), -int(gpus @ e.instances), tuple(e.instances)),
            default=None,
        )

    def _moves(self, instances: Integers) -> list[Integers]:
        """All instances one start, stop or swap away."""
        hosted = np.flatnonzero(self.problem.gpus_per_instance)
        unit = np.eye(len(instances), dtype=np.int64)
        steps = [unit[j] for j in hosted] + [-unit[j] for j in hosted]
        steps += [unit[j] - unit[k] for j in hosted for k in hosted if j != k]
        return [instances + step for step in steps]


def _sketch_of(problem: AllocationProblem) -> AllocationProblem | None:
    """Some of the queries in the expected scenario alone; None where that is the problem itself."""
    expected = problem.probability @ np.asarray(problem.weight, dtype=np.float64)
    rows = np.flatnonzero(expected)
    rows = rows[:: max(1, len(rows) // SKETCHED)]
    if not len(rows) or (problem.n_scenarios == 1 and len(rows) == len(expected)):
        return None
    weight = expected[rows] * (expected.sum() / expected[rows].sum())
    return replace(
        problem,
        quality=problem.quality[rows],
        cost=problem.cost[rows],
        eligible=None if problem.eligible is None else problem.eligible[rows],
        load=None if problem.load is None else problem.load[rows],
        penalty=problem.penalty[rows],
        weight=weight[np.newaxis],
        scenario_weight=np.ones(1),
        budget_usd=np.array([problem.probability @ problem.budget_usd]),
        scenario_names=(),
    )


def _between(a: Prices, b: Prices) -> Prices:
    """Prices between two, nearer to the first; they are still to be asked."""
    part = RELAXED_SMOOTHING
    return Prices(np.inf, part * a.budget + (1 - part) * b.budget, part * a.slot + (1 - part) * b.slot)
