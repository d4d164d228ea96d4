"""Predicting: from logged outcomes to what each model would be worth, and cost, on each query."""

from __future__ import annotations

from routing_core.predict.fitting import fit
from routing_core.predict.predictor import Predictor
from routing_core.predict.recipe import DEFAULT, PAPER, RECIPES, Recipe

__all__ = ["DEFAULT", "PAPER", "RECIPES", "Predictor", "Recipe", "fit"]
