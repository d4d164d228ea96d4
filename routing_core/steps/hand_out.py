"""Handing a night's plan out: written whole, sealed, held back, or taken back before it goes."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Literal

from routing_core import log
from routing_core.errors import NotFoundError, SettingsError
from routing_core.settings import Settings
from routing_core.store import allocations, guards, handover, holds, inputs, outbox, publishing, results, runs
from routing_core.store.database import reading, writing

Format = Literal["parquet", "jsonl"]


@log.step
def export(dt: date, settings: Settings, *, to: str | Path | None = None, form: Format = "parquet") -> dict[str, Any]:
    """Write the current plan of a date for the dispatcher, and seal the night.

    The files are complete and on disk before they get their place, and the night is sealed in the transaction that
    puts them there: a plan counts as handed out when its run is sealed, and then its files are all there. Exporting
    a sealed run again gives the same bytes.

    Parameters
    ----------
    dt : date
    settings : Settings
    to : str or Path, optional
        Local directory that gets ``dt=…/run-…/<format>/``; ``exports`` under the home by default.
    form : {"parquet", "jsonl"}

    Returns
    -------
    dict
        dt, run_id, execution_date, format, directory, rows, files (name, kind, model, rows, bytes, sha256 of each),
        checksum, sealed_at.

    Raises
    ------
    NotFoundError
        If no run of the date is current.
    SettingsError
        If the format is made of prompts, and none may be kept.
    RunStateError
        If the night is held, or its plan is outdated.
    ChangedInputError
        If a file the prompts are in is not the one that was planned.
    """
    if form == "jsonl" and not settings.keep_prompts:
        raise SettingsError(
            "batch requests and work lists are made of prompts, and keep_prompts is false",
            remedy=f"routing export --dt {dt} --format parquet, which tells the file and row of each prompt instead",
        )
    root = handover.local_directory(to or settings.exports_root)
    with reading(settings) as connection:
        run = runs.current_run(connection, dt)
        if run is None:
            raise NotFoundError(
                f"no run of {dt} is current, so there is no plan to hand out", remedy=f"routing route --dt {dt}"
            )
        if run.sealed_at is None:
            guards.refuse_unready(connection, run)
        plan = outbox.read_plan(connection, run.run_id, run.sent_through_batch or 0)
        serving = outbox.serving_of(connection, run.run_id)
        files = inputs.listed(connection, run.run_id, settings.backlog_root)
    final = handover.plan_directory(root, run, form)
    with handover.writing_directory(final) as making:
        if form == "parquet":
            written = outbox.write_parquet(making, plan, settings.backlog_root, files, prompts=settings.keep_prompts)
        else:
            written = outbox.write_jsonl(making, plan, settings.backlog_root, files, serving)
        manifest = handover.seal_files(making, run, form, written)
        with writing(settings) as connection:
            sealed = publishing.seal(connection, dt, run_id=run.run_id)
            handover.put_in_place(making, final)
            handover.record(connection, run, final, manifest)
            handover.sweep(connection, final.parent.parent, run)
    about = {name: manifest[name] for name in ("dt", "run_id", "execution_date", "format")}
    return {
        **about,
        "directory": str(final),
        "rows": manifest["rows"],
        "files": manifest["files"],
        "checksum": handover.checksum(final),
        "sealed_at": str(sealed.sealed_at),
    }


@log.step
def hold(dt: date, settings: Settings, *, reason: str) -> dict[str, Any]:
    """Hold a night: its plan cannot be exported or sealed until it is released.

    Raises
    ------
    RunStateError
        If it has been handed out.
    """
    with writing(settings) as connection:
        held = holds.hold(connection, dt, reason)
    return {"dt": dt.isoformat(), "held": True, "reason": held.reason, "held_at": str(held.held_at)}


@log.step
def release(dt: date, settings: Settings) -> dict[str, Any]:
    """Release a held night.

    Raises
    ------
    NotFoundError
        If it is not held.
    """
    with writing(settings) as connection:
        held = holds.release(connection, dt)
    return {"dt": dt.isoformat(), "held": False, "reason": held.reason, "released_at": str(held.released_at)}


@log.step
def roll_back(dt: date, settings: Settings) -> dict[str, Any]:
    """Make the run that the current one superseded current again.

    Returns
    -------
    dict
        dt, run_id (current now), rolled_back_run_id.

    Raises
    ------
    NotFoundError
        If there is no run to go back to.
    RunStateError
        If the night was handed out.
    """
    with writing(settings) as connection:
        back, was = publishing.roll_back(connection, dt)
        allocations.score_forecast(connection, dt, results.tasks_of(connection, back.run_id))
    return {"dt": dt.isoformat(), "run_id": back.run_id, "rolled_back_run_id": was.run_id}
