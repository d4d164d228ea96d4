"""Names that lead somewhere else: no reader leaves its root, whatever directories and links are called."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from nasty import parquet
from test_rows import backlog_table

from routing_core.errors import ContractError, MissingPartitionError, NightshiftError
from routing_core.store.files import (
    InputFile,
    list_partition,
    misnamed_days,
    partition_dates,
    passed_over,
    read_unchanged,
)

pytestmark = pytest.mark.hostile

DAY = date(2026, 11, 22)
DIRECTORIES = (
    "dt=..", "dt=../../etc", "dt=2026-11-22 ", "dt=2026-13-45", "dt=2026-11-22\n", "dt=%2e%2e", "DT=2026-11-22",
    "dt=2026-11-22;rm", "dt=0000-00-00", "dt=２０２６-11-22", "dt=", "2026-11-22", "dt=2026-11-2", "dt=2026-1-22",
)  # fmt: skip
NAMES = (
    "../x.parquet",
    "a/b.parquet",
    "a\\b.parquet",
    "\0.parquet",
    "a\n.parquet",
    "x" * 300 + ".parquet",
    "",
    ".",
    "..",
)


def test_only_a_day_is_a_partition(tmp_path: Path) -> None:
    """Directories that are named almost like one are nobody's, and never walked into."""
    for name in DIRECTORIES:
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "dt=2026-11-21").write_text("a file, not a directory")
    assert partition_dates(tmp_path) == ()
    assert {"dt=2026-13-45", "dt=..", "DT=2026-11-22"} <= set(misnamed_days(tmp_path))
    with pytest.raises(MissingPartitionError):
        list_partition(tmp_path, date(2026, 11, 21))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_name_is_one_plain_file_of_its_partition(name: str, tmp_path: Path) -> None:
    """A name out of the database is checked before it is joined to a path."""
    (tmp_path / f"dt={DAY}").mkdir()
    with pytest.raises(NightshiftError, match=f"dt={DAY}"):
        read_unchanged(tmp_path, DAY, InputFile(f"{tmp_path}/dt={DAY}/{name}", name, 1, "0" * 64, 1))


@pytest.mark.parametrize("link", ["file", "directory", "loop", "dangling"])
def test_a_link_out_of_the_root_is_refused(link: str, tmp_path: Path) -> None:
    """A link to somebody else's file is not read, whether the file or its whole partition is the link."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "part-0.parquet").write_bytes(parquet(backlog_table(2), np.random.default_rng(0)))
    partition = root / f"dt={DAY}"
    if link == "directory":
        partition.symlink_to(outside)
    else:
        partition.mkdir()
        target = {"file": outside / "part-0.parquet", "loop": partition / "part-0.parquet", "dangling": root / "gone"}
        (partition / "part-0.parquet").symlink_to(target[link])
    with pytest.raises(ContractError, match=f"dt={DAY}"):
        list_partition(root, DAY)


@pytest.mark.parametrize("root", ["file", "loop"])
def test_a_root_that_is_no_directory_is_refused_by_name(root: str, tmp_path: Path) -> None:
    """For the days there are, and for one of them."""
    path = tmp_path / "backlog"
    if root == "file":
        path.write_text("query_id")
    else:
        path.symlink_to(path)
    with pytest.raises(ContractError, match=r"backlog cannot be listed"):
        partition_dates(path)
    with pytest.raises(ContractError, match=r"backlog.* cannot be listed"):
        list_partition(path, DAY)


def test_what_is_no_parquet_file_is_not_read_and_not_kept_quiet_about(tmp_path: Path) -> None:
    """Directories, other suffixes, and names that would break a line of the log; markers are nobody's rows."""
    partition = tmp_path / f"dt={DAY}"
    for directory in ("part-0.parquet", "hour=03"):
        (partition / directory).mkdir(parents=True)
    for name in ("rows.csv", "PART.PARQUET", "part-000", "line\nbreak", "_SUCCESS", ".part-1.parquet.crc"):
        (partition / name).write_text("x")
    assert list_partition(tmp_path, DAY) == ()
    named = ("PART.PARQUET", "hour=03", "line\\nbreak", "part-0.parquet", "part-000", "rows.csv")
    assert passed_over(tmp_path, DAY) == named
