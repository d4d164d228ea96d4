"""An Airflow of our own, started, asked and ended from outside: this process never imports it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from routing_core.demo.environment import USER, airflow_environment, free_port, write_password
from routing_core.errors import NightshiftError

ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
"""States that a task leaves only when it is cleared."""

COMPONENTS: Mapping[str, Sequence[str]] = {
    # Their log servers would listen on every interface; here the API server reads the logs from the disk.
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "api-server": ["api-server"],
}
"""What an Airflow consists of: the arguments of ``airflow`` that start each part, by name."""


class AirflowError(NightshiftError):
    """Airflow did not start, or refuses what it is asked."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task of a run as Airflow reports it; `map_index` is −1 unless the task is mapped."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    pid: int | None = None

    @property
    def ended(self) -> bool:
        """Whether it will not change by itself."""
        return self.state in ENDED


class LocalAirflow:
    """A running Airflow and its REST interface.

    Parameters
    ----------
    home : Path
        Airflow's home, where its logs are.
    url : str
        Of the API server.
    environment : mapping of str to str
        Of its processes.
    password : str
        Of the one user.

    Attributes
    ----------
    components : dict of str to Popen
        Its parts by name, each the leader of a session of its own.
    user : str
        The one who may log in.
    """

    user = USER

    def __init__(self, home: Path, url: str, environment: Mapping[str, str], password: str) -> None:
        self.home = home
        self.url = url
        self.environment = environment
        self.components: dict[str, subprocess.Popen[bytes]] = {}
        self.password = password
        self._token: str | None = None

    def healthy(self) -> bool:
        """Whether all components report themselves well and our DAGs are known."""
        try:
            health = self.request("GET", "/api/v2/monitor/health")
            known = self.request("GET", "/api/v2/dags")["total_entries"]
        except (AirflowError, OSError):
            return False
        wanted = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return known > 0 and all(health[part]["status"] == "healthy" for part in wanted)

    def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Start a run by hand; its run_id."""
        body = {"logical_date": None, "conf": dict(conf)}
        return str(self.request("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def pause(self, dag_id: str, paused: bool = True) -> None:
        """Let no run of a DAG start, or let them start again."""
        self.request("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": paused})

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """The runs of a DAG."""
        found: list[dict[str, Any]] = self.request("GET", f"/api/v2/dags/{dag_id}/dagRuns?limit=100")["dag_runs"]
        return found

    def state(self, dag_id: str, run_id: str) -> str:
        """The state of a run."""
        return str(self.request("GET", self._run(dag_id, run_id))["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """The tasks of a run, mapped ones one by one as soon as their number is known."""
        rows = self.request("GET", f"{self._run(dag_id, run_id)}/taskInstances?limit=100")["task_instances"]
        names = ("task_id", "map_index", "state", "try_number", "pid")
        return [TaskState(**{name: row[name] for name in names}) for row in rows]

    def log_tail(self, dag_id: str, run_id: str, task: TaskState, lines: int = 40) -> str:
        """The end of a task's last log."""
        path = f"{self._run(dag_id, run_id)}/taskInstances/{task.task_id}/logs/{max(task.try_number, 1)}"
        content = self.request("GET", f"{path}?map_index={task.map_index}&full_content=true")["content"]
        return "\n".join([_log_line(entry) for entry in content][-lines:])

    def processes(self) -> list[int]:
        """Its living processes, those of its tasks among them."""
        return _members({component.pid for component in self.components.values()})

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``airflow …`` in the same environment."""
        return subprocess.run(
            ["airflow", *arguments], env=dict(self.environment), capture_output=True, text=True, check=False
        )

    def kill(self, component: str) -> None:
        """End a part and all it started at once, as when its machine is lost."""
        end([self.components[component]], grace=0.0)

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Ask the REST interface.

        Raises
        ------
        AirflowError
            It answers with an error.
        """
        if self._token is None and path != "/auth/token":
            login = {"username": USER, "password": self.password}
            self._token = self.request("POST", "/auth/token", login)["access_token"]
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 — our own loopback address
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:2000]
            raise AirflowError(f"Airflow's REST interface: {method} {path} answers {error.code}: {said}") from None

    def _run(self, dag_id: str, run_id: str) -> str:
        return f"/api/v2/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id, safe='')}"


@contextmanager
def local_airflow(
    nightshift_home: Path,
    *,
    extra: Mapping[str, str] | None = None,
    components: Mapping[str, Sequence[str]] = COMPONENTS,
    ready: Callable[[LocalAirflow], bool] = LocalAirflow.healthy,
    patience: float = 180.0,
) -> Iterator[LocalAirflow]:
    """An Airflow made new under ``nightshift_home``, ended with everything it started when the block is left.

    Parameters
    ----------
    nightshift_home : Path
        Where the tasks find their data; Airflow's own home is ``airflow`` below it, and is made new.
    extra : mapping, optional
        Environment variables put over the others.
    components : mapping of str to sequence of str
        The parts to start: :data:`COMPONENTS`, and workers where the executor needs some.
    ready : callable
        Whether what was started is up.
    patience : float
        How long it may take to come up, s.

    Raises
    ------
    AirflowError
        It does not come up; the message has the end of its log.
    """
    home = nightshift_home / "airflow"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    password = write_password(home)
    port = free_port()
    environment = airflow_environment(home, nightshift_home, port=port, extra=extra)
    airflow = LocalAirflow(home, f"http://127.0.0.1:{port}", environment, password)
    migrated = airflow.command("db", "migrate")
    if migrated.returncode:
        raise AirflowError(f"Airflow's database cannot be made: {_tail(migrated.stdout + migrated.stderr)}")
    with _terminated_as_exit():
        try:
            for name, arguments in components.items():
                airflow.components[name] = _start(airflow, name, arguments)
            _wait_until(ready, airflow, patience)
            yield airflow
        finally:
            end(list(airflow.components.values()))


@contextmanager
def _terminated_as_exit() -> Iterator[None]:
    """Let a termination unwind like Ctrl-C does, so that nothing is left running. Only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start(airflow: LocalAirflow, name: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    with (airflow.home / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            ["airflow", *arguments],
            env=dict(airflow.environment),
            cwd=airflow.home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_until(ready: Callable[[LocalAirflow], bool], airflow: LocalAirflow, patience: float) -> None:
    deadline = time.monotonic() + patience
    while not ready(airflow):
        ended = [name for name, process in airflow.components.items() if process.poll() is not None]
        if ended or time.monotonic() > deadline:
            name = ended[0] if ended else next(iter(airflow.components))
            log = airflow.home / f"{name}.log"
            raise AirflowError(f"Airflow did not come up; the end of {log}:\n{_tail(log.read_text(errors='replace'))}")
        time.sleep(0.5)


def end(processes: Sequence[subprocess.Popen[bytes]], grace: float = 8.0) -> None:
    """End processes that lead a session of their own, with all they started.

    Each is asked, and killed after ``grace`` seconds; at once when that is 0. Tasks run in process groups of
    their own, but within their session.
    """
    sessions = {process.pid for process in processes}
    for session in sessions if grace else ():
        with suppress(ProcessLookupError):
            os.killpg(session, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while (left := _members(sessions)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for process in processes:
        process.wait()


def _members(sessions: Set[int]) -> list[int]:
    """Living processes of some sessions."""
    found = []
    for process in psutil.process_iter(["pid", "status"]):
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) in sessions and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def _tail(log: str, lines: int = 30) -> str:
    return "\n".join(log.splitlines()[-lines:])


def _log_line(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    details = "".join(
        f"\n  {detail.get('exc_type')}: {detail.get('exc_value')}" for detail in entry.get("error_detail") or []
    )
    return f"{entry.get('event', '')}{details}"


def failed_first(tasks: Sequence[TaskState]) -> TaskState | None:
    """A task that failed by itself, if any did."""
    return next((task for task in tasks if task.state == "failed"), None)
