"""Predictors: fitted on logged outcomes, they say of any query what each model would be worth and cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from routing_core.errors import ContractError, ProblemError
from routing_core.predict.calibration import Calibration
from routing_core.predict.cost import TokenModel, cost_usd
from routing_core.predict.ensemble import Candidacy, Ensemble
from routing_core.predict.evidence import RobustChoice
from routing_core.predict.features import FeatureMap
from routing_core.predict.linear import QUALITY_STEP, blocks, on_grid
from routing_core.predict.margin import CostMargin
from routing_core.predict.recipe import Recipe
from routing_core.predict.state import State, joined, part
from routing_core.predict.strangers import Neighbourhood, strangeness
from routing_core.predict.uncertainty import QUANTILE, Robustness
from routing_core.records.estimates import Estimates
from routing_core.records.queries import Queries

FORMAT = 2
"""Version of the fitted state; a predictor of another version is not loaded."""
CHUNK = 8192
"""Queries estimated at a time: bounds the memory, changes no result."""


@dataclass(frozen=True, eq=False)
class Predictor:
    """A fitted predictor.

    Attributes
    ----------
    recipe : Recipe
    models : tuple of str
    n_outcomes : int
        Outcomes learnt from.
    ignored : int
        Outcomes of models that are not among ``models``.
    effective : ndarray of float64, shape (n_models,)
        Effective sample size of each model, after recency and propensity weights.
    features : FeatureMap
    ensemble : Ensemble
    calibration : Calibration
    lengths : TokenModel
    robust : RobustChoice
        The lower estimate planned with, and the evidence for it.
    cost_margin : CostMargin
        How far realised spend runs over planned spend.
    near : Neighbourhood
    candidacies : tuple of Candidacy
        Which of the recipe's candidates joined the ensemble, and on what evidence.
    """

    recipe: Recipe
    models: tuple[str, ...]
    n_outcomes: int
    ignored: int
    effective: NDArray[np.float64]
    features: FeatureMap
    ensemble: Ensemble
    calibration: Calibration
    lengths: TokenModel
    robust: RobustChoice
    cost_margin: CostMargin
    near: Neighbourhood
    candidacies: tuple[Candidacy, ...] = ()

    def estimate(
        self, queries: Queries, prices: NDArray[np.float64], *, level: float | None = None, careful: bool = False
    ) -> Estimates:
        """What each model would be worth and cost on each query.

        A query's estimate does not depend on the queries it is estimated with.

        Parameters
        ----------
        queries : Queries
        prices : ndarray of float64, shape (n_models, 2), USD per token of (input, output)
        level : float, in (0, 1), optional
            Quantile of the lower estimates, in place of the chosen method.
        careful : bool
            Add the lower estimates of a night of strangers: at the conservative level, or a lower one asked for.

        Raises
        ------
        ProblemError
            If ``prices`` does not match the models.
        ContractError
            If it learnt from an embedding column that the queries lack.
        """
        prices = np.asarray(prices, np.float64)
        if prices.shape != (len(self.models), 2):
            raise ProblemError(
                f"prices must have shape ({len(self.models)}, 2), a row for each of the predictor's models, "
                f"got {prices.shape}"
            )
        robust = self.robust_of(level)
        spread = careful or robust.uses_spread
        shape = (len(queries), len(self.models))
        mean, lower, cost = (np.empty(shape, np.float32) for _ in range(3))
        cautious = np.empty(shape, np.float32) if careful else None
        strange = np.empty(len(queries), np.int8)
        with threadpool_limits(limits=1):
            for rows in blocks(len(queries), CHUNK):
                X = self._features(queries, rows)
                mean[rows], std = self.quality(X, spread=spread)
                lower[rows] = self._lower(robust, mean[rows], std)
                if cautious is not None:
                    cautious[rows] = self._lower(self.robust_of(level, careful=True), mean[rows], std)
                strange[rows] = strangeness(self.features, self.near, X, queries.task[rows])
                tokens = self.lengths.tokens(self.features.for_cost(X))
                cost[rows] = cost_usd(queries.input_tokens[rows].astype(np.float64), tokens, prices)
        return Estimates(self.models, mean, lower, cost, cautious, strange)

    def _lower(self, robust: Robustness, mean: NDArray[np.float32], std: NDArray[np.float32]) -> NDArray[np.float32]:
        return on_grid(np.maximum(robust.lower(mean, std) - self.calibration.caution, 0), QUALITY_STEP)

    def quality(
        self, X: NDArray[np.float32], *, spread: bool = True
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Calibrated mean quality and its standard deviation.

        Parameters
        ----------
        X : ndarray of float32, shape (n_queries, n_features)
            As ``features`` makes them.
        spread : bool
            False leaves the standard deviation out, which takes most of the time: it is NaN then.

        Returns
        -------
        mean, std : ndarray of float32, shape (n_queries, n_models)
        """
        if spread:
            mean, std = self.calibration.apply(*self.ensemble.estimate(X))
        else:
            mean = self.ensemble.mean(X)
            std = np.full_like(mean, np.nan)
            mean, _ = self.calibration.apply(mean, std)
        return on_grid(mean, QUALITY_STEP), std

    def _features(self, queries: Queries, rows: slice) -> NDArray[np.float32]:
        return self.features.transform(
            queries.prompt[rows],
            queries.task[rows],
            queries.input_tokens[rows].astype(np.float64),
            None if queries.embedding is None else queries.embedding[rows],
        )

    def robust_of(self, level: float | None, *, careful: bool = False) -> Robustness:
        """How quality is lowered: as evidence chose, at a quantile asked for by hand, or for a night of strangers."""
        if careful and (level is None or level >= self.robust.conservative.level):
            return self.robust.conservative
        if level is None:
            return self.robust.chosen
        return Robustness(QUANTILE, level, np.zeros(len(self.models), np.float32))

    @property
    def members(self) -> list[str]:
        """The methods that speak in the ensemble; none where there was nothing to learn from."""
        return [member.method for member in self.ensemble.members]

    @property
    def embedding_size(self) -> int | None:
        """Length of the embedding column it learnt from; None if it encodes prompts itself."""
        return None if self.features.encoder else len(self.features.mean)

    @cached_property
    def state(self) -> State:
        """Everything that is fitted, as plain data and arrays."""
        robust = joined({"chosen": self.robust.chosen.state(), "conservative": self.robust.conservative.state()})
        parts = {
            "features": self.features.state(),
            "ensemble": self.ensemble.state(),
            "calibration": self.calibration.state(),
            "lengths": self.lengths.state(),
            "robust": robust,
            "margin": self.cost_margin.state(),
            "near": self.near.state(),
            "effective": State({}, {"labels": self.effective}),
        }
        whole = joined(parts)
        facts = {
            "format": FORMAT,
            "recipe": self.recipe.to_dict(),
            "models": list(self.models),
            "n_outcomes": self.n_outcomes,
            "ignored": self.ignored,
            "evidence": self.robust.to_dict(),
            "candidacies": [asdict(candidacy) for candidacy in self.candidacies],
        }
        return State(facts | whole.meta, whole.arrays)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The predictor that `state` described.

        Raises
        ------
        ContractError
            If the state is of another version.
        """
        meta: dict[str, Any] = state.meta
        if meta.get("format") != FORMAT:
            raise ContractError(f"the predictor's state must have format {FORMAT}, got {meta.get('format')!r}")
        robust = part(state, "robust")
        chosen, conservative = (Robustness.from_state(part(robust, name)) for name in ("chosen", "conservative"))
        return cls(
            recipe=Recipe.from_dict(meta["recipe"]),
            models=tuple(meta["models"]),
            n_outcomes=meta["n_outcomes"],
            ignored=meta["ignored"],
            effective=state.arrays["effective/labels"],
            features=FeatureMap.from_state(part(state, "features")),
            ensemble=Ensemble.from_state(part(state, "ensemble")),
            calibration=Calibration.from_state(part(state, "calibration")),
            lengths=TokenModel.from_state(part(state, "lengths")),
            robust=RobustChoice.from_dict(meta["evidence"], chosen, conservative),
            cost_margin=CostMargin.from_state(part(state, "margin")),
            near=Neighbourhood.from_state(part(state, "near")),
            candidacies=tuple(Candidacy(**one) for one in meta.get("candidacies", ())),
        )

    def content_hash(self) -> str:
        """SHA-256 of the canonical arrays and parameters: same data and seed, same hash."""
        return self.state.content_hash()
