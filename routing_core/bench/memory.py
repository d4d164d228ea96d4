"""Memory by the operating system's accounting."""

from __future__ import annotations

import re
import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_rss_mib() -> float:
    """Largest resident set this process has had, MiB.

    Linux's own high-water mark where there is one: ``ru_maxrss`` outlives exec, so that a child would
    report its parent's peak.
    """
    if _STATUS.exists() and (mark := re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())):
        return round(int(mark.group(1)) / 1024, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
