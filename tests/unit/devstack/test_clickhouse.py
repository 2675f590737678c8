"""The pure parts of the local stack's ClickHouse front; the whole: tests/contract/test_clickhouse_front.py."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from devstack.clickhouse import bodies, statements
from devstack.clickhouse import spread as spreading
from devstack.clickhouse.errors import ServerError, from_engine
from devstack.clickhouse.failures import CloseConnection, Failures, Fault
from devstack.clickhouse.spread import spread


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (b"INSERT INTO t FORMAT Native\n\x00\x01", ("INSERT INTO t ", "Native", b"\x00\x01")),
        (
            b'insert into `for mat` (`format`, "values") format\tTSV \r\n\n1',
            ('insert into `for mat` (`format`, "values") ', "TSV", b"\n1"),
        ),
        (
            b"/* VALUES */ INSERT INTO t -- FORMAT x\n(a) VALUES (1)",
            ("/* VALUES */ INSERT INTO t -- FORMAT x\n(a) ", "Values", b" (1)"),
        ),
        (
            b"INSERT INTO FUNCTION file('a;b', 'TSV') SETTINGS x = 'FORMAT y' VALUES(1)",
            ("INSERT INTO FUNCTION file('a;b', 'TSV') SETTINGS x = 'FORMAT y' ", "Values", b"(1)"),
        ),
        (b"INSERT INTO t SELECT 1 FORMAT TSV", None),
        (b"INSERT INTO t (a) WITH 1 AS x SELECT x", None),
        (b"INSERT INTO t", None),
    ],
)
def test_where_the_data_of_an_insert_begin(sql: bytes, expected: tuple[str, str, bytes] | None) -> None:
    found = statements.split_insert(sql)
    assert (found and (found.head, found.format, sql[found.data_at :])) == expected


def test_engine_errors_become_one_clean_error() -> None:
    inner = "Code: 108. DB::Exception: No data to insert. (NO_DATA_TO_INSERT) (version 26.9.2.1)"
    nested = f"Code: 108. DB::Exception: {inner}. (NO_DATA_TO_INSERT)"
    error = from_engine(RuntimeError(nested))
    assert (error.code, error.name) == (108, "NO_DATA_TO_INSERT")
    assert (
        error.text("26.9")
        == "Code: 108. DB::Exception: No data to insert. (NO_DATA_TO_INSERT) (version 26.9 (official build))\n"
    )
    assert ServerError(252, "x").status == 500


@pytest.mark.parametrize(
    ("sql", "word", "streams", "result"),
    [
        (b"  -- note\n SELECT 1", "SELECT", True, True),
        (b"/* a\n*/with x as (select 1) select *", "WITH", True, True),
        (b"(SELECT 1) UNION ALL (SELECT 2)", "(", True, True),
        (b"show tables", "SHOW", False, True),
        (b"CREATE TABLE t (a UInt8)", "CREATE", False, False),
        (b" ", "", False, False),
    ],
)
def test_the_kind_of_a_statement(sql: bytes, word: str, streams: bool, result: bool) -> None:
    found = statements.first_word(sql)
    assert (found, statements.streams(found), statements.has_result(found)) == (word, streams, result)


@pytest.mark.parametrize(
    ("sql", "form"),
    [
        (b"SELECT 1", "TSV"),
        (b"SELECT 1 format Native ;", "Native"),
        (b"SELECT 1 FORMAT JSON SETTINGS max_threads = 1", "JSON"),
        (b"SELECT 'FORMAT x'", "TSV"),
    ],
)
def test_the_output_format(sql: bytes, form: str) -> None:
    assert statements.output_format(sql, "TSV") == form


@pytest.mark.parametrize("encoding", list(bodies.ENCODERS))
def test_every_response_encoding_can_be_read_back(encoding: str) -> None:
    encoder = bodies.ENCODERS[encoding]()
    packed = encoder.compress(b"a" * 3_000) + encoder.compress(b"b" * 7) + encoder.flush()
    assert b"".join(bodies.decode([packed], encoding)) == b"a" * 3_000 + b"b" * 7


def test_bodies_that_are_not_what_they_say() -> None:
    for encoding in ("lz4", "zstd", "gzip", "deflate", "br"):
        with pytest.raises(ServerError):
            bodies.decode([b"certainly not compressed"], encoding)
    with pytest.raises(ServerError, match="Unknown compression method snappy"):
        bodies.decode([b""], "snappy")


def test_faults_count_down_and_choose_their_statements() -> None:
    # given
    failures = Failures()
    failures.order(Fault.of({"code": "252", "times": "2", "table": "score"}))
    failures.order(Fault.of({"mode": "close", "on": "select"}))
    # then
    assert failures.before("INSERT", "INSERT INTO other") is None
    for _ in range(2):
        with pytest.raises(ServerError, match="Too many parts"):
            failures.before("INSERT", "INSERT INTO score")
    assert failures.before("INSERT", "INSERT INTO score") is None
    with pytest.raises(CloseConnection):
        failures.before("SELECT", "SELECT 1")
    assert failures.standing() == []


@pytest.mark.parametrize("params", [{}, {"code": "1", "mode": "close"}, {"mode": "explode"}, {"code": "many"}])
def test_orders_that_make_no_sense(params: dict[str, str]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the text is for people
        Fault.of(params)


class Ext4:
    """As much of fcntl as marks folders: their flags, by inode."""

    def __init__(self) -> None:
        self.flags: dict[int, int] = {}

    def ioctl(self, opened: int, request: int, packed: bytes) -> bytes:
        inode = os.fstat(opened).st_ino
        if request == 0x40086602:  # FS_IOC_SETFLAGS
            (self.flags[inode],) = struct.unpack("l", packed)
        return struct.pack("l", self.flags.get(inode, 0x80000))  # FS_EXTENT_FL, which must stay


def test_the_folders_of_tables_are_spread_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "fcntl", ext4 := Ext4())
    for table in ("abc/abc1", "abd/abd2"):
        (tmp_path / "store" / table).mkdir(parents=True)
    (tmp_path / "store" / "abc" / "note").write_text("no folder")
    assert spread(tmp_path) == 2
    assert set(ext4.flags.values()) == {0x80000 | 0x20000}
    assert spread(tmp_path) == 0
    (tmp_path / "store" / "abe" / "abe3").mkdir(parents=True)
    assert spread(tmp_path) == 1


def test_spreading_without_tables_or_support_is_no_error(tmp_path: Path) -> None:
    assert spread(tmp_path) == 0
    assert spread(Path("/proc/self")) == 0
