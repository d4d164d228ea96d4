"""Lines of a night's log: each has its run and chunk, begins and ends a step, and says no secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from routing_core import log
from routing_core.errors import SettingsError


@pytest.fixture(autouse=True)
def left_as_it_was() -> Iterator[None]:
    """The logger is the process's own: other tests must not write into this one's stream."""
    ours = logging.getLogger("nightshift")
    handlers, level = list(ours.handlers), ours.level
    yield
    ours.handlers[:] = handlers
    ours.setLevel(level)


@pytest.fixture
def said() -> io.StringIO:
    stream = io.StringIO()
    log.to_stream("json", stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@log.step
def measure(run_id: int, chunk: int, *, attempt: int = 1) -> dict[str, Any]:
    log.learn(dt=date(2026, 11, 7))
    log.say("halfway")
    return {"rows": 3, "words": "x" * 81, "parts": [1], "when": date(2026, 11, 8)}


def test_a_step_begins_and_ends_with_what_it_is_about_and_its_counts(said: io.StringIO):
    measure(7, chunk=2)
    begins, halfway, done = lines(said)
    assert [begins["event"], halfway["event"], done["event"]] == ["measure begins", "halfway", "measure done"]
    assert all((line["run_id"], line["chunk"], line["level"]) == (7, 2, "info") for line in (begins, halfway, done))
    assert (halfway["dt"], done["rows"], done["when"]) == ("2026-11-07", 3, "2026-11-08")
    assert done["seconds"] >= 0
    assert {"words", "parts"}.isdisjoint(done)


def test_what_a_step_learns_ends_with_it(said: io.StringIO):
    with log.about(run_id=1):
        measure(7, 2)
        log.say("after")
    log.say("outside")
    *_, after, outside = lines(said)
    assert (after["run_id"], "chunk" in after, "dt" in after) == (1, False, False)
    assert "run_id" not in outside


def test_what_is_learnt_outside_of_every_step_is_forgotten_at_once(said: io.StringIO):
    log.learn(run_id=9)
    log.say("outside")
    assert "run_id" not in lines(said)[0]


def test_a_step_that_fails_says_why_without_its_secrets(said: io.StringIO):
    @log.step
    def breaks(run_id: int) -> None:
        raise SettingsError("postgresql://u:hunter2@db/x is gone\nand more")

    with pytest.raises(SettingsError):
        breaks(4)
    failed = lines(said)[-1]
    assert (failed["event"], failed["run_id"], failed["level"]) == ("breaks failed", 4, "error")
    assert failed["error"] == "SettingsError: postgresql://***@db/x is gone"


def test_text_says_the_same_so_that_any_handler_shows_it(caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO", "nightshift"):
        measure(7, 2)
    assert 'measure done run_id=7 chunk=2 dt="2026-11-07" rows=3' in caplog.messages[-1]


@pytest.mark.parametrize("secret", ["postgresql://u:hunter2@db/x", "s3://b/x?secret_key=hunter2"])
def test_no_field_and_no_event_says_a_secret(secret: str, said: io.StringIO, caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO", "nightshift"):
        log.say(f"reads {secret}", where=secret)
    assert "hunter2" not in said.getvalue() + caplog.text
    assert "reads" in caplog.text
