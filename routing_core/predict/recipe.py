"""Recipes: every choice that makes a predictor, by name, so that two can be compared and one repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from routing_core.errors import SettingsError

ENCODERS = ("wordllama", "tfidf_svd", "embedding")
QUALITY_METHODS = ("means", "knn", "low_rank", "ridge", "task_ridge", "forest")
UNCERTAINTIES = ("auto", "none", "quantile", "conformal", "kappa")
COSTS = ("tokens", "means")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A named set of choices from which a predictor is fitted.

    Attributes
    ----------
    name : str
        What people call it.
    encoder : str
        One of `ENCODERS`: embedded word vectors, TF-IDF + SVD learnt from the outcomes, or a precomputed column.
    questions : bool
        Whether what many prompts begin or end with is left out before encoding; else the whole prompt is encoded.
    dimensions : int
        Principal components of the embedding that are kept, at least 1.
    quality : tuple of str
        Members of the ensemble, each of `QUALITY_METHODS`.
    candidates : tuple of str
        Members that join, in this order, where out-of-fold evidence shows that they help.
    neighbours : int
        Neighbours that vote in a kNN member.
    bagged : bool
        Whether kNN weights its neighbours as the mean over bootstrap samples would.
    resample : float, in (0, 1]
        Size of such a sample as a share of the log.
    rank : int
        Latent skills of the low-rank member.
    trees : int
        Trees of the forest member.
    shrink : bool
        Whether predictions are shrunk per model towards its mean, as out-of-fold evidence says.
    uncertainty : str
        One of `UNCERTAINTIES`; ``auto`` lets out-of-fold nights choose.
    level : float
        Quantile of a lower estimate, or κ of ``mean − κ·std``; not used by ``auto`` and ``none``.
    cost : str
        One of `COSTS`: answer length predicted per query, or each model's mean.
    half_life_days : float
        Age at which an outcome counts half; infinite for no ageing.
    max_importance : float
        Largest inverse propensity an outcome may weigh.
    folds : int
        Folds of the out-of-fold predictions, at least 2.
    seed : int
        Combined with the seed given to `fit`.
    """

    name: str
    encoder: str = "wordllama"
    questions: bool = True
    dimensions: int = 64
    quality: tuple[str, ...] = ("task_ridge", "low_rank")
    candidates: tuple[str, ...] = ()
    neighbours: int = 100
    bagged: bool = True
    resample: float = 1.0
    rank: int = 4
    trees: int = 64
    shrink: bool = True
    uncertainty: str = "auto"
    level: float = 0.1
    cost: str = "tokens"
    half_life_days: float = 28.0
    max_importance: float = 10.0
    folds: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        _one_of(self, "encoder", ENCODERS)
        _one_of(self, "uncertainty", UNCERTAINTIES)
        _one_of(self, "cost", COSTS)
        if not self.quality or set(self.quality) - set(QUALITY_METHODS):
            _refuse(self, "quality", f"at least one of {', '.join(QUALITY_METHODS)}", self.quality)
        others = set(QUALITY_METHODS) - set(self.quality)
        if set(self.candidates) - others or len(set(self.candidates)) < len(self.candidates):
            _refuse(self, "candidates", f"of {', '.join(QUALITY_METHODS)}, each once, not in quality", self.candidates)
        for field, least in (("dimensions", 1), ("neighbours", 1), ("rank", 1), ("trees", 1), ("folds", 2)):
            if getattr(self, field) < least:
                _refuse(self, field, f"at least {least}", getattr(self, field))
        if not 0 < self.resample <= 1:
            _refuse(self, "resample", "above 0 and at most 1", self.resample)
        if not self.half_life_days > 0:
            _refuse(self, "half_life_days", "above 0", self.half_life_days)
        if not self.max_importance >= 1:
            _refuse(self, "max_importance", "at least 1", self.max_importance)
        if self.uncertainty in ("quantile", "conformal") and not 0 < self.level < 1:
            _refuse(self, "level", "between 0 and 1 for a quantile", self.level)
        if self.uncertainty == "kappa" and not self.level >= 0:
            _refuse(self, "level", "at least 0 as κ", self.level)

    def to_dict(self) -> dict[str, Any]:
        """The choices as plain data."""
        return asdict(self) | {"quality": list(self.quality), "candidates": list(self.candidates)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_dict` wrote.

        Raises
        ------
        SettingsError
            If a choice is unknown or out of its range.
        """
        unknown = set(data) - {field.name for field in fields(cls)}
        if unknown:
            raise SettingsError(f"recipe {data.get('name')!r} has choices nobody knows: {', '.join(sorted(unknown))}")
        several = {field: tuple(data[field]) for field in ("quality", "candidates") if field in data}
        return cls(**{**data, **several})


def _one_of(recipe: Recipe, field: str, known: tuple[str, ...]) -> None:
    if getattr(recipe, field) not in known:
        _refuse(recipe, field, f"one of {', '.join(known)}", getattr(recipe, field))


def _refuse(recipe: Recipe, field: str, rule: str, value: object) -> None:
    raise SettingsError(f"recipe {recipe.name!r}: {field} must be {rule}, got {value!r}")


DEFAULT = Recipe("default", candidates=("forest", "knn"))
"""The best that runs on a CPU overnight: task means with a ridge around them and low-rank logistic, with a forest and
kNN-100 where they help, on the question alone, shrunk, level chosen by evidence."""

PAPER = Recipe(
    "paper",
    questions=False,
    quality=("knn",),
    neighbours=40,
    shrink=False,
    uncertainty="quantile",
    level=0.1,
    cost="means",
)
"""The paper's own setting: kNN-40 planned with its bootstrap q10 (arXiv 2603.26796, section 4)."""

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (DEFAULT, PAPER)}
"""Recipes that can be asked for by name."""
