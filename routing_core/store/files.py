"""Partitions as files: listed, hashed, watched for changes, and replaced whole.

A partition is the directory ``<root>/dt=YYYY-MM-DD`` and its ``*.parquet`` files. Roots are local
paths or URLs (``s3://…``, and whatever fsspec knows); every access goes through ``pyarrow.fs``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from routing_core.errors import ChangedInputError, ContractError, MissingPartitionError, SettingsError

SUCCESS_MARKER = "_SUCCESS"
_DAY_DIRECTORY = re.compile(r"dt=(\d{4}-\d{2}-\d{2})")
_LONGEST_FILE_NAME = 255
_MARKERS = ("_", ".")


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of a partition, as it was when listed.

    Attributes
    ----------
    path : str
        Local path or URL.
    name : str
        Name within the partition.
    size_bytes : int
    sha256 : str
        Hexadecimal digest of the content.
    rows : int or None
        Rows by the file's own footer; None if that cannot be read.
    """

    path: str
    name: str
    size_bytes: int
    sha256: str
    rows: int | None


def partition_path(root: str | Path, dt: date) -> str:
    """Path or URL of the partition of ``dt`` below ``root``."""
    return f"{str(root).rstrip('/')}/dt={dt.isoformat()}"


def partition_dates(root: str | Path) -> tuple[date, ...]:
    """Days that have a partition below ``root``, oldest first; none if there is no root.

    Raises
    ------
    ContractError
        If the root cannot be listed, for it is no directory or its store refuses.
    """
    days = (_day_of(name) for name in _directories(root))
    return tuple(sorted(day for day in days if day is not None))


def misnamed_days(root: str | Path) -> tuple[str, ...]:
    """Directories below ``root`` that are named like a day and are none, such as ``dt=2026-02-30``: never read."""
    return tuple(sorted(ascii(n)[1:-1] for n in _directories(root) if n.lower().startswith("dt=") and not _day_of(n)))


def _directories(root: str | Path) -> list[str]:
    filesystem, base = open_root(root)
    try:
        entries = filesystem.get_file_info(pafs.FileSelector(base, allow_not_found=True))
    except OSError as error:
        raise _unlisted(root, error) from error
    return [entry.base_name for entry in entries if entry.type == pafs.FileType.Directory]


def _unlisted(directory: str | Path, error: OSError) -> ContractError:
    return ContractError(
        f"directory {directory} cannot be listed: {error}",
        remedy="make it a directory that can be read, or set NIGHTSHIFT_BACKLOG or NIGHTSHIFT_OUTCOMES",
    )


def file_names(root: str | Path, dt: date) -> tuple[str, ...]:
    """Names of the Parquet files of a partition, sorted; those that begin with ``_`` or ``.`` are not data.

    Raises
    ------
    MissingPartitionError
        If the partition's directory is absent.
    ContractError
        If the directory cannot be listed, a name hides control characters, or a file leads outside the root or nowhere.
    """
    data = sorted(entry.base_name for entry in _entries(root, dt) if _is_data(entry))
    for name in data:
        _refuse_tricks(root, dt, name)
    filesystem, base = open_root(root)
    if isinstance(filesystem, pafs.LocalFileSystem):
        _refuse_lost_links(Path(partition_path(base, dt)))
    return tuple(data)


def passed_over(root: str | Path, dt: date) -> tuple[str, ...]:
    """Names in a partition that are not read though somebody may have meant them to be, sorted.

    Those are files of another name than ``*.parquet``, and directories; what begins with ``_`` or ``.`` is a marker.

    Raises
    ------
    MissingPartitionError
        If the partition's directory is absent.
    """
    others = (entry.base_name for entry in _entries(root, dt) if not _is_data(entry))
    return tuple(sorted(ascii(name)[1:-1] for name in others if not name.startswith(_MARKERS)))


def _entries(root: str | Path, dt: date) -> list[pafs.FileInfo]:
    filesystem, base = open_root(root)
    try:
        return list(filesystem.get_file_info(pafs.FileSelector(partition_path(base, dt))))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingPartitionError(
            f"there is no partition {partition_path(root, dt)}",
            remedy=f"write its Parquet files there (an empty directory stands for a day without rows), "
            f"or choose another date; the root has {_span(partition_dates(root))}",
        ) from error
    except OSError as error:
        raise _unlisted(partition_path(root, dt), error) from error


def _is_data(entry: pafs.FileInfo) -> bool:
    is_file = entry.type != pafs.FileType.Directory
    return is_file and entry.base_name.endswith(".parquet") and not entry.base_name.startswith(_MARKERS)


def is_complete(root: str | Path, dt: date, marker: str) -> bool:
    """Whether a partition is there and, where a ``marker`` file is asked for, has it.

    Raises
    ------
    MissingPartitionError
        If the partition's directory is absent.
    """
    file_names(root, dt)
    if not marker:
        return True
    filesystem, base = open_root(root)
    return bool(filesystem.get_file_info(f"{partition_path(base, dt)}/{marker}").type == pafs.FileType.File)


def list_partition(root: str | Path, dt: date) -> tuple[InputFile, ...]:
    """The files of a partition with size, hash and rows, sorted by name; empty for a day without files.

    Raises
    ------
    MissingPartitionError
        If the partition's directory is absent.
    ContractError
        If a name hides control characters or a file leads outside the root.
    """
    return tuple(_describe(root, dt, name) for name in file_names(root, dt))


def check_unchanged(file: InputFile) -> None:
    """Refuse a file that is not the one that was listed.

    Raises
    ------
    ChangedInputError
        If it is gone, or its size or content differs.
    """
    filesystem, path = open_root(file.path)
    try:
        size, digest = _measure(filesystem, path)
    except OSError as error:
        raise _changed(file, f"it cannot be opened any more ({type(error).__name__})") from error
    _compare(file, size, digest)


def read_unchanged(root: str | Path, dt: date, file: InputFile) -> pa.Buffer:
    """The content of a listed file, proven to be the bytes that were listed.

    Raises
    ------
    ChangedInputError
        If it is gone, or its size or content differs.
    ContractError
        If the name leads outside the partition.
    """
    try:
        content = read_bytes(root, dt, file.name)
    except OSError as error:
        raise _changed(file, f"it cannot be opened any more ({type(error).__name__})") from error
    _compare(file, content.size, hashlib.sha256(content).hexdigest())
    return content


def read_bytes(root: str | Path, dt: date, name: str) -> pa.Buffer:
    """The content of one file of a partition.

    Raises
    ------
    ContractError
        If the name leads outside the partition.
    OSError
        If the file cannot be opened.
    """
    _refuse_tricks(root, dt, name)
    filesystem, base = open_root(root)
    with filesystem.open_input_file(f"{partition_path(base, dt)}/{name}") as stream:
        return stream.read_buffer()


@contextmanager
def replacing_partition(root: str | Path, dt: date) -> Iterator[tuple[pafs.FileSystem, str]]:
    """Directory to write a partition in; on leaving it takes the place of the old one.

    On a local disk the swap is two renames, so that a reader finds the old partition, none, or the new one,
    and never a mixture; when the body fails the old one stands. Object stores have no rename of directories:
    there the files are copied and the old ones deleted, oldest promise of the store applying.

    Yields
    ------
    (filesystem, str)
        Where to write: a file system and a directory in it.
    """
    filesystem, base = open_root(root)
    target = partition_path(base, dt)
    scratch = f"{base.rstrip('/')}/_writing-{dt.isoformat()}-{uuid4().hex}"
    filesystem.create_dir(scratch, recursive=True)
    try:
        yield filesystem, scratch
        _swap(filesystem, scratch, target)
    finally:
        if filesystem.get_file_info(scratch).type == pafs.FileType.Directory:
            filesystem.delete_dir(scratch)


def open_root(root: str | Path) -> tuple[pafs.FileSystem, str]:
    """File system of a local path or URL, and the path in it.

    Raises
    ------
    SettingsError
        If no file system knows the URL's scheme.
    """
    if "://" not in str(root):
        return pafs.LocalFileSystem(), os.path.abspath(root)
    try:
        filesystem, path = pafs.FileSystem.from_uri(str(root))
    except pa.ArrowInvalid:
        filesystem, path = _open_fsspec(str(root))
    return filesystem, path


def _open_fsspec(url: str) -> tuple[pafs.FileSystem, str]:
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # noqa: PLC0415 (needed for rare schemes alone)

        filesystem, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        scheme = url.partition("://")[0]
        raise SettingsError(
            f"no file system is installed for {scheme}:// paths: {error}",
            remedy=f"install the fsspec implementation of {scheme}, or use a local path or s3://",
        ) from error
    return pafs.PyFileSystem(pafs.FSSpecHandler(filesystem)), path


def _day_of(directory: str) -> date | None:
    match = _DAY_DIRECTORY.fullmatch(directory)
    if match is None:
        return None
    try:
        return date.fromisoformat(match.group(1))
    except ValueError:
        return None


def _span(days: tuple[date, ...]) -> str:
    return f"{len(days)} partitions, {days[0]} to {days[-1]}" if days else "no partitions"


def _refuse_tricks(root: str | Path, dt: date, name: str) -> None:
    """Refuse a name that is not one plain file inside the partition."""
    plain = name.isprintable() and not set(name) & {"/", "\\"} and 0 < len(name) <= _LONGEST_FILE_NAME
    if not plain or name in {".", ".."}:
        raise ContractError(
            f"partition {partition_path(root, dt)}: a file name must be printable, without separators and at most "
            f"{_LONGEST_FILE_NAME} characters long, got {name[:80]!r}"
        )
    if "://" in str(root):
        return
    real_root, real_file = os.path.realpath(root), os.path.realpath(f"{partition_path(root, dt)}/{name}")
    if os.path.commonpath([real_root, real_file]) != real_root:
        raise ContractError(
            f"file {partition_path(root, dt)}/{name} must not lead outside {root}, leads to {real_file}"
        )


def _refuse_lost_links(partition: Path) -> None:
    """Refuse links that lead nowhere: a listing leaves them out, and with them whatever rows were meant."""
    for entry in partition.iterdir():
        if entry.is_symlink() and entry.suffix == ".parquet" and not os.path.exists(entry):
            raise ContractError(f"file {entry} is a link that leads nowhere", remedy="restore its target, or remove it")


def _describe(root: str | Path, dt: date, name: str) -> InputFile:
    path = f"{partition_path(root, dt)}/{name}"
    filesystem, inner = open_root(path)
    try:
        size, digest = _measure(filesystem, inner)
    except OSError as error:
        raise ContractError(f"file {path} cannot be opened: {error}") from error
    return InputFile(path=path, name=name, size_bytes=size, sha256=digest, rows=_rows_by_footer(filesystem, inner))


def _rows_by_footer(filesystem: pafs.FileSystem, path: str) -> int | None:
    try:
        with filesystem.open_input_file(path) as stream:
            return int(pq.read_metadata(stream).num_rows)
    except (pa.ArrowException, OSError, ValueError):
        return None


def _measure(filesystem: pafs.FileSystem, path: str) -> tuple[int, str]:
    """Size in bytes and SHA-256, read in blocks."""
    digest, size = hashlib.sha256(), 0
    with filesystem.open_input_stream(path) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def _compare(file: InputFile, size: int, digest: str) -> None:
    if size != file.size_bytes:
        raise _changed(file, f"its size was {file.size_bytes} bytes and is {size}")
    if digest != file.sha256:
        raise _changed(file, f"its sha256 was {file.sha256[:12]}… and is {digest[:12]}…")


def _changed(file: InputFile, what: str) -> ChangedInputError:
    return ChangedInputError(
        f"input file {file.path} changed since the run listed it: {what}",
        remedy="start a new run, which lists the partition afresh",
    )


def _swap(filesystem: Any, scratch: str, target: str) -> None:
    if isinstance(filesystem, pafs.LocalFileSystem):
        _swap_directories(Path(scratch), Path(target))
        return
    old = filesystem.get_file_info(pafs.FileSelector(target, allow_not_found=True, recursive=True))
    new = filesystem.get_file_info(pafs.FileSelector(scratch))
    filesystem.create_dir(target, recursive=True)
    for entry in new:
        filesystem.copy_file(entry.path, f"{target}/{entry.base_name}")
    kept = {entry.base_name for entry in new}
    for entry in old:
        if entry.type == pafs.FileType.File and entry.base_name not in kept:
            filesystem.delete_file(entry.path)


def _swap_directories(scratch: Path, target: Path) -> None:
    aside = scratch.with_name(f"{scratch.name}-old")
    if target.exists():
        target.rename(aside)
    try:
        scratch.rename(target)
    except OSError:
        if aside.exists():
            aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)
