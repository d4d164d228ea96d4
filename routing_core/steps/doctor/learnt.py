"""What was learnt and decided before: the champion, its artifact, the allocation for the next night."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from routing_core.errors import MissingPredictorError
from routing_core.settings import Settings
from routing_core.steps.doctor.finding import Checks, ill, odd, well
from routing_core.steps.doctor.inputs import next_night
from routing_core.store import allocations, health, versions
from routing_core.store.catalog import read_catalog
from routing_core.store.database import reading

_OLD_DAYS = 14


def predictor(settings: Settings) -> Checks:
    """There is a champion, it is not old, its artifact loads here, and it knows the catalog's models."""
    with reading(settings) as connection:
        champion = versions.champion(connection, None)
    night = next_night(settings)
    if champion is None:
        yield ill("champion", "no predictor was ever promoted", f"routing retrain --dt {night - timedelta(days=1)}")
        return
    age = (night - champion.trained_through).days
    if age > _OLD_DAYS:
        yield odd(
            "champion",
            f"predictor {champion.predictor_id} learnt from outcomes through {champion.trained_through}, {age} days "
            f"before the night of {night}",
            f"routing retrain --dt {night}; the view promotions says why challengers were refused",
        )
    else:
        yield well("champion", f"predictor {champion.predictor_id}, trained through {champion.trained_through}")
    yield from _artifact(champion, settings)


def _artifact(champion: Row[Any], settings: Settings) -> Checks:
    from routing_core.predict.encoders import wordllama_missing  # noqa: PLC0415 — slow to import, as all that predicts
    from routing_core.store import predictors  # noqa: PLC0415

    encoder = champion.recipe.get("encoder") if isinstance(champion.recipe, dict) else None
    if encoder == "wordllama" and (missing := wordllama_missing()):
        yield odd("encoder", f"the champion's encoder is not here: {missing}", "pip install 'nightshift[encoders]'")
    loaded = predictors.load(settings.predictors_root, champion.content_hash)
    yield well("artifact", f"{champion.content_hash[:12]} loads")
    unknown = sorted(set(read_catalog(settings.catalog_file).names) - set(loaded.models))
    if unknown:
        yield odd(
            "artifact",
            f"the champion knows nothing of {', '.join(unknown[:5])}, which the catalog has",
            f"routing retrain --dt {next_night(settings)}",
        )


def allocation(settings: Settings) -> Checks:
    """An allocation serves the next night, and the night before has a plan."""
    night = next_night(settings)
    with reading(settings) as connection:
        there = allocations.allocation_for(connection, night)
        yield from _night_before(connection, night)
        try:
            versions.choose_predictor(connection, night, "as_of")
        except MissingPredictorError:
            return  # said by the champion's check
    if there is None:
        yield odd(
            "allocation",
            f"no allocation serves the night of {night}",
            f"routing allocate --dt {night - timedelta(days=1)}",
        )
    else:
        yield well("allocation", f"allocation {there.allocation_id} serves {night}")


def _night_before(connection: Connection, night: date) -> Checks:
    newest = health.newest_current(connection)
    if newest is not None and newest < night - timedelta(days=1):
        yield odd(
            "nights",
            f"the newest plan is of {newest}, the newest backlog of {night}: nights between them were not planned",
            "airflow backfill create, or routing route --dt of each",
        )
