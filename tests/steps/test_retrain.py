"""Retraining: a verdict a day, reproducible, with a reason; and who reigns because of it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from sqlalchemy import text

from routing_core.errors import ContractError, MissingPredictorError
from routing_core.settings import Settings, load_settings
from routing_core.steps.retrain import retrain
from routing_core.store import predictors, versions
from routing_core.store.database import reading

TONIGHT = date(2026, 11, 22)


@pytest.fixture
def as_learnt(world: Settings) -> Settings:
    """The settings that the world was learnt under: the robust level is judged under the night's budget."""
    return load_settings(home=world.home)


def rows(settings: Settings, query: str) -> list:
    with reading(settings) as connection:
        return list(connection.execute(text(query)).all())


def test_the_first_verdict_promotes_and_every_verdict_has_a_reason(world: Settings):
    verdicts = rows(world, "SELECT decision, reason, champion_id FROM predictor_versions ORDER BY predictor_id")
    assert verdicts[0].decision == "promoted"
    assert verdicts[0].champion_id is None
    assert all(verdict.reason for verdict in verdicts)
    assert verdicts[1].champion_id == 1


def test_a_retry_under_the_same_key_gives_the_verdict_it_gave(world: Settings, as_learnt: Settings):
    again = retrain(TONIGHT, as_learnt, run_key="world")
    assert again["predictor_id"] == 2
    assert rows(world, "SELECT count(*) FROM predictor_versions") == [(2,)]


def test_a_rerun_reproduces_the_verdict_and_the_content_and_supersedes_the_old_row(
    world: Settings, as_learnt: Settings
):
    retrain(TONIGHT, as_learnt, run_key="again")
    second, third = rows(
        world,
        "SELECT decision, content_hash, champion_id, superseded_at FROM predictor_versions WHERE predictor_id > 1",
    )
    assert tuple(second[:3]) == tuple(third[:3])
    assert second.superseded_at is not None
    assert third.superseded_at is None


def test_who_reigns_as_of_a_day_has_learnt_nothing_of_later_days(world: Settings):
    with reading(world) as connection:
        assert versions.choose_predictor(connection, TONIGHT - timedelta(days=1), "as_of").predictor_id == 1
        assert versions.choose_predictor(connection, TONIGHT, "as_of").predictor_id == 2
        assert versions.choose_predictor(connection, TONIGHT - timedelta(days=1), "latest").predictor_id == 2
        with pytest.raises(MissingPredictorError, match="routing retrain --dt 2026-11-01"):
            versions.choose_predictor(connection, date(2026, 11, 1), "as_of")


def test_the_artifact_named_in_the_row_is_there_and_hashes_to_its_name(world: Settings):
    for (name,) in rows(world, "SELECT content_hash FROM predictor_versions"):
        assert predictors.load(world.predictors_root, name).content_hash() == name


def test_a_dry_run_records_nothing(world: Settings):
    assert retrain(TONIGHT, world, run_key="dry", dry_run=True)["predictor_id"] is None
    assert rows(world, "SELECT count(*) FROM predictor_versions") == [(2,)]


def test_no_outcomes_at_all_is_a_named_error_with_the_remedy(world: Settings):
    with pytest.raises(ContractError, match=r"no usable outcome was logged.*(\n.*)?make-workload"):
        retrain(date(2026, 1, 1), world, run_key="x")
