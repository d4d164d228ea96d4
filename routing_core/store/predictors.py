"""Predictors on disk: a directory named by content hash, of one JSON file and one ``.npy`` file per array.

Loading reads numbers and text alone: no pickle, no class name out of a file is ever looked up, and the content is
hashed again and must give the directory's name.
"""

from __future__ import annotations

import json
import re
import shutil
from functools import lru_cache
from pathlib import Path
from tokenize import TokenError
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from routing_core.errors import ArtifactError, NightshiftError
from routing_core.predict.predictor import Predictor
from routing_core.predict.state import State

_META = "predictor.json"
_HASH = re.compile(r"[0-9a-f]{64}")
_PLAIN = "biuf"
"""Kinds of arrays that are data: booleans, integers, floats."""
_NOT_DATA = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TokenError,
)
"""What reading something other than a predictor can end in, before anything of it is used."""


def save(predictor: Predictor, root: Path) -> str:
    """Keep ``predictor`` below ``root``, all or nothing; a predictor already there is left as it is.

    Returns
    -------
    str
        Its content hash, which is also the name of its directory.
    """
    content_hash = predictor.content_hash()
    final = root / content_hash
    if final.exists():
        load(root, content_hash)
        return content_hash
    root.mkdir(parents=True, exist_ok=True)
    making = root / f".{content_hash}.{uuid4().hex}"
    try:
        _write(making, predictor.state)
        _settle(making, final)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return content_hash


def load(root: Path, content_hash: str) -> Predictor:
    """The predictor kept under ``content_hash``.

    Raises
    ------
    ArtifactError
        If it is absent, incomplete, altered, or holds something that is not data.
    """
    if not _HASH.fullmatch(content_hash):
        raise ArtifactError(f"predictor {content_hash!r}: a content hash is 64 hexadecimal digits")
    directory = root / content_hash
    if not directory.is_dir():
        raise ArtifactError(
            f"predictor {content_hash}: there is no such directory under {root}", remedy="retrain for the date"
        )
    state = _read(directory, content_hash)
    found = state.content_hash()
    if found != content_hash:
        raise ArtifactError(f"predictor {content_hash}: its content was altered and now hashes to {found}")
    try:
        return Predictor.from_state(state)
    except (NightshiftError, *_NOT_DATA) as error:
        raise ArtifactError(f"predictor {content_hash}: it cannot be used here: {error}") from error


@lru_cache(maxsize=2)
def load_cached(root: Path, content_hash: str) -> Predictor:
    """As :func:`load`, kept in memory for the next chunk of the process: what a hash names never changes."""
    return load(root, content_hash)


def _write(directory: Path, state: State) -> None:
    directory.mkdir()
    names = sorted(state.arrays)
    for i, name in enumerate(names):
        np.save(directory / _file(i), np.ascontiguousarray(state.arrays[name]), allow_pickle=False)
    text = json.dumps({"arrays": names, "meta": state.meta}, sort_keys=True, indent=1)
    (directory / _META).write_text(text, encoding="utf-8")


def _settle(making: Path, final: Path) -> None:
    """Move into place; a writer that was faster has written the same content."""
    try:
        making.rename(final)
    except OSError:
        if not final.is_dir():
            raise


def _read(directory: Path, content_hash: str) -> State:
    try:
        kept: dict[str, Any] = json.loads((directory / _META).read_text(encoding="utf-8"))
        arrays = {name: _array(directory / _file(i)) for i, name in enumerate(kept["arrays"])}
        return State(kept["meta"], arrays)
    except (OSError, EOFError, *_NOT_DATA) as error:
        raise ArtifactError(f"predictor {content_hash}: its artifact is incomplete or not data: {error}") from error


def _array(path: Path) -> NDArray[Any]:
    array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in _PLAIN:
        raise ValueError(f"{path.name} must hold a plain array of numbers")
    return array


def _file(number: int) -> str:
    return f"{number:04d}.npy"
