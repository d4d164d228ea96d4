"""A night unlike what was learnt from is measured, stored, and planned carefully if the settings say so."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import text

from routing_core.errors import SettingsError
from routing_core.predict.evidence import CONSERVATIVE
from routing_core.settings import Settings, load_settings
from routing_core.steps import route
from routing_core.store.database import reading

TONIGHT = date(2026, 11, 22)


def planned(settings: Settings, key: str):
    run_id = route.route(TONIGHT, settings, run_key=key)["run_id"]
    with reading(settings) as connection:
        return connection.execute(text("SELECT * FROM routing_runs WHERE run_id = :run"), {"run": run_id}).one()


def test_every_night_says_how_much_of_it_is_unfamiliar(world: Settings):
    night = planned(world, "a")
    assert 0 <= night.unfamiliar_share <= min(1, night.new_task_share + night.far_share)
    assert night.unfamiliar_share >= max(night.new_task_share, night.far_share)
    assert not night.conservative


def test_a_night_over_the_limit_is_planned_on_the_conservative_level_and_says_so(world: Settings):
    plain = planned(world, "a")
    careful = planned(world.model_copy(update={"unfamiliar_limit": 0.0}), "b")
    assert plain.unfamiliar_share > 0, "the world has a few queries that are far"
    assert careful.conservative
    assert (careful.robust_method, careful.robust_level) == CONSERVATIVE
    assert careful.objective <= plain.objective
    assert careful.unfamiliar_share == plain.unfamiliar_share


def test_a_night_within_the_limit_is_planned_as_ever(world: Settings):
    plain, within = planned(world, "a"), planned(world.model_copy(update={"unfamiliar_limit": 1.0}), "b")
    assert not within.conservative
    assert (within.objective, within.robust_level) == (plain.objective, plain.robust_level)


def test_a_lower_level_asked_for_by_hand_is_not_raised(world: Settings):
    asked = {"unfamiliar_limit": 0.0, "robust_level": 0.01}
    night = planned(world.model_copy(update=asked), "a")
    assert (night.robust_method, night.robust_level) == ("quantile", 0.01)


def test_a_limit_beyond_all_shares_is_refused():
    with pytest.raises(SettingsError, match="unfamiliar_limit"):
        load_settings(unfamiliar_limit=1.5)
