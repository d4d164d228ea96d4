"""Each task of a night is a process: what it does not use, it does not import."""

from __future__ import annotations

import json
import subprocess
import sys

SLOW = {"alembic", "ortools", "pandas", "scipy", "sklearn"}


def test_tasks_that_neither_predict_nor_solve_import_nothing_slow() -> None:
    code = "import json, sys, routing_core.steps.route; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert SLOW.isdisjoint({name.split(".")[0] for name in json.loads(done.stdout)})


def test_tasks_that_solve_or_compare_do_not_import_what_predicts() -> None:
    solving = "import routing_core.steps.plan, routing_core.steps.figures, routing_core.steps.retained"
    code = f"import json, sys; {solving}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"sklearn", "wordllama", "airflow"}.isdisjoint({name.split(".")[0] for name in json.loads(done.stdout)})


def test_tasks_that_estimate_do_not_import_what_fits() -> None:
    """Methods keep scikit-learn's contract without its classes, whose import would cost each task a second."""
    code = "import json, sys, routing_core.steps.estimate; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(json.loads(done.stdout))
    assert {"sklearn", "ortools", "scipy.stats", "scipy.optimize", "pandas"}.isdisjoint(imported)
