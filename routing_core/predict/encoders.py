"""Encoders: text to vectors, as the normalised sum of the vectors of its words.

A word's vector is worked out once and kept, so a text costs a split and a sparse row: tens of thousands of whole
prompts a second. Both sources of word vectors live behind :class:`WordVectors`; what a text is worth depends
neither on the cache nor on the texts encoded with it.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from routing_core.errors import ContractError, SettingsError
from routing_core.predict.state import State

CACHED_WORDS = 200_000
"""Words whose vectors are kept; past it the cache starts anew, which changes no result."""


class WordVectors(Protocol):
    """Where the vectors of words come from."""

    dimensions: int

    def vectors(self, words: list[str]) -> NDArray[np.float32]:
        """Vectors of ``words``: ndarray of float32, shape (n_words, dimensions)."""
        ...


class Encoder:
    """Texts to unit vectors.

    Parameters
    ----------
    source : WordVectors
    """

    def __init__(self, source: WordVectors) -> None:
        self.source = source
        self._forget()

    def _forget(self) -> None:
        self._row: defaultdict[str, int] = defaultdict()
        # A word asked for the first time gets the next row.
        self._row.default_factory = self._row.__len__
        self._vectors = np.zeros((0, self.source.dimensions), np.float32)

    def encode(self, texts: Sequence[str], block: int = 4096) -> NDArray[np.float32]:
        """Encode whole texts, however long.

        Parameters
        ----------
        texts : sequence of str, length n_texts
        block : int
            Texts taken at a time; bounds the memory, changes no result.

        Returns
        -------
        ndarray of float32, shape (n_texts, dimensions)
            Of length 1 each, or 0 where no word is known.
        """
        encoded = np.empty((len(texts), self.source.dimensions), np.float32)
        for start in range(0, len(texts), block):
            encoded[start : start + block] = self._encode_block(texts[start : start + block])
        return encoded

    def _encode_block(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if len(self._row) > CACHED_WORDS:
            self._forget()
        row = self._row
        words = [text.split() for text in texts]
        ends = np.cumsum([0, *map(len, words)])
        indices = np.fromiter(map(row.__getitem__, chain.from_iterable(words)), np.int32, ends[-1])
        if len(row) > len(self._vectors):
            new = list(islice(row, len(self._vectors), None))
            self._vectors = np.concatenate([self._vectors, self.source.vectors(new)])
        # Unsorted on purpose: each row is summed in the order of its words, whatever the cache holds.
        counts = sparse.csr_matrix(
            (np.ones(len(indices), np.float32), indices, ends), shape=(len(texts), len(self._vectors))
        )
        return unit(counts @ self._vectors)


class Wordllama:
    """Token vectors of a large language model, shipped in the wheel of ``wordllama``; nothing is downloaded."""

    def __init__(self) -> None:
        with _logging_left_alone():
            import wordllama  # noqa: PLC0415 — an optional extra

            model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
        self._tokens: NDArray[np.float32] = model.embedding
        self._tokenizer = model.tokenizer
        self._tokenizer.no_padding()
        self.dimensions = int(self._tokens.shape[1])
        self.fingerprint = hashlib.sha256(self._tokens.tobytes()).hexdigest()

    def vectors(self, words: list[str]) -> NDArray[np.float32]:
        """Sum of a word's token vectors, so that summing over words is pooling over tokens."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(words, add_special_tokens=False)]
        lengths = np.array([len(tokens) for tokens in ids])
        flat = np.fromiter((token for tokens in ids for token in tokens), np.int64, lengths.sum())
        rows = np.repeat(np.arange(len(words)), lengths)
        counts = sparse.csr_matrix(
            (np.ones(len(flat), np.float32), (rows, np.clip(flat, 0, len(self._tokens) - 1))),
            shape=(len(words), len(self._tokens)),
        )
        return np.asarray(counts @ self._tokens, np.float32)


class TfidfSvd:
    """Latent semantic analysis: tf · idf projected on its leading singular vectors. Needs no extra.

    A projected text is Σ_w tf_w · idf_w · V_w, linear in its words, so idf_w · V_w is the vector of word w.

    Parameters
    ----------
    words : sequence of str
        Vocabulary; other words have the vector 0.
    table : ndarray of float32, shape (n_words, dimensions)
    """

    def __init__(self, words: Sequence[str], table: NDArray[np.float32]) -> None:
        self.words = tuple(words)
        self.table = table
        self.dimensions = int(table.shape[1])
        self._row = {word: i for i, word in enumerate(self.words)}

    @classmethod
    def learn(cls, texts: Sequence[str], dimensions: int = 128, vocabulary: int = 20_000, seed: int = 0) -> TfidfSvd:
        """Learn from ``texts``; words seen in one text alone are left out."""
        from sklearn.utils.extmath import randomized_svd  # noqa: PLC0415 — slow to import

        documents = Counter(word for text in texts for word in dict.fromkeys(text.split()))
        kept = sorted((w for w, count in documents.items() if count > 1), key=lambda w: (-documents[w], w))[:vocabulary]
        if not kept:
            return cls((), np.zeros((0, dimensions), np.float32))
        row = {word: i for i, word in enumerate(kept)}
        cells = Counter((i, row[w]) for i, text in enumerate(texts) for w in text.split() if w in row)
        at = np.array(list(cells), np.int64).T
        counts = sparse.csr_matrix((np.fromiter(cells.values(), np.float64), at), shape=(len(texts), len(kept)))
        idf = np.log((1 + len(texts)) / (1 + np.array([documents[w] for w in kept]))) + 1
        scaled = counts @ sparse.diags(idf)
        rank = min(dimensions, *scaled.shape)
        _, _, v = randomized_svd(scaled, rank, random_state=seed)
        table = np.zeros((len(kept), dimensions), np.float32)
        table[:, :rank] = (v * idf).T
        return cls(kept, table)

    def vectors(self, words: list[str]) -> NDArray[np.float32]:
        """Rows of the learnt table; 0 for a word outside the vocabulary."""
        found = np.zeros((len(words), self.dimensions), np.float32)
        rows = [(i, self._row[word]) for i, word in enumerate(words) if word in self._row]
        if rows:
            at, of = np.array(rows).T
            found[at] = self.table[of]
        return found


def wordllama_missing() -> str | None:
    """Why the ``wordllama`` encoder cannot be used here, or None if it can."""
    try:
        with _logging_left_alone():
            import wordllama  # noqa: F401, PLC0415 — an optional extra
    except ImportError as error:
        return f"the extra «encoders» is not installed ({error})"
    return None


def encoder_state(source: WordVectors) -> State:
    """What must be stored to make ``source`` again; of vectors that come in a wheel, their fingerprint."""
    if isinstance(source, TfidfSvd):
        return State({"name": "tfidf_svd", "words": list(source.words)}, {"table": source.table})
    return State({"name": "wordllama", "fingerprint": getattr(source, "fingerprint", "")})


def encoder_from_state(state: State) -> Encoder:
    """The encoder that `encoder_state` described.

    Raises
    ------
    SettingsError
        If it needs an extra that is not installed.
    ContractError
        If the extra's word vectors are not those that were learnt with.
    """
    if state.meta["name"] == "tfidf_svd":
        return Encoder(TfidfSvd(state.meta["words"], state.arrays["table"]))
    source = load_wordllama()
    if source.fingerprint != state.meta["fingerprint"]:
        raise ContractError("the word vectors of wordllama are not those the predictor learnt with", remedy="retrain")
    return Encoder(source)


@contextmanager
def _logging_left_alone() -> Iterator[None]:
    """``wordllama`` configures the root logger when imported; undo it."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


_LOADED: dict[str, Any] = {}


def load_wordllama() -> Wordllama:
    """The embedded word vectors, read once per process.

    Raises
    ------
    SettingsError
        If the extra is not installed.
    """
    missing = wordllama_missing()
    if missing:
        raise SettingsError(f"encoder 'wordllama' is not here: {missing}", remedy="pip install 'nightshift[encoders]'")
    source: Wordllama = _LOADED.get("wordllama") or _LOADED.setdefault("wordllama", Wordllama())
    return source


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Each row scaled to length 1; a row of zeros stays."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), np.float32)
