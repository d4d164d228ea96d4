"""Nights as Airflow runs them, under a schedule of faults that a seed decides.

The tasks of ``dags/route_backlog.py`` in their order, each attempt a process. At every point of every process the
schedule may let another go on, kill it (and Airflow tries again), or lose its supervisor (the process goes on as an
orphan beside its own retry), and now and then a user clears a whole run half-way.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from processes import Died, Process

from routing_core.errors import RunStateError, StaleAttemptError
from routing_core.settings import Settings
from routing_core.steps import route

MOST_ATTEMPTS = 4
"""Airflow's first try and its three retries."""


@dataclass(frozen=True)
class Odds:
    """How likely a process that stands at a point meets each fault there."""

    death: float = 0.02
    orphan: float = 0.02
    clearing: float = 0.002


@dataclass(eq=False)
class DagRun:
    """One run of ``route_backlog``: which tasks have ended, and who is at the others."""

    dt: date
    key: str
    settings: Settings
    options: route.RouteOptions
    done: dict[str, Any] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    at: dict[str, Process] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return "publish" in self.done

    def ready(self) -> list[str]:
        """Tasks that Airflow would start now."""
        waiting = [task for task in self._tasks() if task not in self.done and task not in self.at]
        return [task for task in waiting if all(before in self.done for before in self._before(task))]

    def start(self, task: str) -> None:
        self.tries[task] = attempt = self.tries.get(task, 0) + 1
        self.at[task] = Process(f"{self.key} {task} try {attempt}", self._work(task, attempt))

    def forget(self) -> list[Process]:
        """As when all tasks are cleared: everything begins again; who was at it still is."""
        left = list(self.at.values())
        self.at.clear()
        self.done.clear()
        self.faults.clear()
        return left

    def _chunks(self) -> list[int]:
        chunks: list[int] = self.done.get("list", [])
        return chunks

    def _tasks(self) -> list[str]:
        mapped = [f"{stage} {chunk}" for stage in ("estimate", "write") for chunk in self._chunks()]
        return ["open", "list", *mapped, "solve", "compare", "check", "publish"]

    def _before(self, task: str) -> list[str]:
        stage = task.split(maxsplit=1)[0]
        return {
            "open": [],
            "list": ["open"],
            "estimate": ["list"],
            "solve": ["list", *(f"estimate {chunk}" for chunk in self._chunks())],
            "write": ["solve"],
            "compare": ["solve"],
            "check": ["compare", *(f"write {chunk}" for chunk in self._chunks())],
            "publish": ["check"],
        }[stage]

    def _work(self, task: str, attempt: int) -> Callable[[], Any]:
        stage, _, chunk = task.partition(" ")
        run, settings = self.done.get("open", 0), self.settings
        return {
            "open": lambda: route.open_run(self.dt, settings, run_key=self.key, options=self.options, attempt=attempt),
            "list": lambda: route.list_chunks(run, settings),
            "estimate": lambda: route.estimate_chunk(run, int(chunk), settings, attempt=attempt),
            "solve": lambda: route.solve_night(run, settings, attempt=attempt),
            "write": lambda: route.write_chunk(run, int(chunk), settings, attempt=attempt),
            "compare": lambda: route.compare_run(run, settings),
            "check": lambda: route.check_run(run, settings),
            "publish": lambda: route.publish_run(run, settings),
        }[stage]


class Schedule:
    """Runs DAG runs side by side to their end, with faults on the way.

    Parameters
    ----------
    seed : int
    look : callable
        Called at every instant at which a reader could see something new.
    odds : Odds
    """

    def __init__(self, seed: int, look: Callable[[], None], odds: Odds = Odds()) -> None:
        self._random = random.Random(seed)
        self._look = look
        self._odds = odds
        self._orphans: list[Process] = []
        self.story: list[str] = []

    def run(self, dag_runs: list[DagRun]) -> None:
        """Until every DAG run has published, and every orphan has ended."""
        while not all(run.over for run in dag_runs):
            for run in dag_runs:
                for task in run.ready():
                    run.start(task)
            self._one_step([run for run in dag_runs if not run.over])
        while self._orphans:
            self._let_go_on(self._random.choice(self._orphans), None, "")

    def _one_step(self, dag_runs: list[DagRun]) -> None:
        living = [(process, run, task) for run in dag_runs for task, process in run.at.items()]
        if self._orphans and self._random.random() < 0.25:
            self._let_go_on(self._random.choice(self._orphans), None, "")
        else:
            self._let_go_on(*self._random.choice(living))

    def _let_go_on(self, process: Process, run: DagRun | None, task: str) -> None:
        """To the next point at which it holds no transaction; what happens there is drawn."""
        while True:
            die = self._may_fault(run, task) and self._random.random() < self._odds.death
            if die:
                self._note(run, task, f"{process.name} dies at {process.at}")
            process.go_on(die=die)
            if not process.holds:
                break
        if process.at == "after the commit":
            self._look()
        if process.ended:
            self._settle(process, run, task)
        elif run is not None:
            self._maybe_lose(process, run, task)

    def _may_fault(self, run: DagRun | None, task: str) -> bool:
        return run is not None and run.faults.get(task, 0) < MOST_ATTEMPTS - 1

    def _note(self, run: DagRun | None, task: str, line: str) -> None:
        self.story.append(line)
        if run is not None:
            run.faults[task] = run.faults.get(task, 0) + 1

    def _settle(self, process: Process, run: DagRun | None, task: str) -> None:
        if run is None:
            self._orphans.remove(process)
            assert process.error is None or isinstance(process.error, StaleAttemptError | RunStateError), (
                repr(process.error),
                self.story,
            )
            return
        del run.at[task]
        if process.error is None:
            run.done[task] = process.result
        elif not isinstance(process.error, Died):
            raise AssertionError(f"{process.name}: {process.error!r}; {self.story}") from process.error

    def _maybe_lose(self, process: Process, run: DagRun, task: str) -> None:
        if self._may_fault(run, task) and self._random.random() < self._odds.orphan:
            self._note(run, task, f"{process.name} loses its supervisor at {process.at}")
            self._orphans.append(run.at.pop(task))
        elif self._may_fault(run, "clearing") and self._random.random() < self._odds.clearing:
            self.story.append(f"{run.key} is cleared")
            self._orphans += run.forget()
            run.faults["clearing"] = MOST_ATTEMPTS
