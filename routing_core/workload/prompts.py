"""Queries of the synthetic workload: their hidden state, and the text that gives it away in part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import expit

from routing_core.errors import ContractError
from routing_core.workload.draws import Keys, choose, choose_by, make_keys, normal, uniform
from routing_core.workload.families import FAMILIES, Family

BACKLOG, DAYTIME = "night", "day"
"""Kinds of queries: those that wait for the night, and those answered as they came."""

_SPREAD, _BLUR = 1.2, 0.8
_MOST_CLAUSES = 6
_BYTES_PER_TOKEN = 4
_ID = r"^(?P<kind>night|day)-(?P<day>[0-9]{8})-(?P<number>[0-9]{7,9})$"


@dataclass(frozen=True, slots=True, eq=False)
class Hidden:
    """What is true of queries and written nowhere; follows from the seed and their identifiers.

    Attributes
    ----------
    keys : ndarray of uint64, shape (n_queries,)
    family : ndarray of int64, shape (n_queries,)
        Index into ``FAMILIES``.
    difficulty : ndarray of float64, shape (n_queries,), logit scale
    submitted_at : ndarray of datetime64[us], shape (n_queries,), UTC
    """

    keys: Keys
    family: NDArray[np.int64]
    difficulty: NDArray[np.float64]
    submitted_at: NDArray[np.datetime64]

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: NDArray[np.integer]) -> Hidden:
        """The queries at ``rows``."""
        return Hidden(self.keys[rows], self.family[rows], self.difficulty[rows], self.submitted_at[rows])


def query_ids(kind: str, day: date, numbers: NDArray[np.int64]) -> pa.Array:
    """Identifiers as large_string, for instance ``night-20261122-0000017``."""
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 7, "0")
    return pc.binary_join_element_wise(f"{kind}-{day:%Y%m%d}", digits, "-").cast(pa.large_string())


def hidden_of(seed: int, kind: str, day: date, numbers: NDArray[np.int64]) -> Hidden:
    """The hidden state of the queries with these numbers on ``day``."""
    days = np.full(len(numbers), int(f"{day:%Y%m%d}"))
    return _hidden(make_keys(seed, kind, days, numbers), day)


def hidden_of_ids(seed: int, ids: Sequence[str]) -> Hidden:
    """The hidden state of queries by their identifiers, which may be of several days.

    Raises
    ------
    ContractError
        If one is not an identifier of the synthetic workload.
    """
    parts = pc.extract_regex(pa.array(ids, pa.string()), _ID)
    if parts.null_count:
        odd = ids[int(np.flatnonzero(np.asarray(parts.is_null()))[0])]
        raise ContractError(f"query_id must be one of the synthetic workload, like night-20261122-0000017, got {odd!r}")
    kinds = np.asarray(parts.field("kind"), dtype=object)
    days, numbers = (np.asarray(parts.field(name).cast(pa.int64())) for name in ("day", "number"))
    pieces, order = [_hidden(np.empty(0, np.uint64), date(1970, 1, 1))], [np.empty(0, np.int64)]
    for kind, day in sorted(set(zip(kinds.tolist(), days.tolist(), strict=True))):
        rows = np.flatnonzero((kinds == kind) & (days == day))
        keys = make_keys(seed, kind, days[rows], numbers[rows])
        pieces.append(_hidden(keys, datetime.strptime(str(day), "%Y%m%d").date()))  # noqa: DTZ007 (a day has no zone)
        order.append(rows)
    joined = Hidden(*(np.concatenate([getattr(p, name) for p in pieces]) for name in Hidden.__slots__))
    return joined.take(np.argsort(np.concatenate(order)))


def tasks(hidden: Hidden) -> pa.Array:
    """Names of the families, as large_string."""
    return pa.array([family.name for family in FAMILIES], pa.large_string()).take(pa.array(hidden.family))


def prompts(hidden: Hidden) -> pa.Array:
    """The texts, as large_string.

    Number and kind of clauses follow the difficulty, blurred: a reader can tell hard from easy, not exactly.
    """
    looks = expit(hidden.difficulty + _BLUR * normal(hidden.keys, "blur"))
    pieces, order = [pa.array([], pa.large_string())], [np.empty(0, np.int64)]
    for k, family in enumerate(FAMILIES):
        rows = np.flatnonzero(hidden.family == k)
        pieces.append(_texts(family, hidden.keys[rows], looks[rows]))
        order.append(rows)
    return pa.concat_arrays(pieces).take(pa.array(np.argsort(np.concatenate(order))))


def count_tokens(texts: pa.Array) -> NDArray[np.int64]:
    """Tokens of texts, at four bytes a token, at least 1; shape (n_texts,)."""
    size: NDArray[np.int64] = np.asarray(pc.binary_length(texts)).astype(np.int64)
    return np.maximum(1, -(-size // _BYTES_PER_TOKEN))


def daily_volume(day: date, usual: int) -> int:
    """Queries on ``day`` where ``usual`` come on an ordinary weekday: Mondays are busier, weekends quiet."""
    return max(1, round(usual * (1.15, 1.05, 1.0, 1.0, 0.95, 0.6, 0.55)[day.weekday()])) if usual else 0


def _office(hour: NDArray[np.int64], weekend: bool) -> NDArray[np.float64]:
    """How much of an office day an hour is, 0 to 1."""
    return np.where((hour >= 8) & (hour < 18), 0.25 if weekend else 1.0, 0.0)


def _hidden(keys: Keys, day: date) -> Hidden:
    weekend = day.weekday() >= 5
    hours = np.arange(24)
    arrivals = np.cumsum(1.0 + 2.5 * _office(hours, weekend))
    hour = np.searchsorted(arrivals / arrivals[-1], uniform(keys, "hour"), side="right").clip(0, 23)
    weights = np.array([f.share for f in FAMILIES]) * np.exp(
        np.outer(_office(hours, weekend), [f.office for f in FAMILIES])
    )
    cumulative = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    family = choose_by(keys, "family", cumulative[hour])
    by_hour = 0.3 * np.cos(2 * np.pi * (hour - 3) / 24) - (0.25 if weekend else 0.0)
    hardness = np.array([f.hardness for f in FAMILIES])[family]
    difficulty = hardness + by_hour + _SPREAD * normal(keys, "difficulty")
    seconds = hour * 3600 + uniform(keys, "second") * 3600
    submitted = np.datetime64(day, "us") + (seconds * 1e6).astype("m8[us]")
    return Hidden(keys, family, difficulty, submitted)


def _texts(family: Family, keys: Keys, looks: NDArray[np.float64]) -> pa.Array:
    """Texts of one family; ``looks`` is how hard they look, 0 to 1."""
    clauses = 1 + (looks * (_MOST_CLAUSES - 1) + uniform(keys, "clauses")).astype(np.int64)
    pieces = [_drawn(family.openings, keys, "opening"), _drawn(family.subjects, keys, "subject")]
    for k in range(_MOST_CLAUSES):
        absent = k >= clauses
        hard = uniform(keys, f"hard {k}") < looks
        code = np.where(
            hard,
            len(family.plain) + choose(keys, f"clause {k}", len(family.hard)),
            choose(keys, f"clause {k}", len(family.plain)),
        )
        pool = pa.array(family.plain + family.hard, pa.large_string())
        clause = pool.take(pa.array(code, mask=absent))
        value = _values(family, keys, looks, k)
        pieces += [clause, pc.if_else(pa.array(absent), pa.scalar(None, pa.large_string()), value)]
    pieces.append(_drawn(family.closings, keys, "closing"))
    return pc.binary_join_element_wise(*pieces, pa.scalar(" ", pa.large_string()), null_handling="skip")


def _drawn(pool: tuple[str, ...], keys: Keys, stream: str) -> pa.Array:
    return pa.array(pool, pa.large_string()).take(pa.array(choose(keys, stream, len(pool))))


def _values(family: Family, keys: Keys, looks: NDArray[np.float64], k: int) -> pa.Array:
    """What ends clause ``k``, with its punctuation."""
    if family.values:
        return _drawn(tuple(f"{value}." for value in family.values), keys, f"value {k}")
    digits = 10.0 ** (1.0 + 3.0 * looks)
    numbers = 2 + (uniform(keys, f"value {k}") * digits).astype(np.int64)
    comma = pa.scalar(",", pa.large_string())
    return pc.binary_join_element_wise(
        pa.array(numbers).cast(pa.large_string()), comma, pa.scalar("", pa.large_string())
    )
