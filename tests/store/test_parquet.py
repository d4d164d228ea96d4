"""Reading and writing partitions: what is accepted, what is set aside row by row, and what fails by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing_core.errors import ChangedInputError, ContractError, MissingPartitionError, SettingsError
from routing_core.records.assignments import Reason
from routing_core.records.queries import QUERY_COLUMNS
from routing_core.store.parquet import (
    InputFile,
    ReadQueries,
    add_file,
    check_unchanged,
    list_partition,
    partition_dates,
    read_outcomes,
    read_queries,
    write_partition,
    writing_partition,
)

DAY = date(2026, 11, 22)
MIDNIGHT = datetime(2026, 11, 22)  # noqa: DTZ001 (without a zone on purpose)
ONE = MIDNIGHT.replace(hour=1)


def table(n: int = 3, **columns: Any) -> pa.Table:
    """A backlog of ``n`` good rows, with some columns replaced or added."""
    good = {
        "query_id": [f"q{k}" for k in range(n)],
        "task": ["code"] * n,
        "prompt": [f"prompt {k}" for k in range(n)],
        "input_tokens": list(range(n)),
    }
    return pa.table(good | columns)


def read(root: Path, *tables: pa.Table) -> ReadQueries:
    """What comes back of tables written as one file each."""
    for k, part in enumerate(tables):
        add_file(root, DAY, f"part-{k}.parquet", part)
    return read_queries(root, DAY, list_partition(root, DAY))


def outcome_table(n: int = 2, **columns: Any) -> pa.Table:
    good = {
        "query_id": [f"q{k}" for k in range(n)],
        "task": ["code"] * n,
        "prompt": ["p"] * n,
        "model": ["m"] * n,
        "quality": [0.5] * n,
        "input_tokens": [1] * n,
        "output_tokens": [2] * n,
        "cost_usd": [0.001] * n,
        "logged_at": [datetime(2026, 11, 22, 5, tzinfo=UTC)] * n,
    }
    return pa.table(good | columns)


def test_good_rows_come_back_with_file_row_and_defaults(tmp_path: Path) -> None:
    """Absent optional columns have the defaults the record states, and each row knows its file and number."""
    got = read(tmp_path, table(2), table(2, query_id=["a", "b"]))
    q = got.queries
    assert q.query_id.tolist() == ["q0", "q1", "a", "b"]
    assert list(q.prompt) == ["prompt 0", "prompt 1"] * 2
    assert got.partition.tolist() == ["part-0.parquet"] * 2 + ["part-1.parquet"] * 2
    assert got.row.tolist() == [0, 1, 0, 1]
    assert q.embedding is None
    assert q.priority.tolist() == [1.0] * 4
    assert np.isinf(q.max_cost_usd).all()
    assert q.min_quality.tolist() == [0.0] * 4
    assert np.isnat(q.deadline).all()
    assert np.isnat(q.submitted_at).all()
    assert q.team.tolist() == [None] * 4
    assert list(q.allowed_models) == list(q.denied_models) == list(q.required_tags) == [None] * 4
    assert q.first_dt.tolist() == [DAY] * 4
    assert (q.input_tokens.dtype, q.first_dt.dtype) == (np.dtype("int64"), np.dtype("M8[D]"))
    assert got.rejected == ()


def test_optional_columns_are_read(tmp_path: Path) -> None:
    """Values given are kept, nulls among them become the default."""
    moment = datetime(2026, 11, 23, 4, 30, 0, 7, tzinfo=UTC)
    q = read(
        tmp_path,
        table(
            deadline=[moment, None, None],
            priority=[2.0, None, 0.0],
            team=["a", None, "a"],
            allowed_models=[["x", "y"], None, []],
            required_tags=pa.array([None, ["eu"], ["eu"]], pa.large_list(pa.string())),
            embedding=[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        ),
    ).queries
    assert q.deadline[0] == np.datetime64("2026-11-23T04:30:00.000007")
    assert np.isnat(q.deadline[1])
    assert q.priority.tolist() == [2.0, 1.0, 0.0]
    assert q.team.tolist() == ["a", None, "a"]
    assert list(q.allowed_models) == [("x", "y"), None, ()]
    assert q.required_tags[1] == ("eu",)
    assert q.embedding is not None
    assert q.embedding.dtype == np.float32
    assert q.embedding.tolist() == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("query_id", pa.array(["a", "b", "c"], pa.large_string()), ["a", "b", "c"]),
        ("query_id", pa.array(["a", "b", "c"]).dictionary_encode(), ["a", "b", "c"]),
        ("query_id", pa.array([b"a", b"b", b"c"], pa.binary()), ["a", "b", "c"]),
        ("input_tokens", pa.array([1, 2, 3], pa.int8()), [1, 2, 3]),
        ("input_tokens", pa.array([1, 2, 3], pa.uint64()), [1, 2, 3]),
        ("input_tokens", pa.array([1.0, 2.0, 3.0]), [1, 2, 3]),
        ("input_tokens", pa.array([Decimal("1.00")] * 3), [1, 1, 1]),
        ("priority", pa.array([1, 2, 3], pa.int32()), [1.0, 2.0, 3.0]),
        ("priority", pa.array([0.5, 1, 2], pa.float32()), [0.5, 1.0, 2.0]),
        ("priority", pa.nulls(3), [1.0, 1.0, 1.0]),
        ("deadline", pa.array([DAY] * 3, pa.date32()), [MIDNIGHT] * 3),
        ("deadline", pa.array([ONE] * 3, pa.timestamp("s")), [ONE] * 3),
        (
            "deadline",
            pa.array([datetime(2026, 11, 22, 1, tzinfo=UTC)] * 3, pa.timestamp("ns", "Asia/Tokyo")),
            [ONE] * 3,
        ),
    ],
)
def test_types_that_hold_the_contract_are_accepted(
    tmp_path: Path, column: str, values: pa.Array, expected: list[Any]
) -> None:
    """Another width, unit, zone or encoding of the same values is no reason to refuse them."""
    got = read(tmp_path, table(**{column: values}))
    assert got.rejected == ()
    assert getattr(got.queries, column).tolist() == expected


BAD_VALUES: list[tuple[str, pa.Array, str]] = [
    ("query_id", pa.array(["a", None, "c"]), "query_id must not be null"),
    ("query_id", pa.array(["a", "", "c"]), "query_id must not be empty"),
    ("query_id", pa.array(["a", "x" * 600, "c"]), "query_id must be at most 512 bytes"),
    ("query_id", pa.array(["a", "b\0", "c"]), "NUL"),
    ("prompt", pa.array(["a", None, "c"]), "prompt must not be null"),
    ("prompt", pa.array([b"a", b"\xed\xa0\x80", b"c"], pa.binary()), "prompt must be valid UTF-8"),
    ("prompt", pa.array([b"a", b"\xff\xfe", b"c"], pa.large_binary()), "prompt must be valid UTF-8"),
    ("input_tokens", pa.array([1, -1, 3]), "input_tokens must be a whole number from 0 to 2147483647, got -1"),
    ("input_tokens", pa.array([1.0, 1.5, 3.0]), "input_tokens must be a whole number"),
    ("input_tokens", pa.array([1, 2**64 - 1, 3], pa.uint64()), "input_tokens must be a whole number"),
    ("input_tokens", pa.array([1, 2**63 - 1, 3]), "input_tokens must be a whole number"),
    ("priority", pa.array([1.0, np.nan, 3.0]), "priority must be a finite number from 0 to 100, got nan"),
    ("priority", pa.array([1.0, 101.0, 3.0]), "priority must be a finite number"),
    ("max_cost_usd", pa.array([1.0, np.inf, 3.0]), "max_cost_usd must be a finite number from 0"),
    ("max_cost_usd", pa.array([1.0, -0.1, 3.0]), "max_cost_usd must be a finite number from 0"),
    ("min_quality", pa.array([0.1, 1.1, 0.3]), "min_quality must be a finite number from 0 to 1"),
    ("deadline", pa.array([0, 2**62, 0], pa.int64()).view(pa.timestamp("ms")), "deadline must be a time"),
    ("deadline", pa.array([0, -5, 0], pa.int64()).view(pa.timestamp("us")), "deadline must be a time"),
    (
        "submitted_at",
        pa.array([DAY, date(2031, 1, 1), DAY]),
        "submitted_at must be a time from 1970-01-01 to 2026-11-24",
    ),
    ("allowed_models", pa.array([["a"], ["b", None], None]), "allowed_models must list names"),
    ("allowed_models", pa.array([["a"], [""], None]), "allowed_models must list names"),
    ("required_tags", pa.array([["a"], ["b\0c"], []]), "required_tags must list names"),
    ("embedding", pa.array([[1.0], [1.0, 2.0], [1.0]]), "embedding must have 1 numbers"),
    ("embedding", pa.array([[1.0], None, [1.0]]), "embedding must be filled"),
    ("embedding", pa.array([[1.0], [np.nan], [1.0]]), "embedding must hold finite numbers"),
    ("embedding", pa.array([[1.0], [None], [1.0]], pa.list_(pa.float64())), "embedding must hold finite numbers"),
    ("embedding", pa.array([[1.0], [1e300], [1.0]]), "embedding must hold finite numbers"),
]


@pytest.mark.parametrize(("column", "values", "message"), BAD_VALUES)
def test_a_bad_value_costs_its_row_alone(tmp_path: Path, column: str, values: pa.Array, message: str) -> None:
    """The row is set aside with file, number, reason and the rule; its neighbours are read."""
    got = read(tmp_path, table(**{column: values}))
    assert got.row.tolist() == [0, 2]
    (rejected,) = got.rejected
    assert (rejected.partition, rejected.row, rejected.reason) == ("part-0.parquet", 1, Reason.MALFORMED)
    assert message in rejected.detail
    assert "\0" not in rejected.detail
    assert len(rejected.detail) < 300


def test_a_huge_prompt_is_no_fault(tmp_path: Path) -> None:
    """Prompts have no limit of their own; the context window decides later."""
    got = read(tmp_path, table(prompt=["a", "b" * 10_000_000, "c"]))
    assert got.rejected == ()
    assert len(got.queries.prompt[1]) == 10_000_000


def test_sql_in_an_id_is_just_an_id(tmp_path: Path) -> None:
    """Nothing in an identifier is interpreted."""
    evil = "'; DROP TABLE assignments; --"
    assert read(tmp_path, table(query_id=["a", evil, "c"])).queries.query_id[1] == evil


def test_the_first_of_equal_ids_is_kept(tmp_path: Path) -> None:
    """By file and row; the others are rejected as duplicates that name the first."""
    got = read(tmp_path, table(query_id=["a", "b", "a"]), table(query_id=["c", "b", "d"], team=["t", "t", None]))
    assert got.queries.query_id.tolist() == ["a", "b", "c", "d"]
    assert got.queries.team.tolist() == [None, None, "t", None]
    assert [(r.partition, r.row, r.query_id, r.reason) for r in got.rejected] == [
        ("part-0.parquet", 2, "a", Reason.DUPLICATE),
        ("part-1.parquet", 1, "b", Reason.DUPLICATE),
    ]
    assert "row 0 of part-0.parquet" in got.rejected[0].detail


def test_a_malformed_row_does_not_claim_its_id(tmp_path: Path) -> None:
    """A good row is not a duplicate of one that was rejected before it."""
    got = read(tmp_path, table(query_id=["a", "a", "b"], input_tokens=[-1, 5, 6]))
    assert got.queries.query_id.tolist() == ["a", "b"]
    assert [r.reason for r in got.rejected] == [Reason.MALFORMED]


WRONG_TYPES: list[tuple[str, pa.Array]] = [
    ("query_id", pa.array([1, 2, 3])),
    ("prompt", pa.array([["a"], ["b"], ["c"]])),
    ("input_tokens", pa.array(["1", "2", "3"])),
    ("input_tokens", pa.array([True, False, True])),
    ("priority", pa.array(["high", "low", "low"])),
    ("deadline", pa.array(["2026-11-23", "", ""])),
    ("deadline", pa.array([1, 2, 3])),
    ("allowed_models", pa.array(["m", "m", "m"])),
    ("allowed_models", pa.array([[1], [2], [3]])),
    ("embedding", pa.array([["a"], ["b"], ["c"]])),
    ("embedding", pa.array([1.0, 2.0, 3.0])),
]


@pytest.mark.parametrize(("column", "values"), WRONG_TYPES)
def test_a_type_that_cannot_hold_the_contract_fails_by_name(tmp_path: Path, column: str, values: pa.Array) -> None:
    """The message names file, column, and the type seen."""
    with pytest.raises(ContractError, match=r"part-0\.parquet") as caught:
        read(tmp_path, table(**{column: values}))
    assert repr(column) in str(caught.value)
    assert str(values.type).replace("item", "element") in str(caught.value)


def test_a_missing_required_column_fails_by_name(tmp_path: Path) -> None:
    """The message names the file, the column, and what is there."""
    with pytest.raises(ContractError, match=r"part-0\.parquet must have column 'prompt'; it has query_id"):
        read(tmp_path, table().drop_columns(["prompt"]))


def test_a_repeated_column_fails_by_name(tmp_path: Path) -> None:
    """Nobody has to guess which of two was meant."""
    twice = table().append_column("task", pa.array(["x", "y", "z"]))
    with pytest.raises(ContractError, match=r"must have column 'task' once, has it 2 times"):
        read(tmp_path, twice)


@pytest.mark.parametrize(
    "damage", [lambda raw: b"", lambda raw: raw[:-20], lambda raw: b"PAR1", lambda raw: b"x" * 900, lambda raw: raw[:4]]
)
def test_an_unreadable_file_fails_by_name(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Truncated, empty and foreign files are listed without rows, and reading them names the file."""
    (name,) = write_partition(tmp_path, DAY, table())
    path = tmp_path / f"dt={DAY}" / name
    path.write_bytes(damage(path.read_bytes()))
    (listed,) = list_partition(tmp_path, DAY)
    assert listed.rows is None
    with pytest.raises(ContractError, match=name):
        read_queries(tmp_path, DAY, (listed,))


@given(data=st.data())
@settings(derandomize=True, deadline=None, max_examples=150)
def test_no_damaged_byte_ends_in_a_bare_traceback(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever happens to the bytes of a file: rows, rejected rows, or a named error."""
    root = tmp_path_factory.mktemp("fuzz")
    raw = bytearray(_fuzz_seed(root))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (root / f"dt={DAY}" / "part-00000.parquet").write_bytes(raw)
    try:
        got = read_queries(root, DAY, list_partition(root, DAY))
    except ContractError as error:
        assert "part-00000.parquet" in str(error)
    else:
        assert len(list(got.queries.prompt)) + len(got.rejected) >= 0
        assert all(len(name.encode()) <= 512 for name in got.queries.query_id)


def _fuzz_seed(root: Path) -> bytes:
    whole = table(
        5,
        allowed_models=[["m"], None, [], ["a", "b"], None],
        embedding=[[1.0, 2.0]] * 5,
        deadline=[MIDNIGHT] * 5,
    )
    (name,) = write_partition(root, DAY, whole)
    return (root / f"dt={DAY}" / name).read_bytes()


VALUES = st.one_of(st.none(), st.floats(allow_nan=True), st.integers(-10, 10).map(float))


@given(numbers=st.lists(VALUES, min_size=1, max_size=30), cut=st.integers(1, 5))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_rows_are_judged_alike_however_the_backlog_is_cut(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[float | None], cut: int
) -> None:
    """Accepted and rejected ids do not depend on the number of files, and every row is one or the other."""
    whole = table(len(numbers), max_cost_usd=pa.array(numbers, pa.float64()))
    seen = []
    for parts in (1, cut):
        root = tmp_path_factory.mktemp("cut")
        write_partition(root, DAY, whole, parts=parts)
        got = read_queries(root, DAY, list_partition(root, DAY))
        seen.append(
            (got.queries.query_id.tolist(), [r.query_id for r in got.rejected], got.queries.max_cost_usd.tolist())
        )
    assert seen[0] == seen[1]
    bad = [f"q{k}" for k, x in enumerate(numbers) if x is not None and not 0 <= x <= 1e9]
    assert seen[0][1] == bad
    assert len(seen[0][0]) + len(bad) == len(numbers)


def test_a_missing_partition_says_what_to_do(tmp_path: Path) -> None:
    """The error names the directory and what the root has."""
    write_partition(tmp_path, date(2026, 11, 20), table())
    with pytest.raises(MissingPartitionError, match=r"dt=2026-11-22(.|\n)*remedy(.|\n)*1 partitions, 2026-11-20"):
        list_partition(tmp_path, DAY)


def test_a_day_without_files_is_empty(tmp_path: Path) -> None:
    """An existing directory without data files is a clear outcome: nothing, and an empty record."""
    folder = tmp_path / f"dt={DAY}"
    folder.mkdir()
    for name in ("_SUCCESS", ".part.parquet.crc", "_temporary.parquet", "notes.txt"):
        (folder / name).write_text("x")
    assert list_partition(tmp_path, DAY) == ()
    got = read_queries(tmp_path, DAY, ())
    assert (len(got.queries), list(got.queries.prompt), got.rejected) == (0, [], ())


def test_a_file_without_rows_is_read(tmp_path: Path) -> None:
    """An empty file adds nothing and breaks nothing."""
    got = read(tmp_path, table(2).slice(0, 0), table(2))
    assert got.queries.query_id.tolist() == ["q0", "q1"]


def test_files_are_listed_in_order_with_hash_and_rows(tmp_path: Path) -> None:
    """The listing is what a run records of its input."""
    write_partition(tmp_path, DAY, table(10), parts=3)
    files = list_partition(str(tmp_path), DAY)
    assert [f.name for f in files] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert [f.rows for f in files] == [3, 3, 4]
    assert all(f.size_bytes == Path(f.path).stat().st_size for f in files)
    assert partition_dates(tmp_path) == (DAY,)
    assert partition_dates(tmp_path / "nothing") == ()


def test_names_that_are_no_days_are_not_partitions(tmp_path: Path) -> None:
    """Only real dates count."""
    for name in ("dt=2026-13-40", "dt=..", "dt=2026-11-2", "2026-11-22", "dt=2026-11-22x"):
        (tmp_path / name).mkdir()
    assert partition_dates(tmp_path) == ()


@pytest.mark.parametrize("change", ["content", "size", "gone"])
def test_a_file_that_changed_since_is_refused(tmp_path: Path, change: str) -> None:
    """Neither checking nor reading takes bytes that were not listed, and the message says what changed."""
    write_partition(tmp_path, DAY, table())
    (file,) = list_partition(tmp_path, DAY)
    check_unchanged(file)
    path = Path(file.path)
    raw = path.read_bytes()
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(raw + b"x" if change == "size" else raw[:-1] + bytes([raw[-1] ^ 1]))
    words = {"content": "sha256", "size": "size was", "gone": "cannot be opened"}[change]
    with pytest.raises(ChangedInputError, match=f"{file.name}.*{words}"):
        check_unchanged(file)
    with pytest.raises(ChangedInputError, match=f"{file.name}.*{words}"):
        read_queries(tmp_path, DAY, (file,))


@pytest.mark.parametrize("name", ["../../secret.parquet", "a/b.parquet", "a\nb.parquet", "", "..", "x" * 300])
def test_a_name_with_tricks_is_refused(tmp_path: Path, name: str) -> None:
    """A listed file stays inside its partition."""
    with pytest.raises(ContractError, match="file name must be printable"):
        read_queries(tmp_path, DAY, (InputFile("p", name, 0, "", None),))


def test_a_link_out_of_the_root_is_refused(tmp_path: Path) -> None:
    """A partition cannot borrow files from elsewhere."""
    pq.write_table(table(), tmp_path / "elsewhere.parquet")
    root = tmp_path / "backlog"
    (root / f"dt={DAY}").mkdir(parents=True)
    os.symlink(tmp_path / "elsewhere.parquet", root / f"dt={DAY}" / "part.parquet")
    with pytest.raises(ContractError, match="must not lead outside"):
        list_partition(root, DAY)


def test_a_partition_is_replaced_whole(tmp_path: Path) -> None:
    """A second write with fewer files leaves none of the first, and no scratch directory."""
    write_partition(tmp_path, DAY, table(8), parts=4)
    write_partition(tmp_path, DAY, table(2), parts=1, success=True)
    assert [f.rows for f in list_partition(tmp_path, DAY)] == [2]
    assert (tmp_path / f"dt={DAY}" / "_SUCCESS").exists()
    assert [p.name for p in tmp_path.iterdir()] == [f"dt={DAY}"]


def test_a_write_that_fails_leaves_the_old_partition(tmp_path: Path) -> None:
    """Half a partition is never seen, nor its scratch directory."""
    write_partition(tmp_path, DAY, table(8))
    before = list_partition(tmp_path, DAY)
    with pytest.raises(OSError, match="disk full"), writing_partition(tmp_path, DAY) as writer:
        writer.write(table(2))
        raise OSError("disk full")
    assert list_partition(tmp_path, DAY) == before
    assert [p.name for p in tmp_path.iterdir()] == [f"dt={DAY}"]


def test_equal_data_makes_equal_bytes(tmp_path: Path) -> None:
    """Writing is deterministic."""
    for name in ("a", "b"):
        write_partition(tmp_path / name, DAY, table(9), parts=2)
    hashes = [[f.sha256 for f in list_partition(tmp_path / name, DAY)] for name in ("a", "b")]
    assert hashes[0] == hashes[1]


def test_a_url_works_like_a_path(tmp_path: Path) -> None:
    """Roots may be URLs of any file system that pyarrow or fsspec knows."""
    for root in (f"file://{tmp_path}/by-url", "memory://nightshift-test/backlog"):
        write_partition(root, DAY, table(4), parts=2)
        write_partition(root, DAY, table(3), parts=1)
        files = list_partition(root, DAY)
        assert [f.rows for f in files] == [3]
        check_unchanged(files[0])
        assert read_queries(root, DAY, files).queries.query_id.tolist() == ["q0", "q1", "q2"]
        assert partition_dates(root) == (DAY,)
        with pytest.raises(MissingPartitionError):
            list_partition(root, date(2020, 1, 1))


def test_an_unknown_scheme_is_a_setting_to_mend() -> None:
    """The message names the scheme and the way out."""
    with pytest.raises(SettingsError, match=r"carrier-pigeon(.|\n)*remedy"):
        list_partition("carrier-pigeon://loft/backlog", DAY)


def test_a_projected_read_leaves_the_rest_empty(tmp_path: Path) -> None:
    """Whoever needs no prompts does not read them."""
    write_partition(tmp_path, DAY, table())
    columns = [c for c in QUERY_COLUMNS if c.name in {"query_id", "deadline"}]
    q = read_queries(tmp_path, DAY, list_partition(tmp_path, DAY), columns=columns).queries
    assert q.query_id.tolist() == ["q0", "q1", "q2"]
    assert list(q.prompt) == ["", "", ""]


def test_outcomes_of_the_days_that_exist_are_read(tmp_path: Path) -> None:
    """Gaps between days are fine, days not asked for stay out, and absent propensities are unknown."""
    write_partition(tmp_path, date(2026, 11, 20), outcome_table(3, logged_at=[MIDNIGHT.replace(day=20)] * 3))
    write_partition(tmp_path, DAY, outcome_table(2, propensity=[0.5, None]))
    write_partition(tmp_path, date(2026, 11, 23), outcome_table(9))
    outcomes, rejected = read_outcomes(tmp_path, [DAY, date(2026, 11, 21), date(2026, 11, 20)])
    assert len(outcomes) == 5
    assert rejected == ()
    np.testing.assert_array_equal(outcomes.propensity, [np.nan] * 3 + [0.5, np.nan])
    assert outcomes.quality.dtype == np.float32
    assert outcomes.logged_at[[0, 3]].tolist() == [MIDNIGHT.replace(day=20), MIDNIGHT.replace(hour=5)]
    assert list(outcomes.take(np.array([4, 0])).prompt) == ["p", "p"]


@pytest.mark.parametrize(
    ("column", "values"),
    [("quality", [0.5, 1.5]), ("propensity", [0.5, 0.0]), ("cost_usd", [0.0, float("nan")]), ("model", ["m", ""])],
)
def test_a_bad_outcome_is_set_aside(tmp_path: Path, column: str, values: list[Any]) -> None:
    """With the day's directory in its partition, as outcomes are of many days."""
    write_partition(tmp_path, DAY, outcome_table(**{column: values}))
    outcomes, (rejected,) = read_outcomes(tmp_path, [DAY])
    assert len(outcomes) == 1
    assert (rejected.partition, rejected.row) == ("dt=2026-11-22/part-00000.parquet", 1)
    assert rejected.detail.startswith(f"{column} must")


def test_an_outcome_from_the_future_is_set_aside(tmp_path: Path) -> None:
    """What is logged under a day cannot be of days after it, or backfills would look ahead."""
    late = [datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)]
    write_partition(tmp_path, DAY, outcome_table(logged_at=late))
    outcomes, (rejected,) = read_outcomes(tmp_path, [DAY])
    assert len(outcomes) == 1
    assert "logged_at must be a time" in rejected.detail
