"""Artifacts: what is saved is what is loaded, and nothing altered ever is."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from routing_core.errors import ArtifactError
from routing_core.predict import DEFAULT, Predictor, fit
from routing_core.records.outcomes import Outcomes
from routing_core.store.predictors import load, save

MODELS = ("a", "b")


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    rng = np.random.default_rng(0)
    n = 120
    outcomes = Outcomes(
        query_id=np.array([f"q{i}" for i in range(n)], object),
        task=np.array(["t", "u"], object)[rng.integers(0, 2, n)],
        prompt=[f"word{i % 7} and word{i % 11}" for i in range(n)],
        model=np.array(MODELS, object)[rng.integers(0, 2, n)],
        quality=rng.random(n).astype(np.float32),
        input_tokens=rng.integers(1, 50, n),
        output_tokens=rng.integers(1, 50, n),
        cost_usd=rng.random(n) * 1e-3,
        propensity=np.full(n, 0.5),
        logged_at=np.full(n, np.datetime64("2026-11-01", "us")),
    )
    return fit(outcomes, MODELS, replace(DEFAULT, encoder="tfidf_svd", trees=4), seed=1)


@pytest.fixture
def kept(predictor: Predictor, tmp_path: Path) -> tuple[Path, str]:
    return tmp_path, save(predictor, tmp_path)


def test_what_is_loaded_is_what_was_saved(predictor: Predictor, kept: tuple[Path, str]):
    again = load(*kept)
    assert again.content_hash() == kept[1] == predictor.content_hash()
    assert again.recipe == predictor.recipe
    assert again.robust.to_dict() == predictor.robust.to_dict()
    assert again.cost_margin.to_dict() == predictor.cost_margin.to_dict()
    X = np.zeros((3, predictor.features.width), np.float32)
    np.testing.assert_array_equal(again.quality(X)[0], predictor.quality(X)[0])


def test_saving_twice_leaves_one_and_no_scraps(predictor: Predictor, kept: tuple[Path, str]):
    root, content_hash = kept
    assert save(predictor, root) == content_hash
    assert [path.name for path in root.iterdir()] == [content_hash]


def test_a_changed_number_is_found_out(kept: tuple[Path, str]):
    file = next((kept[0] / kept[1]).glob("*.npy"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match="altered"):
        load(*kept)


def test_a_changed_fact_is_found_out(kept: tuple[Path, str]):
    file = kept[0] / kept[1] / "predictor.json"
    facts = json.loads(file.read_text())
    facts["meta"]["n_outcomes"] += 1
    file.write_text(json.dumps(facts))
    with pytest.raises(ArtifactError, match="altered"):
        load(*kept)


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


def test_code_in_an_artifact_is_never_run(kept: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A pickle in the place of an array is refused unread."""
    monkeypatch.chdir(tmp_path)
    files = sorted((kept[0] / kept[1]).glob("*.npy"))
    files[0].write_bytes(pickle.dumps(Bomb()))
    np.save(files[1], np.array([Bomb()], object), allow_pickle=True)
    with pytest.raises(ArtifactError, match="not data"):
        load(*kept)
    assert not Path("exploded").exists()


@pytest.mark.parametrize("name", ["predictor.json", "0003.npy"])
def test_a_missing_part_is_named_as_incomplete(kept: tuple[Path, str], name: str):
    (kept[0] / kept[1] / name).unlink()
    with pytest.raises(ArtifactError, match="incomplete"):
        load(*kept)


@pytest.mark.parametrize("content_hash", ["0" * 64, "../../etc", "", "latest"])
def test_an_absent_or_odd_name_is_refused(tmp_path: Path, content_hash: str):
    with pytest.raises(ArtifactError):
        load(tmp_path, content_hash)
