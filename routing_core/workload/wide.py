"""The public wide format of model comparisons, read and cleaned: a row a prompt, a score and a cost a model.

Columns: ``sample_id, prompt, eval_name``, one score column per model, and ``<model>|total_cost`` in USD.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from routing_core.errors import ContractError
from routing_core.store.columns import LONGEST_NAME

COST_SUFFIX = "|total_cost"
CHARACTERS_PER_TOKEN = 4.15
"""The files hold no token counts; at this rate a one-letter answer of the public file costs about one output token."""

_TEXTS = ("sample_id", "prompt", "eval_name")
_PARQUET_MAGIC = b"PAR1"
_PICKLE_SUFFIXES = frozenset({".pkl", ".pickle", ".p", ".joblib"})


@dataclass(frozen=True, slots=True, eq=False)
class Wide:
    """Prompts with the scores and costs of every model, cleaned and in the order of their ids.

    Attributes
    ----------
    query_id, prompt, task : ndarray of str objects, shape (n_prompts,)
    models : tuple of str, length n_models
    score : ndarray of float64, shape (n_prompts, n_models), in [0, 1], NaN where missing
    cost_usd : ndarray of float64, shape (n_prompts, n_models), USD, NaN where missing
    """

    query_id: NDArray[np.object_]
    prompt: NDArray[np.object_]
    task: NDArray[np.object_]
    models: tuple[str, ...]
    score: NDArray[np.float64]
    cost_usd: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.query_id)

    def take(self, rows: NDArray[np.integer]) -> Wide:
        """The prompts at ``rows``."""
        q, p, t = self.query_id[rows], self.prompt[rows], self.task[rows]
        return Wide(q, p, t, self.models, self.score[rows], self.cost_usd[rows])

    def only(self, columns: NDArray[np.integer]) -> Wide:
        """The models at ``columns``."""
        models = tuple(self.models[int(j)] for j in columns)
        return Wide(self.query_id, self.prompt, self.task, models, self.score[:, columns], self.cost_usd[:, columns])

    @property
    def input_tokens(self) -> NDArray[np.int64]:
        """Prompt lengths estimated from the text, shape (n_prompts,), at least 1 token."""
        characters = np.array([len(text) for text in self.prompt], dtype=np.float64)
        return np.maximum(1, np.round(characters / CHARACTERS_PER_TOKEN)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What was found in the file.

    Attributes
    ----------
    rows : int
        Rows of the file.
    missing_scores : tuple of str
        Ids of rows without a usable score or cost for at least one model; they keep the others.
    without_any_score : tuple of str
        Ids of rows left out, as no model has a usable score.
    duplicate_prompts : tuple of str
        Ids of rows left out, as an earlier row has the same prompt.
    unusable_prompts : tuple of str
        Ids of rows left out, as the prompt is absent or holds NUL.
    renamed : tuple of str
        New ids of rows whose ``sample_id`` was absent, unfit to be an identifier, or taken.
    """

    rows: int
    missing_scores: tuple[str, ...]
    without_any_score: tuple[str, ...]
    duplicate_prompts: tuple[str, ...]
    unusable_prompts: tuple[str, ...]
    renamed: tuple[str, ...]


def read_wide(path: Path) -> tuple[Wide, Cleaning]:
    """Read and clean a file in the wide format, Parquet or CSV.

    Raises
    ------
    ContractError
        If the file is a pickle (never opened, whatever it is called), is neither Parquet nor CSV, is damaged, or
        lacks a column.
    """
    table = _read(path)
    models = _models(table, path)
    texts = {name: _texts(table, name, path) for name in _TEXTS}
    score = _numbers(table, models, path)
    cost = _numbers(table, [model + COST_SUFFIX for model in models], path)
    with np.errstate(invalid="ignore"):
        usable = (score >= 0) & (score <= 1) & np.isfinite(cost) & (cost >= 0)
    ids, renamed = _identifiers(texts["sample_id"])
    task = np.array([name if _fit(name) else "unknown" for name in texts["eval_name"]], dtype=object)
    wide = Wide(
        ids,
        texts["prompt"],
        task,
        tuple(models),
        np.where(usable, score, np.nan),
        np.where(usable, cost, np.nan),
    )
    return _clean(wide, usable, renamed)


def is_long(path: Path) -> bool:
    """Whether a file is Parquet with a row an answer, as outcomes have, not a row a prompt."""
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError, ValueError):
        return False
    return {"query_id", "model"} <= set(names)


def _read(path: Path) -> pa.Table:
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        raise ContractError(f"file {path} cannot be opened: {error.strerror or error}") from error
    if path.suffix.lower() in _PICKLE_SUFFIXES or head[:1] == b"\x80":
        raise ContractError(
            f"file {path} is a pickle, which can run any code when loaded and is never opened",
            remedy="convert it to Parquet or CSV where you trust it",
        )
    try:
        if head == _PARQUET_MAGIC:
            return pq.ParquetFile(path).read()
        if path.suffix.lower() == ".csv":
            return _read_csv(path)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ContractError(f"file {path} must be readable, and is not: {reason}") from error
    raise ContractError(f"file {path} must be Parquet, or CSV with the suffix .csv; it begins with {head!r}")


def _read_csv(path: Path) -> pa.Table:
    parse = pacsv.ParseOptions(newlines_in_values=True)
    with pacsv.open_csv(path, parse_options=parse) as stream:
        names = stream.schema.names
    types = {name: pa.large_string() if name in _TEXTS else pa.float64() for name in names}
    wanted = [*_TEXTS, *_scored(names), *(model + COST_SUFFIX for model in _scored(names))]
    convert = pacsv.ConvertOptions(
        column_types=types, include_columns=[name for name in wanted if name in names], strings_can_be_null=False
    )
    return pacsv.read_csv(path, parse_options=parse, convert_options=convert)


def _scored(names: list[str]) -> list[str]:
    """Models that have both a score and a cost column, in the file's order."""
    present = set(names)
    return [name for name in names if name + COST_SUFFIX in present]


def _models(table: pa.Table, path: Path) -> list[str]:
    names = table.schema.names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ContractError(
            f"file {path} must have every column once, has {repeated[0]!r} {names.count(repeated[0])} times"
        )
    for name in _TEXTS:
        if name not in names:
            raise ContractError(f"file {path} must have column {name!r}; it has {', '.join(names)[:200]}")
    models = _scored(names)
    unfit = [name for name in models if not _fit(name)]
    if unfit:
        raise ContractError(
            f"file {path}: a model's name must be printable, without blanks around it and at most "
            f"{LONGEST_NAME - 16} bytes long, got {unfit[0][:80]!r}"
        )
    if not models:
        raise ContractError(
            f"file {path} must have a score column and a «<model>{COST_SUFFIX}» column per model, has none"
        )
    return models


def _texts(table: pa.Table, name: str, path: Path) -> NDArray[np.object_]:
    """A text column as str objects, None where absent or not UTF-8."""
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_integer(column.type):
        column = column.cast(pa.large_string())
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise ContractError(f"file {path}: column {name!r} must be a string, has type {column.type}")
    raw = column.cast(pa.large_string()).combine_chunks().view(pa.large_binary())
    return np.array([_decoded(value) for value in raw.to_pylist()], dtype=object)


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _numbers(table: pa.Table, names: list[str], path: Path) -> NDArray[np.float64]:
    columns = []
    for name in names:
        column = table.column(name)
        if not (
            pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)
        ):
            raise ContractError(f"file {path}: column {name!r} must be a number, has type {column.type}")
        whole = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
        columns.append(np.asarray(pc.fill_null(whole.cast(pa.float64(), safe=False), np.nan).to_numpy()))
    return np.stack(columns, axis=1)


def _fit(name: str | None) -> bool:
    """Whether a text can be an identifier: printable, not blank at its ends, and short enough for an index."""
    return (
        bool(name)
        and str(name).isprintable()
        and str(name) == str(name).strip()
        and len(str(name).encode()) <= LONGEST_NAME - 16
    )


def _identifiers(sample_ids: NDArray[np.object_]) -> tuple[NDArray[np.object_], frozenset[str]]:
    """Unique identifiers, and those that are not the sample's own: ``…#2`` for the second of a name."""
    fit = [name if _fit(name) else f"row-{k:06d}" for k, name in enumerate(sample_ids)]
    reserved, taken, chosen = set(fit), set(), []
    for name in fit:
        candidate, count = name, 1
        while candidate in taken or (count > 1 and candidate in reserved):
            count += 1
            candidate = f"{name}#{count}"
        taken.add(candidate)
        chosen.append(candidate)
    changed = frozenset(new for new, old in zip(chosen, sample_ids, strict=True) if new != old)
    return np.array(chosen, dtype=object), changed


def _clean(wide: Wide, usable: NDArray[np.bool_], renamed: frozenset[str]) -> tuple[Wide, Cleaning]:
    """Leave out what cannot be used, say so, and put the rest in the order of ids."""
    bad_prompt = np.array([text is None or "\0" in text for text in wide.prompt], dtype=bool)
    nothing = ~usable.any(axis=1) & ~bad_prompt
    again = _repeated(wide.prompt, bad_prompt | nothing)
    kept = np.flatnonzero(~(bad_prompt | nothing | again))
    report = Cleaning(
        rows=len(wide),
        missing_scores=tuple(wide.query_id[~usable.all(axis=1)]),
        without_any_score=tuple(wide.query_id[nothing]),
        duplicate_prompts=tuple(wide.query_id[again]),
        unusable_prompts=tuple(wide.query_id[bad_prompt]),
        renamed=tuple(sorted(renamed)),
    )
    return wide.take(kept[np.argsort(wide.query_id[kept].astype(str), kind="stable")]), report


def _repeated(prompts: NDArray[np.object_], skip: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows whose prompt an earlier row has; skipped rows neither count nor are counted."""
    seen: set[bytes] = set()
    again = np.zeros(len(prompts), dtype=bool)
    for k in np.flatnonzero(~skip).tolist():
        digest = hashlib.sha256(prompts[k].encode()).digest()
        again[k] = digest in seen
        seen.add(digest)
    return again
