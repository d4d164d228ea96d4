"""The ground: variables, secrets, directories, disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from uuid import uuid4

from routing_core.settings import Settings, home_directory
from routing_core.steps.doctor.finding import Checks, ill, odd, well

_PREFIX = "NIGHTSHIFT_"
_OTHERS = frozenset({"DATA", "LOG_FORMAT", "NO_SKIPS"})
"""Variables of the same prefix that are no settings: compose's, the command line's, and the tests'."""
LEAST_FREE_GIB, LITTLE_FREE_GIB = 1.0, 5.0


def variables() -> Checks:
    """Variables that set nothing: the settings would never hear of them."""
    names = [name.removeprefix(_PREFIX) for name in os.environ if name.startswith(_PREFIX)]
    known = {field.upper() for field in Settings.model_fields} | _OTHERS
    unheard = sorted(name for name in names if name.upper() not in known and not name.startswith("TEST_"))
    for name in unheard:
        yield ill(
            "environment",
            f"variable {_PREFIX}{name} is no setting, and is not heard",
            f"unset it, or correct its name; settings are {_PREFIX} and a field of routing_core/settings.py",
        )
    if not unheard:
        yield well("environment", f"{len(names)} variables, all of them settings")


def secrets(settings: Settings) -> Checks:
    """A password in a file that others can read."""
    file = home_directory() / "config" / "settings.yaml"
    holds = file.is_file() and any(line.startswith("dsn:") for line in file.read_text(errors="replace").splitlines())
    if holds and file.stat().st_mode & 0o077:
        yield ill("secrets", f"{file} holds the DSN and can be read by others", f"chmod 600 {file}")
    else:
        yield well("secrets", "no DSN in a file that others can read")


def home(settings: Settings) -> Checks:
    """Directories that a night writes to."""
    places = ("", "runs", "predictors", "catalogs", "exports")
    refused = [(place, why) for place in (settings.home / name for name in places) if (why := _unwritable(place))]
    for place, why in refused:
        yield ill(
            "home", f"{place} cannot be written to: {why}", f"make it a directory that uid {os.getuid()} may write"
        )
    if not refused:
        yield well("home", f"{settings.home} can be written to")


def disk(settings: Settings) -> Checks:
    """Room for shards, results and exports."""
    free = shutil.disk_usage(_nearest(settings.home)).free / 2**30
    what = f"{free:.1f} GiB free under {settings.home}"
    remedy = "make room: routing prune, or a larger disk"
    if free < LEAST_FREE_GIB:
        yield ill("disk", f"{what}, a night wants at least {LEAST_FREE_GIB:g}", remedy)
    elif free < LITTLE_FREE_GIB:
        yield odd("disk", f"{what}, a million queries take about {LITTLE_FREE_GIB:g}", remedy)
    else:
        yield well("disk", what)


def _nearest(place: Path) -> Path:
    """The directory itself or the nearest one above that is there."""
    return next(path for path in (place, *place.parents) if path.is_dir())


def _unwritable(place: Path) -> str | None:
    """Why nothing can be written to a directory, or to where it would be made."""
    if place.exists() and not place.is_dir():
        return "it is not a directory"
    probe = _nearest(place) / f".doctor-{uuid4().hex}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return None
