"""The secrets of a deployment in containers: the ``.env`` that ``docker-compose.yml`` reads."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path
from typing import Any, Literal

from routing_core.errors import SettingsError

Executor = Literal["local", "celery"]

# Not root, and not a user that the image has: what Airflow's own images run as.
_SPARE_USER = 50000


def make_env(to: Path, *, executor: Executor = "local", data: Path | None = None) -> dict[str, Any]:
    """Write a ``.env`` of fresh secrets, readable by its owner alone. One that is there is never touched.

    Parameters
    ----------
    to : Path
        The file.
    executor : {"local", "celery"}
        Whether the scheduler runs the tasks, or workers that take them from Redis.
    data : Path, optional
        Directory mounted as ``NIGHTSHIFT_HOME``, made if it is not there; ``.nightshift`` beside the file by default.

    Returns
    -------
    dict
        file, executor, data, variables (their number).

    Raises
    ------
    SettingsError
        If the file is there already.
    """
    home = (data or to.parent / ".nightshift").expanduser().resolve()
    uid = os.getuid() or _SPARE_USER
    variables = _secrets() | _choices(executor, home, uid)
    text = "".join(f"{name}={_quoted(value)}\n" for name, value in variables.items())
    try:
        descriptor = os.open(to, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        raise SettingsError(
            f"{to} is there already and is left as it is: a database keeps the password it was made with",
            remedy=f"edit it, or move it away first: mv {to} {to}.old",
        ) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("# Made by `routing make-env`. Secrets: keep it out of every repository.\n" + text)
    _make_home(home, uid)
    return {"file": str(to), "executor": executor, "data": str(home), "variables": len(variables)}


def _quoted(value: str) -> str:
    """Between single quotes nothing means anything but the quote itself."""
    return "'" + value.replace("'", "\\'") + "'"


def _secrets() -> dict[str, str]:
    """One for each purpose, of letters that mean nothing to a URL, a shell or compose."""
    names = ("API_SECRET_KEY", "JWT_SECRET", "AIRFLOW_DB_PASSWORD", "RESULTS_DB_PASSWORD", "REDIS_PASSWORD")
    # A Fernet key is 32 random bytes, URL-safe base64.
    fernet = {"FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}
    return fernet | {name: secrets.token_hex(32) for name in names} | {"ADMIN_PASSWORD": secrets.token_hex(12)}


def _choices(executor: Executor, home: Path, uid: int) -> dict[str, str]:
    workers = {"local": ("LocalExecutor", ""), "celery": ("CeleryExecutor", "celery")}
    name, profile = workers[executor]
    return {
        "AIRFLOW_EXECUTOR": name,
        "COMPOSE_PROFILES": profile,
        "AIRFLOW_UID": str(uid),
        "NIGHTSHIFT_DATA": str(home),
    }


def _make_home(home: Path, uid: int) -> None:
    made = not home.exists()
    home.mkdir(parents=True, exist_ok=True)
    if made and os.getuid() == 0:
        os.chown(home, uid, 0)
