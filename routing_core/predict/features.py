"""Features: what predictors see of a query — its embedding, its task and the shape of its text."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_core.errors import ContractError
from routing_core.predict.cost import cost_features
from routing_core.predict.encoders import (
    Encoder,
    TfidfSvd,
    encoder_from_state,
    encoder_state,
    load_wordllama,
    unit,
    wordllama_missing,
)
from routing_core.predict.labels import Labels
from routing_core.predict.linear import FEATURE_STEP, blocks, on_grid, product
from routing_core.predict.preamble import Preambles
from routing_core.predict.state import State, joined, part

TASK_SCALE = 0.7
"""Length of a task's indicator beside the unit embedding: queries of two tasks are never near neighbours by chance."""
SHAPE_SCALE = 0.1
"""Scale of the standardised shape features, small beside the embedding in a distance."""
SHAPE_LIMIT = 0.5
"""Largest shape feature, five standard deviations: an outlier is not to drown the embedding."""
CHARACTERS = (string.digits, string.ascii_uppercase, " ", ",;:", "?", "\"'`", "()[]{}<>=+*/_", "\n\\")
"""Classes of characters counted in a question: numbers, names, words, clauses, questions, quotes, code, lines."""
_CLASSES = np.array([[float(chr(code) in kind) for kind in CHARACTERS] for code in range(256)])
FITTED_ROWS = 20_000
"""Most texts from which principal components are learnt."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMap:
    """Fitted features.

    A row is the embedding of the question centred on the training mean, projected on its principal components and
    scaled to unit length; then the shape of the prompt and of the question, standardised; then an indicator of the
    task, 0 for a task never seen. All of it lies on the grid that makes inner products exact.

    Attributes
    ----------
    encoder : Encoder or None
        None where vectors come precomputed.
    reason : str
        Why this encoder and not the one the recipe asked for; empty if it is the same.
    preambles : Preambles
        What is left out of a prompt to get its question; none, where the whole prompt is encoded.
    mean : ndarray of float32, shape (n_dimensions,)
    components : ndarray of float32, shape (n_dimensions, n_components)
    shape_mean, shape_scale : ndarray of float32, shape (n_shape,)
    tasks : tuple of str
    """

    encoder: Encoder | None
    reason: str
    preambles: Preambles
    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    shape_mean: NDArray[np.float32]
    shape_scale: NDArray[np.float32]
    tasks: tuple[str, ...]

    @property
    def embedded(self) -> slice:
        """Columns of the embedding."""
        return slice(0, self.components.shape[1])

    @property
    def width(self) -> int:
        """Columns of a feature matrix."""
        return int(self.components.shape[1]) + len(self.shape_mean) + len(self.tasks)

    def transform(
        self,
        prompt: Sequence[str],
        task: NDArray[np.object_],
        input_tokens: NDArray[np.float64],
        embedding: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Features of queries.

        Parameters
        ----------
        prompt : sequence of str, length n_queries
        task : ndarray of str objects, shape (n_queries,)
        input_tokens : ndarray of float64, shape (n_queries,), tokens
        embedding : ndarray of float32, shape (n_queries, n_dimensions), optional
            Used only by a predictor that learnt from such a column.

        Returns
        -------
        ndarray of float32, shape (n_queries, width)

        Raises
        ------
        ContractError
            If it learnt from an embedding column and there is none, or of another dimension.
        """
        prompt = list(prompt)  # made into Python strings once
        question = [self.preambles.question(text) for text in prompt]
        vectors = self.encoder.encode(question) if self.encoder else _checked(embedding, len(self.mean))
        shape = (text_shape(prompt, question, input_tokens) - self.shape_mean) * self.shape_scale
        known = np.array(self.tasks, dtype=object)
        indicator = (task[:, None] == known[None, :]).astype(np.float32) * np.float32(TASK_SCALE)
        embedded = unit(product(vectors - self.mean, self.components))
        return on_grid(np.hstack([embedded, np.clip(shape, -SHAPE_LIMIT, SHAPE_LIMIT), indicator]), FEATURE_STEP)

    def for_cost(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """The features that answer lengths are learnt from, of rows that `transform` made."""
        return cost_features(X, self.embedded, len(self.shape_mean))

    def of_labels(self, labels: Labels) -> NDArray[np.float32]:
        """Features of the queries that ``labels`` are for."""
        return self.transform(labels.prompt, labels.task, labels.input_tokens, labels.embedding)

    def state(self) -> State:
        """Plain data and arrays, from which `from_state` makes it again."""
        encoder = encoder_state(self.encoder.source) if self.encoder else State({"name": "embedding"})
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        own = State({"reason": self.reason, "tasks": list(self.tasks)}, arrays)
        return joined({"encoder": encoder, "preambles": self.preambles.state(), "own": own})

    @classmethod
    def from_state(cls, state: State) -> FeatureMap:
        """The features that `state` described.

        Raises
        ------
        SettingsError, ContractError
            If its encoder cannot be had here.
        """
        encoder, own = part(state, "encoder"), part(state, "own")
        source = None if encoder.meta["name"] == "embedding" else encoder_from_state(encoder)
        preambles = Preambles.from_state(part(state, "preambles"))
        return cls(source, own.meta["reason"], preambles, **own.arrays, tasks=tuple(own.meta["tasks"]))


_ARRAYS = ("mean", "components", "shape_mean", "shape_scale")


def learn_features(
    labels: Labels, encoder: str, dimensions: int, seed: int, *, questions: bool = True
) -> tuple[FeatureMap, NDArray[np.float32]]:
    """Learn features from the queries of ``labels``, without looking at the labels themselves.

    Parameters
    ----------
    labels : Labels
    encoder : str
        One of `recipe.ENCODERS`. A precomputed column is preferred where there is one; an encoder that is not
        installed gives way to TF-IDF + SVD, and the reason is kept.
    dimensions : int
        Principal components to keep.
    seed : int
    questions : bool
        Leave out what many prompts have in common; else the whole prompt is encoded.

    Returns
    -------
    FeatureMap
    ndarray of float32, shape (n_queries, width)
        Features of the same queries.
    """
    preambles = Preambles.learn(labels.prompt) if questions else Preambles()
    question = [preambles.question(text) for text in labels.prompt]
    source, reason = _choose(labels, question, encoder, seed)
    vectors = source.encode(question) if source else np.asarray(labels.embedding, np.float32)
    mean, components = _principal(_sample(vectors, seed), dimensions)
    shape = text_shape(labels.prompt, question, labels.input_tokens)
    spread = shape.std(axis=0) if len(shape) else np.zeros(shape.shape[1])
    scale = np.where(spread > 1e-6, SHAPE_SCALE / np.maximum(spread, 1e-6), 0)
    centre = shape.mean(axis=0) if len(shape) else np.zeros(shape.shape[1])
    tasks = tuple(sorted({str(task) for task in labels.task}))
    shapes = (centre.astype(np.float32), scale.astype(np.float32))
    features = FeatureMap(source, reason, preambles, mean, components, *shapes, tasks)
    return features, features.of_labels(labels)


def _choose(labels: Labels, texts: Sequence[str], encoder: str, seed: int) -> tuple[Encoder | None, str]:
    """The encoder to use, and why it is not the one asked for."""
    if labels.embedding is not None:
        return None, "" if encoder == "embedding" else "the outcomes have an embedding column"
    if encoder == "wordllama":
        missing = wordllama_missing()
        if missing is None:
            return Encoder(load_wordllama()), ""
        return Encoder(TfidfSvd.learn(texts, seed=seed)), missing
    reason = "" if encoder == "tfidf_svd" else "the outcomes have no embedding column"
    return Encoder(TfidfSvd.learn(texts, seed=seed)), reason


def _sample(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    if len(vectors) <= FITTED_ROWS:
        return vectors
    return vectors[np.sort(np.random.default_rng(seed).choice(len(vectors), FITTED_ROWS, replace=False))]


def _principal(vectors: NDArray[np.float32], dimensions: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and leading principal axes, signs fixed so that the largest loading is positive."""
    wide = vectors.shape[1]
    if not len(vectors):
        return np.zeros(wide, np.float32), np.eye(wide, min(wide, dimensions), dtype=np.float32)
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, : min(dimensions, wide)]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return mean.astype(np.float32), np.ascontiguousarray(axes, np.float32)


def text_shape(
    prompt: Sequence[str], question: Sequence[str], input_tokens: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Shape of texts.

    Of the prompt: log tokens, log characters, characters per token, shares of lines and of spaces. Of the question:
    log characters, and the log count of each of `CHARACTERS`.

    Returns
    -------
    ndarray of float64, shape (n_queries, 6 + len(CHARACTERS))
    """
    characters = np.array([len(text) for text in prompt], np.float64)
    lines = np.array([text.count("\n") for text in prompt], np.float64)
    blanks = np.array([text.count(" ") for text in prompt], np.float64)
    columns = (
        np.log1p(input_tokens),
        np.log1p(characters),
        characters / (1 + input_tokens),
        lines / (1 + characters),
        blanks / (1 + characters),
        np.log1p(np.array([len(text) for text in question], np.float64)),
    )
    return np.hstack([np.stack(columns, axis=1), np.log1p(_character_counts(question))])


def _character_counts(texts: Sequence[str]) -> NDArray[np.float64]:
    """How often each class of `CHARACTERS` occurs: ndarray of float64, shape (n_texts, n_classes)."""
    counts = np.empty((len(texts), 256))
    for rows in blocks(len(texts), 256):
        characters = [text.encode("latin-1", "replace") for text in texts[rows]]
        own = np.repeat(np.arange(len(characters)) * 256, [len(of_text) for of_text in characters])
        found = np.bincount(own + np.frombuffer(b"".join(characters), np.uint8), minlength=len(characters) * 256)
        counts[rows] = found.reshape(-1, 256)
    return np.asarray(counts @ _CLASSES)


def _checked(embedding: NDArray[np.float32] | None, dimensions: int) -> NDArray[np.float32]:
    if embedding is None or embedding.shape[1] != dimensions:
        seen = "none" if embedding is None else f"{embedding.shape[1]} dimensions"
        raise ContractError(
            f"the predictor learnt from an embedding column of {dimensions} dimensions; the queries have {seen}",
            remedy="retrain on outcomes without embeddings, or give the backlog the same column",
        )
    return np.asarray(embedding, np.float32)
