"""The environment of an Airflow of our own, all of it under one directory."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from routing_core.settings import PROJECT_ROOT

USER = "admin"


def free_port() -> int:
    """A port of the loopback interface that nobody listens on just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def airflow_environment(
    airflow_home: Path,
    nightshift_home: Path,
    *,
    port: int,
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Environment variables for Airflow's processes.

    The caller's own Airflow variables are left out: a demonstration must not write to somebody's deployment.

    Parameters
    ----------
    airflow_home : Path
        Where Airflow keeps its database, logs and password file.
    nightshift_home : Path
        ``NIGHTSHIFT_HOME`` of the tasks.
    port : int
        Of the API server.
    extra : mapping, optional
        Put over all others.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
    return inherited | _paths(airflow_home, nightshift_home) | _airflow(airflow_home, port) | dict(extra or {})


def write_password(airflow_home: Path) -> str:
    """Make up the password of the one user, readable by its owner alone."""
    password = secrets.token_urlsafe(24)
    file = _password_file(airflow_home)
    file.touch(mode=0o600)
    file.write_text(json.dumps({USER: password}))
    return password


def _paths(airflow_home: Path, nightshift_home: Path) -> dict[str, str]:
    # Airflow starts its components by name, so its directory comes first.
    path = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return {
        "AIRFLOW_HOME": str(airflow_home),
        "NIGHTSHIFT_HOME": str(nightshift_home),
        "PATH": os.pathsep.join(path),
        "PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(PROJECT_ROOT)])),
        # Forked beside one another on few cores; more threads than that only get in each other's way.
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }


def _airflow(airflow_home: Path, port: int) -> dict[str, str]:
    sections: dict[str, dict[str, object]] = {
        "core": {
            "dags_folder": PROJECT_ROOT / "dags",
            "plugins_folder": PROJECT_ROOT / "plugins",
            "load_examples": False,
            "executor": "LocalExecutor",
            "parallelism": max(2, 2 * (os.cpu_count() or 1)),
            "dags_are_paused_at_creation": False,
            "execution_api_server_url": f"http://127.0.0.1:{port}/execution/",
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": _password_file(airflow_home),
            "fernet_key": "",
        },
        # Five processes share the file: wait for one another rather than fail.
        "database": {"sql_alchemy_conn": f"sqlite:///{airflow_home / 'airflow.db'}?timeout=60"},
        "api": {"host": "127.0.0.1", "port": port, "base_url": f"http://127.0.0.1:{port}", "workers": 1},
        "api_auth": {"jwt_secret": secrets.token_urlsafe(48)},
        # Only the runs that are asked for: an unpaused DAG would at once run the night of yesterday.
        "scheduler": {"use_job_schedule": False, "scheduler_idle_sleep_time": 0.5},
        "dag_processor": {"min_file_process_interval": 3600, "parsing_processes": 1},
        "usage_data_collection": {"enabled": False},
    }
    return {
        f"AIRFLOW__{section.upper()}__{option.upper()}": str(value)
        for section, options in sections.items()
        for option, value in options.items()
    }


def _password_file(airflow_home: Path) -> Path:
    return airflow_home / "passwords.json"
