"""Models that too little is known of: how much is missing, and what is withheld from them meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from routing_core.route.probe import Probes, withheld
from routing_core.settings import Settings
from routing_core.store.gather import Gathered

if TYPE_CHECKING:  # slow to import, and what is brought back from disk has none
    from routing_core.predict.predictor import Predictor

Until = tuple[int | None, ...]
"""Outcomes that each model needs before it is planned with; None where it has them."""


def outcomes_until_eligible(predictor: Predictor, models: Sequence[str], settings: Settings) -> Until:
    """What each model of the catalog lacks, effective outcomes counted; nothing where no probes are asked for."""
    if not settings.probe_quota:
        return (None,) * len(models)
    known = dict(zip(predictor.models, predictor.effective.tolist(), strict=True))
    missing = (ceil(settings.probation_outcomes - known.get(name, 0.0)) for name in models)
    return tuple(count if count > 0 else None for count in missing)


def withhold(night: Gathered, until: Until, settings: Settings) -> tuple[Gathered, Probes | None]:
    """The night without the models on probation, and the probes it may make of them."""
    newcomers = np.array([count is not None for count in until])
    if not newcomers.any() or not len(night):
        return night, None
    kept = replace(night, eligible=withheld(night.eligible, newcomers))
    return kept, Probes(newcomers, night.eligible, settings.probe_quota)
