"""State: what a fitted thing is made of — plain data and arrays, never code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Plain data (JSON) and named arrays.

    Attributes
    ----------
    meta : dict
        Strings, numbers, booleans, lists and dicts alone.
    arrays : dict of str to ndarray
        Booleans, integers and floats alone.
    """

    meta: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def content_hash(self) -> str:
        """SHA-256 of the canonical form: sorted JSON, then each array by name, type, shape and little-endian bytes."""
        digest = hashlib.sha256(canonical_json(self.meta).encode())
        for name in sorted(self.arrays):
            array = np.ascontiguousarray(self.arrays[name])
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()


def canonical_json(data: Any) -> str:
    """JSON with sorted keys and no blanks, the same for equal data."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=True)


def joined(parts: Mapping[str, State]) -> State:
    """One state out of several, each under its name."""
    meta = {name: part.meta for name, part in parts.items()}
    arrays = {f"{name}/{key}": array for name, part in parts.items() for key, array in part.arrays.items()}
    return State(meta, arrays)


def part(state: State, name: str) -> State:
    """The state that `joined` put under ``name``."""
    prefix = f"{name}/"
    arrays = {key.removeprefix(prefix): array for key, array in state.arrays.items() if key.startswith(prefix)}
    return State(state.meta[name], arrays)
