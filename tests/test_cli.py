"""The command line: what a person types, what a machine reads, and how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from routing_core import __version__
from routing_core.cli import app
from routing_core.errors import DateError, MissingPredictorError, SchemaError, SettingsError

COMMANDS = [
    "init-db",
    "make-workload",
    "import-routerbench",
    "retrain",
    "allocate",
    "route",
    "status",
    "seal",
    "demo",
    "backtest",
]
COMMANDS += ["doctor", "prune", "budget", "settings"]
COMMANDS += ["export", "hold", "rollback", "replan", "diff"]
COMMANDS += ["settle", "value-policy", "what-if", "explain", "query", "dictionary"]
BENCHES = ["night", "solver", "predict", "allocate", "churn", "mapped", "scale"]


def routing(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The real thing, in a process of its own."""
    command = [sys.executable, "-c", "from routing_core.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", [*([name] for name in COMMANDS), *(["bench", name] for name in BENCHES), []])
def test_every_command_explains_itself(command: list[str]):
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    assert "Usage" in shown.stdout


def test_version_is_printed():
    assert CliRunner().invoke(app, ["--version"]).stdout.strip() == __version__


def hand_it_out(first: int) -> None:
    """The commands that follow a plan, each with the keys a machine reads and the lines a person does."""
    night = ["--dt", "2026-11-22"]
    for command, keys in (
        (["hold", *night, "--reason", "wait"], "dt held reason held_at"),
        (["hold", *night, "--release"], "dt held released_at"),
        (["route", *night, "--budget", "0.001"], "run_id status objective"),
        (["diff", str(first), str(first + 1)], "dt a b queries difference models"),
        (["rollback", *night], "dt run_id rolled_back_run_id"),
        (["export", *night, "--format", "jsonl"], "dt run_id format directory rows files checksum sealed_at"),
        (["route", *night, "--as-it-was"], "run_id status"),
        (["route", *night, "--todays-policy"], "run_id status"),
        (["replan", *night, "--withdraw", "swift-mini", "--after-batch", "1"], "run_id replaced_run_id kept"),
        (["export", *night], "rows"),
    ):
        done = CliRunner().invoke(app, [*command, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, command
        assert set(keys.split()) <= set(json.loads(done.stdout)), command
    for command in (["diff", str(first), str(first + 1)], ["export", *night]):
        assert CliRunner().invoke(app, command, catch_exceptions=False).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["route", "--dt", "2026-11-22", "--as-it-was", "--todays-policy"],
        ["replan", "--dt", "2026-11-22", "--lose", "x"],
    ],
)
def test_what_contradicts_itself_is_refused_by_name(sqlite_settings, arguments):
    failed = routing(*arguments)
    assert failed.returncode == SettingsError.exit_code
    assert "Traceback" not in failed.stderr


def test_a_night_by_hand_from_nothing_to_flat_json(home: Path):
    made = ["make-workload", "--dt", "2026-11-22", "--days", "8", "--queries-per-day", "60", "--tonight", "90"]
    for command in (
        ["init-db"],
        [*made, "--broken", "5", "--parts", "2"],
        ["retrain", "--dt", "2026-11-21"],
        ["allocate", "--dt", "2026-11-21"],
        ["retrain", "--dt", "2026-11-22"],
        ["route", "--dt", "2026-11-22"],
        ["status", "--dt", "2026-11-22"],
    ):
        done = CliRunner().invoke(app, [*command, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, command
        answer = json.loads(done.stdout)
    wanted = "assigned deferred rejected budget_usd planned_spend_usd objective bound gap expected_quality run_id"
    assert set(wanted.split()) <= set(answer)
    assert answer["assigned"] + answer["deferred"] + answer["rejected"] == 90
    hand_it_out(answer["run_id"])
    shown = CliRunner().invoke(app, ["status", "--dt", "2026-11-22"])
    assert "Night of 2026-11-22" in shown.stdout
    assert "best_single" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["route", "--dt", "2026-11-22"], SchemaError, "routing init-db"),
        (["route", "--dt", "22.11.2026"], DateError, "YYYY-MM-DD"),
    ],
)
def test_a_named_error_is_a_message_and_its_exit_status(home: Path, arguments, error, said):
    failed = routing(*arguments)
    assert failed.returncode == error.exit_code
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr
    assert failed.stdout == ""


def test_routing_without_a_predictor_says_what_to_type(home: Path):
    assert routing("init-db").returncode == 0
    failed = routing("route", "--dt", "2026-11-22")
    assert failed.returncode == MissingPredictorError.exit_code
    assert "routing retrain --dt 2026-11-22" in failed.stderr


def test_a_wrong_setting_is_named_with_its_value(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NIGHTSHIFT_BUDGET_USD", "-3")
    failed = routing("init-db")
    assert failed.returncode == SettingsError.exit_code
    assert "budget_usd" in failed.stderr
    assert "-3" in failed.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DSN", "postgresql://me:hunter2@host:hunter2/db"),
        ("BATCH_MINUTES", "900"),
        ("BUDGET_USD", "inf"),
        ("GPU_BUDGET", "{hunter2"),
    ],
)
def test_no_setting_however_wrong_ends_in_a_traceback_or_shows_the_dsn(home: Path, monkeypatch, variable, value):
    monkeypatch.setenv("NIGHTSHIFT_DSN", "postgresql://me:hunter2@host/db")
    monkeypatch.setenv(f"NIGHTSHIFT_{variable}", value)
    failed = routing("init-db")
    assert failed.returncode == SettingsError.exit_code
    assert "Traceback" not in failed.stderr
    assert "hunter2" not in failed.stderr + failed.stdout


def test_a_settings_file_that_does_not_parse_is_named(home: Path):
    (home / "config").mkdir()
    (home / "config" / "settings.yaml").write_text("budget_usd: 1\ndsn: [hunter2")
    failed = routing("init-db")
    assert failed.returncode == SettingsError.exit_code
    assert "settings.yaml" in failed.stderr
    assert "hunter2" not in failed.stderr


def test_a_wrong_dsn_is_not_shown(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NIGHTSHIFT_DSN", "mysql://me:hunter2@host/db")
    failed = routing("init-db")
    assert failed.returncode == SettingsError.exit_code
    assert "hunter2" not in failed.stderr + failed.stdout
