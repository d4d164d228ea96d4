"""A column of a file against its contract: cast without loss, and every row that breaks a rule found.

All checks run over whole Arrow or NumPy arrays; only rows that break a rule cost Python time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from routing_core.errors import ContractError
from routing_core.records.columns import Column, Kind

LONGEST_NAME = 512
"""Most bytes of an identifier, so that every database can index it. Prompts are free."""
LARGEST_COUNT = 2**31 - 1
"""Largest count of tokens taken for one: what a 4-byte integer column holds."""
LARGEST_NUMBER = 1e9
"""Largest number taken for a quantity where the contract leaves the side open; sums of it stay finite."""
EARLIEST, LATEST = np.datetime64("1970-01-01", "us"), np.datetime64("9999-12-31", "us")
"""Timestamps outside are taken for mistakes; every database holds those within."""

ARROW_TYPES = {
    Kind.STRING: pa.large_string(),
    Kind.INTEGER: pa.int64(),
    Kind.NUMBER: pa.float64(),
    Kind.TIMESTAMP: pa.timestamp("us", "UTC"),
    Kind.STRINGS: pa.list_(pa.string()),
    Kind.VECTOR: pa.list_(pa.float32()),
}

Mask = NDArray[np.bool_]
_NEVER_EMPTY = frozenset({"query_id", "model"})
_FREE_TEXT = frozenset({"prompt"})
_SHOWN = 80
_FILLED = "must be filled, as it is in other rows"
_TICKS_PER_MICROSECOND = {"s": (1, 10**6), "ms": (1, 10**3), "us": (1, 1), "ns": (10**3, 1)}


@dataclass(frozen=True, slots=True)
class Fault:
    """Rows that break one rule of one column.

    Attributes
    ----------
    rows : ndarray of int64, shape (n_bad,)
    rule : str
        The rule as the end of a sentence that begins with the column.
    """

    rows: NDArray[np.int64]
    rule: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A column after its checks.

    Attributes
    ----------
    values : pyarrow.Array of the kind's type, or ndarray of float32 for a vector, or None
        Length n_rows or shape (n_rows, n_dimensions), undefined at faulty rows. None if there is not a single vector.
    faults : tuple of Fault
    """

    values: pa.Array | NDArray[np.float32] | None
    faults: tuple[Fault, ...]


def check_column(
    column: Column, array: pa.Array, *, dimension: int | None = None, latest: np.datetime64 = LATEST
) -> Checked:
    """Cast ``array`` to what the contract holds and find the rows that break it.

    Parameters
    ----------
    column : Column
    array : pyarrow.Array of shape (n_rows,)
    dimension : int, optional
        Length that vectors must have; None if there are none.
    latest : datetime64[us]
        Timestamps of a column that looks back (``logged_at``, ``submitted_at``) may not be later.

    Raises
    ------
    ContractError
        If the type cannot hold the contract; the message begins with the column and the rule.
    """
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pt.is_dictionary(array.type):
        array = array.dictionary_decode()
    nulls = _mask(array.is_null())
    required = (_fault(nulls, "must not be null"),) if column.required and nulls.any() else ()
    if pt.is_null(array.type) and column.kind is not Kind.VECTOR:
        return Checked(pa.nulls(len(array), ARROW_TYPES[column.kind]), required)
    if column.kind is Kind.VECTOR:
        checked = _vector(column, array, dimension)
    elif column.kind is Kind.TIMESTAMP:
        checked = _timestamp(column, array, latest if column.name in {"logged_at", "submitted_at"} else LATEST)
    else:
        checked = _CHECKS[column.kind](column, array)
    return Checked(checked.values, required + checked.faults)


def vector_lengths(column: Column, array: pa.Array) -> NDArray[np.int64]:
    """Lengths of the vectors that are not null, shape (n_filled,).

    Raises
    ------
    ContractError
        If the type is not a list of numbers.
    """
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pt.is_null(array.type):
        return np.empty(0, dtype=np.int64)
    _need_list(column, array, lambda t: pt.is_integer(t) or pt.is_floating(t) or pt.is_null(t))
    return np.asarray(pc.list_value_length(array).drop_null().cast(pa.int64()))


def shown(array: pa.Array, row: int) -> str:
    """The value at ``row`` for a message: printable, shortened, safe in every database."""
    value = array.slice(row, 1)
    if isinstance(value, pa.ExtensionArray):
        value = value.storage
    if pt.is_dictionary(value.type):
        value = value.dictionary_decode()
    if not value[0].is_valid:
        return "null"
    if _is_text(value.type):
        raw = value.cast(pa.large_string()).view(pa.large_binary()) if not _is_binary(value.type) else value
        return _shorten(repr(raw[0].as_py()[: 4 * _SHOWN].decode("utf-8", "backslashreplace")))
    try:
        return _shorten(str(value[0].as_py()).encode("utf-8", "backslashreplace").decode())
    except (pa.ArrowException, ValueError, OverflowError, KeyError):  # an unknown time zone is a KeyError
        return "a value that cannot be shown"


def readable_name(array: pa.Array, row: int) -> str | None:
    """The text at ``row`` as far as a database can hold it; None where it is null, not UTF-8 or has NUL."""
    value = array.slice(row, 1)
    if not value[0].is_valid:
        return None
    try:
        name = str(value[0].as_py())
    except UnicodeDecodeError:
        return None
    return None if not name or "\0" in name else _shorten(name, LONGEST_NAME // 4)


def _shorten(text: str, most: int = _SHOWN) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _mask(array: pa.Array) -> Mask:
    """A Boolean Arrow array as NumPy, null counting as False."""
    return np.asarray(pc.fill_null(array, False).to_numpy(zero_copy_only=False), dtype=bool)


def _fault(mask: Mask, rule: str) -> Fault:
    return Fault(np.flatnonzero(mask), rule)


def _faults(*found: tuple[Mask, str]) -> tuple[Fault, ...]:
    return tuple(_fault(mask, rule) for mask, rule in found if mask.any())


def _refuse_type(column: Column, array: pa.Array) -> ContractError:
    return ContractError(f"column {column.name!r} must be a {column.kind.value}, has type {array.type}")


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind)) or _is_binary(kind)


def _text(column: Column, array: pa.Array) -> pa.Array:
    """As large_string, bytes unchecked: old writers leave text unannotated, as binary."""
    if pt.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pt.is_null(array.type):
        return pa.nulls(len(array), pa.large_string())
    if not _is_text(array.type):
        raise _refuse_type(column, array)
    return (
        array.cast(pa.large_binary()).view(pa.large_string())
        if _is_binary(array.type)
        else array.cast(pa.large_string())
    )


def _string(column: Column, array: pa.Array) -> Checked:
    text = _text(column, array)
    found = [(_not_utf8(text), "must be valid UTF-8"), (_has_nul(text), "must not contain the NUL character")]
    if column.name not in _FREE_TEXT:
        size = pc.binary_length(text)
        found.append((_mask(pc.greater(size, LONGEST_NAME)), f"must be at most {LONGEST_NAME} bytes long"))
        if column.name in _NEVER_EMPTY:
            found.append((_mask(pc.equal(size, 0)), "must not be empty"))
    return Checked(text, _faults(*found))


def _not_utf8(text: pa.Array) -> Mask:
    """Rows whose bytes are not UTF-8; blocks that validate as a whole are not looked into."""
    bad = np.zeros(len(text), dtype=bool)
    if _is_valid(text):
        return bad
    for start in range(0, len(text), 1024):
        block = text.slice(start, 1024)
        if not _is_valid(block):
            bad[start : start + len(block)] = [not _is_valid(block.slice(i, 1)) for i in range(len(block))]
    return bad


def _is_valid(text: pa.Array) -> bool:
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _has_nul(text: pa.Array) -> Mask:
    """Rows with a NUL; the bytes are scanned once, and rows looked at only if there is one at all."""
    data = text.buffers()[2]
    if data is None or np.count_nonzero(np.frombuffer(data, dtype=np.uint8)) == data.size:
        return np.zeros(len(text), dtype=bool)
    return _mask(pc.match_substring(text.view(pa.large_binary()), b"\0"))


def _number(column: Column, array: pa.Array) -> Checked:
    if not (pt.is_integer(array.type) or pt.is_floating(array.type) or pt.is_decimal(array.type)):
        raise _refuse_type(column, array)
    numbers = array.cast(pa.float64(), safe=False)
    values = np.asarray(pc.fill_null(numbers, column.low or 0.0))
    low = -LARGEST_NUMBER if column.low is None else column.low
    high = LARGEST_NUMBER if column.high is None else column.high
    with np.errstate(invalid="ignore"):
        bad = ~((values >= low) & (values <= high))
    return Checked(numbers, _faults((bad, f"must be a finite number from {low:g} to {high:g}")))


def _integer(column: Column, array: pa.Array) -> Checked:
    checked = _number(column, array)
    filled = np.asarray(pc.fill_null(checked.values, 0.0))
    low = -LARGEST_COUNT if column.low is None else column.low
    with np.errstate(invalid="ignore"):
        bad = ~((filled >= low) & (filled <= LARGEST_COUNT) & (filled == np.floor(filled)))
    whole = pa.array(np.where(bad, 0, filled).astype(np.int64), mask=_mask(array.is_null()))
    return Checked(whole, _faults((bad, f"must be a whole number from {low:g} to {LARGEST_COUNT}")))


def _timestamp(column: Column, array: pa.Array, latest: np.datetime64) -> Checked:
    """UTC in microseconds; a time without zone is taken as UTC, a day as its midnight, finer ticks are cut off."""
    if pt.is_date(array.type):
        array = array.cast(pa.timestamp("ms"))
    if not pt.is_timestamp(array.type):
        raise _refuse_type(column, array)
    finer, coarser = _TICKS_PER_MICROSECOND[array.type.unit]
    ticks = np.asarray(pc.fill_null(array.view(pa.int64()), 0))
    first, last = (int(day.astype(np.int64)) * finer // coarser for day in (EARLIEST, latest))
    bad = (ticks < first) | (ticks > last)
    micros = np.where(bad, 0, ticks) * coarser // finer
    values = pa.array(micros, type=pa.int64(), mask=_mask(array.is_null())).view(ARROW_TYPES[Kind.TIMESTAMP])
    return Checked(
        values, _faults((bad, f"must be a time from {EARLIEST.astype('M8[D]')} to {latest.astype('M8[s]')} UTC"))
    )


def _need_list(column: Column, array: pa.Array, members: Callable[[pa.DataType], bool]) -> None:
    kind = array.type
    if not (pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind)) or not members(kind.value_type):
        raise _refuse_type(column, array)


def _strings(column: Column, array: pa.Array) -> Checked:
    _need_list(column, array, lambda t: _is_text(t) or pt.is_dictionary(t) or pt.is_null(t))
    members = _text(column, pc.list_flatten(array))
    size = pc.fill_null(pc.binary_length(members), 0)
    wrong = _not_utf8(members) | _has_nul(members) | _mask(pc.or_(pc.equal(size, 0), pc.greater(size, LONGEST_NAME)))
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array).cast(pa.int64()), 0))
    bad = np.zeros(len(array), dtype=bool)
    bad[np.repeat(np.arange(len(array)), lengths)[wrong]] = True
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), type=pa.int32())
    plain = members.view(pa.large_binary()).cast(pa.binary()).view(pa.string())
    values = pa.ListArray.from_arrays(offsets, plain, mask=array.is_null())
    return Checked(values, _faults((bad, f"must list names of 1 to {LONGEST_NAME} bytes in UTF-8 without NUL")))


def _vector(column: Column, array: pa.Array, dimension: int | None) -> Checked:
    if dimension is None:
        return Checked(None, ())
    if pt.is_null(array.type):
        nothing = np.ones(len(array), dtype=bool)
        return Checked(np.zeros((len(array), dimension), np.float32), _faults((nothing, _FILLED)))
    empty = _mask(array.is_null())
    odd = np.asarray(pc.fill_null(pc.list_value_length(array), dimension)) != dimension
    matrix = _matrix(array, ~(empty | odd), dimension)
    infinite: Mask = np.asarray(~np.isfinite(matrix).all(axis=1))
    return Checked(
        matrix,
        _faults(
            (empty, _FILLED),
            (odd, f"must have {dimension} numbers, as most rows do"),
            (infinite, "must hold finite numbers only, at the precision of float32"),
        ),
    )


def _matrix(array: pa.Array, fits: Mask, dimension: int) -> NDArray[np.float32]:
    """Vectors as rows, zeros where they do not fit; without a copy when all fit and are float32."""
    members = pc.list_flatten(array if fits.all() else array.filter(pa.array(fits)))
    if members.null_count:
        members = pc.fill_null(members.cast(pa.float64()), np.nan)
    with np.errstate(over="ignore"):
        rows: NDArray[np.float32] = np.asarray(members).astype(np.float32, copy=False).reshape(-1, dimension)
    if fits.all():
        return rows
    matrix = np.zeros((len(array), dimension), dtype=np.float32)
    matrix[fits] = rows
    return matrix


_CHECKS: dict[Kind, Callable[[Column, pa.Array], Checked]] = {
    Kind.STRING: _string,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.STRINGS: _strings,
}


def fault_details(column: Column, array: pa.Array, faults: tuple[Fault, ...]) -> Iterator[tuple[int, str]]:
    """``(row, sentence)`` for every faulty row of a column; the array as it was in the file."""
    for fault in faults:
        for row in fault.rows.tolist():
            yield row, f"{column.name} {fault.rule}, got {_told(column, array, row)}"


def _told(column: Column, array: pa.Array, row: int) -> str:
    """The value for a message that is stored; of a prompt its length alone, for prompts are kept nowhere."""
    if column.name not in _FREE_TEXT or not array.slice(row, 1)[0].is_valid:
        return shown(array, row)
    try:
        return f"{pc.binary_length(_text(column, array.slice(row, 1)))[0].as_py()} bytes of text"
    except ContractError:
        return "another type"
