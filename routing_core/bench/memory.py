"""What a process has taken, by the operating system's accounting."""

from __future__ import annotations

import re
import resource
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Measured:
    """A call's result, and what the process it ran in had taken by then.

    Attributes
    ----------
    result : object
    peak_rss_mib : float
    cpu_seconds : float
        User and system, since the process began.
    ended : float
        When the call had returned, seconds since the epoch.
    """

    result: Any
    peak_rss_mib: float
    cpu_seconds: float
    ended: float


def measured(call: Callable[..., Any], kwargs: dict[str, Any]) -> Measured:
    """Call, and measure this process; to be sent to a process of its own."""
    result = call(**kwargs)
    return Measured(result, peak_rss_mib(), time.process_time(), time.time())


def peak_rss_mib(pid: int | str = "self") -> float:
    """Largest resident set a process has had, MiB.

    Linux's own high-water mark where there is one: ``ru_maxrss`` outlives exec, so that a child would
    report its parent's peak.

    Parameters
    ----------
    pid : int or "self"
        Another process can be asked on Linux alone.
    """
    mark = status_mib("VmHWM", pid)
    if mark is None:
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    return mark


def status_mib(field: str, pid: int | str = "self") -> float | None:
    """A field of a process's status, MiB; None if the system does not keep it or the process is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    return round(int(found.group(1)) / 1024, 1) if found else None


@contextmanager
def highest(look: Callable[[], Mapping[str, float | None]], every: float) -> Iterator[dict[str, float]]:
    """The largest figures that ``look`` finds while the body runs, 0 where it finds none.

    Parameters
    ----------
    look : callable
        Called in a thread of its own.
    every : float, seconds
        Between two looks; what comes and goes in between is not seen.
    """
    most, done = dict.fromkeys(look(), 0.0), threading.Event()

    def watch() -> None:
        while not done.wait(every):
            for name, seen in look().items():
                most[name] = max(most[name], seen or 0.0)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        done.set()
        watcher.join()
