"""Predicting: from logged outcomes to what each model would be worth, and cost, on each query."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from routing_core.predict.fitting import fit
    from routing_core.predict.predictor import Predictor
    from routing_core.predict.recipe import DEFAULT, PAPER, RECIPES, Recipe

__all__ = ["DEFAULT", "PAPER", "RECIPES", "Predictor", "Recipe", "fit"]

_HOMES = {"fit": "fitting", "Predictor": "predictor"}


def __getattr__(name: str) -> Any:
    """What is asked for by name, from its module: who solves a night is not to wait for what fits predictors."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'recipe')}"), name)
