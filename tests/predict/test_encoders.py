"""Encoders: whole texts to unit vectors, the same whatever is encoded beside them."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from routing_core.predict import encoders
from routing_core.predict.encoders import Encoder, TfidfSvd, Wordllama
from routing_core.predict.features import learn_features
from routing_core.predict.labels import tabulate
from routing_core.records.outcomes import Outcomes

TEXTS = ["the cat sat on the mat", "the dog sat on the cat", "prove the theorem of Gauss", "Gauss proved a theorem", ""]


@pytest.fixture(params=["wordllama", "tfidf_svd"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    if request.param == "tfidf_svd":
        return Encoder(TfidfSvd.learn(TEXTS * 3, dimensions=4))
    if reason := encoders.wordllama_missing():
        pytest.skip(reason)
    return Encoder(Wordllama())


def test_texts_alike_are_near(encoder: Encoder):
    vectors = encoder.encode(TEXTS)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[3]
    assert vectors[2] @ vectors[3] > vectors[2] @ vectors[0]


def test_vectors_have_length_one_or_none(encoder: Encoder):
    lengths = np.linalg.norm(encoder.encode(TEXTS), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 1, 1, 0], atol=1e-6)


def test_neither_cache_nor_company_nor_block_changes_a_vector(encoder: Encoder, monkeypatch: pytest.MonkeyPatch):
    whole = encoder.encode(TEXTS)
    monkeypatch.setattr(encoders, "CACHED_WORDS", 3)
    alone = np.concatenate([Encoder(encoder.source).encode([text]) for text in TEXTS])
    np.testing.assert_array_equal(alone, whole)
    np.testing.assert_array_equal(encoder.encode(TEXTS[::-1], block=2)[::-1], whole)


def test_the_end_of_a_long_prompt_counts(encoder: Encoder):
    """Shared few-shot prefixes must not hide the question: nothing is truncated."""
    prefix = "the cat sat on the mat " * 500
    a, b = encoder.encode([prefix + "theorem of Gauss " * 100, prefix + "dog sat on the cat " * 100])
    assert not np.allclose(a, b, atol=1e-3)


def test_loading_leaves_logging_alone():
    before = (logging.getLogger().level, list(logging.getLogger().handlers))
    encoders.wordllama_missing()
    assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before


def test_without_the_extra_another_encoder_steps_in_with_the_reason(
    outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("routing_core.predict.features.wordllama_missing", lambda: "the extra is not installed")
    labels = tabulate(outcomes, ("small",), half_life_days=28, max_importance=10)
    features, X = learn_features(labels, "wordllama", 16, 0)
    assert isinstance(features.encoder.source, TfidfSvd)
    assert features.reason == "the extra is not installed"
    assert np.isfinite(X).all()


def test_features_lie_on_the_grid_that_makes_products_exact(outcomes: Outcomes):
    labels = tabulate(outcomes, ("small",), half_life_days=28, max_importance=10)
    _, X = learn_features(labels, "tfidf_svd", 16, 0)
    np.testing.assert_array_equal(X * 1024, np.rint(X * 1024))
    assert (np.abs(X) @ np.abs(X.T)).max() < 4


def test_a_task_never_seen_has_no_indicator(outcomes: Outcomes):
    labels = tabulate(outcomes, ("small",), half_life_days=28, max_importance=10)
    features, _ = learn_features(labels, "tfidf_svd", 16, 0)
    X = features.transform(["what"], np.array(["law"], object), np.array([3.0]))
    assert (X[0, -2:] == 0).all()
