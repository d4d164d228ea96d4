"""Out-of-fold predictions: what the recipe would have said of nights it had not seen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.calibration import Calibration, learn_calibration
from routing_core.predict.cost import learn_tokens
from routing_core.predict.ensemble import Candidacy, combined, fit_ensemble
from routing_core.predict.labels import Labels
from routing_core.predict.recipe import Recipe

MAX_ROWS = 12_000
"""Most queries that out-of-fold predictions are made of, taken at even steps."""
WORKERS = 2
PROOF = 3.0
"""Standard errors by which a candidate must lower the squared error to join: several are tried, and each takes time of
every estimate."""


@dataclass(frozen=True, slots=True, eq=False)
class CrossFit:
    """Out-of-fold predictions, before calibration.

    Attributes
    ----------
    rows : ndarray of int64, shape (n_held_out,)
        Queries of the labels they are for.
    fold : ndarray of int64, shape (n_held_out,)
    mean, std, tokens : ndarray of float32, shape (n_held_out, n_models)
    members : tuple of str
        Those that speak in ``mean`` and ``std``.
    candidacies : tuple of Candidacy
        Of the recipe's candidates, in order.
    """

    rows: NDArray[np.int64]
    fold: NDArray[np.int64]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    tokens: NDArray[np.float32]
    members: tuple[str, ...]
    candidacies: tuple[Candidacy, ...] = ()

    def squared_error(self, labels: Labels, *, shrink: bool) -> NDArray[np.float64]:
        """Weighted squared error of the calibrated mean, summed over each query's answers: shape (n_held_out,)."""
        weight = labels.weight[self.rows].astype(np.float64)
        miss = np.nan_to_num(labels.quality[self.rows]) - self.calibrated(labels, shrink=shrink)[0]
        return np.asarray((weight * miss**2).sum(axis=1), np.float64)

    def calibrated(self, labels: Labels, *, shrink: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation, each fold calibrated on the others: what a held-out night would get."""
        mean, std = self.mean.copy(), self.std.copy()
        for fold in np.unique(self.fold):
            here = self.fold == fold
            mean[here], std[here] = self.calibration(labels, shrink=shrink, at=~here).apply(mean[here], std[here])
        return mean, std

    def calibration(self, labels: Labels, *, shrink: bool, at: NDArray[np.bool_] | None = None) -> Calibration:
        """The calibration learnt from the held-out predictions, or from those ``at`` alone."""
        chosen = slice(None) if at is None else at
        rows = self.rows[chosen]
        return learn_calibration(
            self.mean[chosen], labels.quality[rows], labels.weight[rows], labels.effective, shrink=shrink
        )


def cross_fit(
    recipe: Recipe, X: NDArray[np.float32], features: NDArray[np.float32], labels: Labels, seed: int
) -> CrossFit:
    """Fit ``recipe`` on all folds but one, predict that one, for each; let candidates join that help.

    Parameters
    ----------
    recipe : Recipe
    X : ndarray of float32, shape (n_queries, n_features)
        Features for quality.
    features : ndarray of float32, shape (n_queries, n_cost_features)
        Features for answer length.
    labels : Labels
    seed : int
    """
    rows = _even(len(labels), MAX_ROWS)
    fold = folds(labels.day[rows], recipe.folds, seed)
    names = (*recipe.quality, *recipe.candidates)
    means = np.zeros((len(names), len(rows), len(labels.models)), np.float32)
    stds, tokens = np.zeros_like(means), np.zeros_like(means[0])

    def one(held: np.int64) -> None:
        out, kept = fold == held, rows[fold != held]
        ensemble = fit_ensemble(recipe, X[kept], labels.quality[kept], labels.weight[kept], seed, names)
        means[:, out], stds[:, out] = ensemble.by_member(X[rows[out]])
        lengths = learn_tokens(
            features[kept], labels.output_tokens[kept], labels.weight[kept], flat=recipe.cost == "means"
        )
        tokens[out] = lengths.tokens(features[rows[out]])

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(one, np.unique(fold)))
    speaking = list(range(len(recipe.quality)))
    said = CrossFit(rows, fold, *combined(means[speaking], stds[speaking]), tokens, recipe.quality)
    missed, total = said.squared_error(labels, shrink=recipe.shrink), float(labels.weight[rows].sum())
    for candidate in range(len(recipe.quality), len(names)):
        more = [*speaking, candidate]
        mean, std = combined(means[more], stds[more])
        joined = replace(said, mean=mean, std=std, members=tuple(names[i] for i in more))
        missed_joined = joined.squared_error(labels, shrink=recipe.shrink)
        outcome = _candidacy(names[candidate], missed - missed_joined, total)
        if outcome.joins:
            speaking, said, missed = more, joined, missed_joined
        said = replace(said, candidacies=(*said.candidacies, outcome))
    return said


def _candidacy(member: str, saved: NDArray[np.float64], total: float) -> Candidacy:
    """What ``member`` brings, from what it saves of each query's squared error; ``total`` is the weight of all."""
    total = max(total, 1e-12)
    error = float(saved.std() * np.sqrt(len(saved))) / total if len(saved) else 0.0
    gain = float(saved.sum()) / total
    return Candidacy(member, gain, error, joins=gain > PROOF * error)


def folds(day: NDArray[np.int64], n_folds: int, seed: int) -> NDArray[np.int64]:
    """Fold of each query: whole days where there are enough of them, else drawn at random.

    Parameters
    ----------
    day : ndarray of int64, shape (n_queries,)
    n_folds : int
    seed : int
    """
    days, rank = np.unique(day, return_inverse=True)
    if len(days) >= n_folds:
        return np.asarray(rank % n_folds, np.int64)
    order = np.random.default_rng(seed).permutation(len(day))
    return np.asarray(order % n_folds, np.int64)


def _even(n_rows: int, most: int) -> NDArray[np.int64]:
    return np.linspace(0, n_rows - 1, min(n_rows, most)).round().astype(np.int64)
