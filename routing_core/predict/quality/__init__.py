"""Quality predictors, one method a file, behind the contract in ``base``."""

from __future__ import annotations

from collections.abc import Mapping

from routing_core.predict.quality.base import QualityModel
from routing_core.predict.quality.forest import SharedForest
from routing_core.predict.quality.knn import NearestNeighbours
from routing_core.predict.quality.low_rank import LowRankLogistic
from routing_core.predict.quality.means import ModelMeans
from routing_core.predict.quality.ridge import RidgeRegression
from routing_core.predict.quality.task_ridge import TaskRidge

METHODS: Mapping[str, type[QualityModel]] = {
    method.method: method
    for method in (ModelMeans, NearestNeighbours, LowRankLogistic, RidgeRegression, TaskRidge, SharedForest)
}
"""Classes by the name a recipe calls them."""

__all__ = [
    "METHODS",
    "LowRankLogistic",
    "ModelMeans",
    "NearestNeighbours",
    "QualityModel",
    "RidgeRegression",
    "SharedForest",
    "TaskRidge",
]
