"""The ways of routing that are compared, each from a share of the budget or a trade-off to what it realised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from routing_core.backtest.stage import Result, Stage
from routing_core.predict.planning import DEFERRAL
from routing_core.records.assignments import DEFERRED
from routing_core.route.arrival import solve_arrival
from routing_core.route.baselines import Fallback
from routing_core.route.one_by_one import one_by_one
from routing_core.route.parameters import Parameters
from routing_core.route.problem import Problem
from routing_core.route.solve import solve

ROUTING = Parameters(gap=3e-3, core_effort=0.02, threads=1)
"""Finer than what outcomes can tell apart. On RouterBench's tightest batches, three times finer took three times as
long and raised planned objectives by two parts in a hundred thousand."""

Quality = NDArray[np.float32]
Choice = NDArray[np.int16]


def as_they_come(stage: Stage, quality: Quality, budget: float, capacity: NDArray[np.int64]) -> Choice:
    """Each batch planned by itself.

    Parameters
    ----------
    stage : Stage
    quality : ndarray of float32, shape (n_queries, n_models)
    budget : float, USD per query
    capacity : ndarray of int64, shape (n_models,) or (n_nights, n_models), queries per batch
    """
    if capacity.ndim == 1:
        return solve_arrival(stage.problem(quality, budget, capacity), stage.batch_of, ROUTING).model
    choice = np.full(len(stage), DEFERRED, dtype=np.int16)
    for k, rows, problem in _nights(stage, stage.problem(quality, budget, capacity[0])):
        batch_of = stage.batch_of[rows] - stage.batch_of[rows.start] + 1
        choice[rows] = solve_arrival(replace(problem, capacity=capacity[k]), batch_of, ROUTING).model
    return choice


def night_by_night(stage: Stage, quality: Quality, budget: float, capacity: NDArray[np.int64]) -> Choice:
    """Each night planned as one, with the budget of all its batches and their capacities together."""
    choice = np.full(len(stage), DEFERRED, dtype=np.int16)
    for _, rows, problem in _nights(stage, stage.problem(quality, budget, capacity)):
        choice[rows] = solve(problem, ROUTING).model
    return choice


def better_nights(stage: Stage, quality: Quality, one: Choice, other: Choice) -> Choice:
    """Of two choices, night by night the one of greater planned objective.

    What batches chose as they came keeps a night's limits too. Where the search for the night's plan, which ends at a
    small gap, has found less, that is the better plan of the night.
    """
    first, second = objective(stage, quality, one), objective(stage, quality, other)
    wins = np.bincount(stage.night, first) >= np.bincount(stage.night, second)
    return np.where(wins[stage.night], one, other)


def objective(stage: Stage, quality: Quality, choice: Choice) -> NDArray[np.float64]:
    """Planned objective of each query: its planned quality, or less its penalty where unserved."""
    served = choice != DEFERRED
    planned = quality[np.arange(len(stage)), np.where(served, choice, 0)].astype(np.float64)
    return np.where(served, planned, -DEFERRAL)


def per_query(stage: Stage, problem: Problem, trade_offs: NDArray[np.float64], fallback: Fallback) -> list[Result]:
    """What a router of single queries realises at each trade-off; all of them in one go."""
    k, n = len(trade_offs), len(problem)
    many = replace(
        problem,
        quality=np.tile(problem.quality, (k, 1)),
        cost=np.tile(problem.cost, (k, 1)),
        penalty=np.tile(problem.penalty, k),
        budget=problem.budget * k,
        batches=problem.batches * k,
    )
    batch_of = (stage.batch_of + problem.batches * np.arange(k)[:, None]).ravel()
    choices = one_by_one(many, batch_of, np.repeat(trade_offs, n), fallback).reshape(k, n)
    return [stage.answers.of(choice) for choice in choices]


def _nights(stage: Stage, whole: Problem) -> Iterator[tuple[int, slice, Problem]]:
    """Each night as a problem of its own: its number, its rows, its share of the budget."""
    edges = np.searchsorted(stage.night, np.arange(stage.night[-1] + 2))
    for k, (start, stop) in enumerate(pairwise(edges.tolist())):
        rows = slice(start, stop)
        problem = replace(
            whole,
            quality=whole.quality[rows],
            cost=whole.cost[rows],
            penalty=whole.penalty[rows],
            budget=whole.budget * (stop - start) / len(stage),
            batches=int(stage.batch_of[stop - 1] - stage.batch_of[start] + 1),
        )
        yield k, rows, problem
