"""Plans written out for the dispatcher: each file in batch order, prompts read back from the files they came in.

A plan of any size is written with one input file and one stretch of prompts in memory at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from re import sub
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from routing_core.errors import RunStateError
from routing_core.records.queries import QUERY_COLUMNS
from routing_core.store.columns import check_column
from routing_core.store.files import InputFile, read_unchanged
from routing_core.store.tables.decisions import assignments
from routing_core.store.tables.runs import run_models

_STRETCH = 32_768
"""Queries whose prompts are in memory at once."""
_FETCHED = 50_000
_PROMPT = next(column for column in QUERY_COLUMNS if column.name == "prompt")
_ENDPOINT = "/v1/chat/completions"

PLAN = pa.schema(
    [
        ("query_id", pa.string()),
        ("batch_no", pa.int32()),
        ("model", pa.string()),
        ("task", pa.string()),
        ("team", pa.string()),
        ("first_dt", pa.date32()),
        ("partition", pa.string()),
        ("row", pa.int64()),
        ("mean_quality", pa.float64()),
        ("cost_usd", pa.float64()),
    ]
)
"""Columns of a plan before its prompts."""
_REPEATING = ("model", "task", "team", "partition")


@dataclass(frozen=True, slots=True)
class Written:
    """One file of a plan.

    Attributes
    ----------
    name : str
        Within the plan's directory.
    model : str or None
        Model whose queries it holds; None where it holds all.
    kind : str
        plan, batch (for an API) or worklist (for instances of our own).
    rows : int
    """

    name: str
    model: str | None
    kind: str
    rows: int


def read_plan(connection: Connection, run_id: int, after_batch: int) -> pa.Table:
    """Who answers what of a run, in the batches after ``after_batch``: a table of :data:`PLAN`, texts that repeat once.

    Raises
    ------
    RunStateError
        If the rows were written before their places in the input files were kept.
    """
    table = assignments
    query = select(*(table.c[name] for name in PLAN.names)).where(
        table.c.run_id == run_id, table.c.batch_no > after_batch
    )
    parts = [PLAN.empty_table()]
    for rows in connection.execution_options(yield_per=_FETCHED).execute(query).partitions():
        arrays = [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), PLAN, strict=True)]
        parts.append(pa.table(arrays, schema=PLAN))
    plan = pa.concat_tables(parts)
    if plan["row"].null_count:
        raise RunStateError(
            f"run {run_id} was planned before rows kept their place in the input files; its prompts cannot be found",
            remedy="plan the date again, then export",
        )
    for name in _REPEATING:
        coded = plan[name].combine_chunks().dictionary_encode()
        plan = plan.set_column(plan.schema.get_field_index(name), name, coded)
    return plan


def serving_of(connection: Connection, run_id: int) -> dict[str, str]:
    """How each model of a run is served, api or self_hosted, in the catalog's order."""
    rows = select(run_models.c.model, run_models.c.serving).where(run_models.c.run_id == run_id)
    return {row.model: row.serving for row in connection.execute(rows.order_by(run_models.c.position))}


def write_parquet(
    directory: Path,
    plan: pa.Table,
    root: str,
    files: Mapping[tuple[date, str], InputFile],
    *,
    prompts: bool = True,
) -> list[Written]:
    """Write the plan as one Parquet file, in order of batch, model and query.

    Parameters
    ----------
    directory : Path
    plan : pyarrow.Table
        As :func:`read_plan` gives it.
    root : str
        Root of the backlog.
    files : mapping of (day, name) to InputFile
        The run's input, as it was listed.
    prompts : bool
        Whether the prompts are written too; without them, day, file and row tell where each is.

    Raises
    ------
    ChangedInputError
        If an input file is not the one listed.
    """
    plan = _sorted(plan, "batch_no", "model", "query_id")
    schema = PLAN.append(pa.field("prompt", pa.large_string())) if prompts else PLAN
    with pq.ParquetWriter(str(directory / "plan.parquet"), schema, compression="zstd") as writer:
        for part in _with_prompts(plan, root, files, directory) if prompts else (plan,):
            writer.write_table(part.cast(schema))
    return [Written("plan.parquet", None, "plan", len(plan))]


def write_jsonl(
    directory: Path,
    plan: pa.Table,
    root: str,
    files: Mapping[tuple[date, str], InputFile],
    serving: Mapping[str, str],
) -> list[Written]:
    """Write one file a model, in order of batch and query: batch requests for an API, a work list for our instances.

    Parameters
    ----------
    directory, plan, root, files
        As for :func:`write_parquet`.
    serving : mapping of str to str
        Model to api or self_hosted.

    Raises
    ------
    ChangedInputError
        If an input file is not the one listed.
    """
    plan = _sorted(plan, "model", "batch_no", "query_id")
    counts: dict[str, int] = {}
    with ExitStack() as open_files:
        sinks: dict[str, Any] = {}
        for part in _with_prompts(plan, root, files, directory):
            for model, rows in _by_model(part):
                if model not in sinks:
                    path = directory / _file_name(model, serving[model])
                    sinks[model] = open_files.enter_context(path.open("w", encoding="ascii", newline="\n"))
                line = _request if serving[model] == "api" else _work
                sinks[model].writelines(json.dumps(line(row)) + "\n" for row in rows.to_pylist())
                counts[model] = counts.get(model, 0) + len(rows)
    return [
        Written(_file_name(model, how), model, "batch" if how == "api" else "worklist", counts[model])
        for model, how in serving.items()
        if model in counts
    ]


def _request(row: Mapping[str, Any]) -> dict[str, Any]:
    """A line of OpenAI's batch input."""
    body = {"model": row["model"], "messages": [{"role": "user", "content": row["prompt"]}]}
    return {"custom_id": row["query_id"], "method": "POST", "url": _ENDPOINT, "body": body}


def _work(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("query_id", "batch_no", "model", "prompt")}


def _file_name(model: str, how: str) -> str:
    """A name that is safe on every file system, and of one model alone."""
    plain = sub(r"[^A-Za-z0-9._-]", "-", model)[:80]
    if plain != model:
        plain += f"-{sha256(model.encode()).hexdigest()[:8]}"
    return f"{'batch' if how == 'api' else 'worklist'}-{plain}.jsonl"


def _sorted(plan: pa.Table, *keys: str) -> pa.Table:
    texts = {name: plan[name].cast(pa.string()) for name in keys if pa.types.is_dictionary(plan[name].type)}
    by = pa.table({name: texts.get(name, plan[name]) for name in keys})
    return plan.take(pc.sort_indices(by, sort_keys=[(name, "ascending") for name in keys]))


def _by_model(part: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Stretches of one model each, of a table in which every model's rows follow each other."""
    models = part["model"].combine_chunks()
    codes = models.indices.to_numpy()
    edges = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    for start, end in pairwise(edges):
        yield models[start].as_py(), part.slice(start, end - start)


def _with_prompts(
    plan: pa.Table, root: str, files: Mapping[tuple[date, str], InputFile], scratch: Path
) -> Iterator[pa.Table]:
    """The plan with its prompts, stretch by stretch in its own order.

    The prompts come in the order of the input files, so they are dealt to a file for each stretch first.
    """
    spill = scratch / "_prompts"
    spill.mkdir()
    _deal_prompts(plan, root, files, spill)
    for stretch, start in enumerate(range(0, len(plan), _STRETCH)):
        file = spill / f"{stretch}.arrow"
        with pa.OSFile(str(file)) as source, pa.ipc.open_stream(source) as stream:
            dealt = stream.read_all()
        file.unlink()
        prompts = dealt["prompt"].take(pc.sort_indices(dealt["place"]))
        yield plan.slice(start, _STRETCH).append_column("prompt", prompts)
    spill.rmdir()


def _deal_prompts(plan: pa.Table, root: str, files: Mapping[tuple[date, str], InputFile], spill: Path) -> None:
    kinds = pa.schema([("place", pa.int64()), ("prompt", pa.large_string())])
    with ExitStack() as open_files:
        writers = [
            open_files.enter_context(pa.ipc.new_stream(str(spill / f"{k}.arrow"), kinds))
            for k in range(-(-len(plan) // _STRETCH))
        ]
        for (day, name), rows, places in _by_file(plan):
            for part, prompts in _prompts(root, day, files[day, name], rows):
                stretch = places[part] // _STRETCH
                for k in np.unique(stretch).tolist():
                    mine = np.flatnonzero(stretch == k)
                    arrays = [pa.array(places[part][mine]), prompts.take(pa.array(mine))]
                    writers[k].write_table(pa.table(arrays, schema=kinds))


def _by_file(plan: pa.Table) -> Iterator[tuple[tuple[date, str], NDArray[np.int64], NDArray[np.int64]]]:
    """For each input file: the rows of it that are in the plan, ascending, and their places in the plan."""
    if not len(plan):
        return
    days = plan["first_dt"].cast(pa.int32()).to_numpy()
    names = plan["partition"].combine_chunks()
    rows = plan["row"].to_numpy()
    codes = names.indices.to_numpy()
    order = np.lexsort((rows, codes, days))
    changes = np.diff(days[order]).astype(bool) | np.diff(codes[order]).astype(bool)
    edges = [0, *(np.flatnonzero(changes) + 1).tolist(), len(order)]
    for start, end in pairwise(edges):
        places = order[start:end]
        first = int(places[0])
        yield (plan["first_dt"][first].as_py(), names[first].as_py()), rows[places], places


def _prompts(root: str, day: date, file: InputFile, rows: NDArray[np.int64]) -> Iterator[tuple[slice, pa.Array]]:
    """The prompts of some rows of a file, ascending, in parts: which of ``rows``, and their prompts."""
    content = pq.ParquetFile(pa.BufferReader(read_unchanged(root, day, file)))
    before = 0
    for batch in content.iter_batches(_STRETCH, columns=["prompt"]):
        start, end = np.searchsorted(rows, [before, before + len(batch)]).tolist()
        if end > start:
            wanted = batch.column(0).take(pa.array(rows[start:end] - before))
            yield slice(start, end), check_column(_PROMPT, wanted).values
        before += len(batch)
