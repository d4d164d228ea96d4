"""`make demo`, the first thing that anybody does with this."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from routing_core.demo.night import tonight
from routing_core.settings import PROJECT_ROOT, load_settings
from routing_core.store import database

COMMAND = [sys.executable, "-c", "from routing_core.cli import main; main()", "demo", "--look"]


@pytest.mark.big
@pytest.mark.timeout(900)
def test_the_demo_plans_a_night_shows_it_leaves_airflow_to_look_at_and_ends_with_all_it_started(home: Path):
    """The Makefile's own command, in a process of its own, ended as a terminal ends it."""
    assert "routing demo" in (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8")
    with subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"COLUMNS": "120"}
    ) as demo:
        assert demo.stdout is not None
        said = ""
        while "Ctrl-C ends it" not in said and (line := demo.stdout.readline()):
            said += line
        assert f"Night of {tonight()}" in said, said[-3000:]
        assert "Three queries to try" in said
        address = re.search(r"Airflow is at (http://127\.0\.0\.1:\d+)", said)
        assert address is not None
        with urllib.request.urlopen(f"{address[1]}/api/v2/version", timeout=60) as answer:
            assert answer.status == 200
        started = psutil.Process(demo.pid).children(recursive=True)
        demo.send_signal(signal.SIGINT)
        demo.wait(timeout=120)
    assert demo.returncode == 0
    assert psutil.wait_procs(started, timeout=30)[1] == []
    statements = re.findall(r"^(SELECT .+);$", said, re.MULTILINE)
    with database.reading(load_settings()) as connection:
        answers = [connection.exec_driver_sql(statement).all() for statement in statements]
    assert len(answers) == 3
    assert answers[0]
