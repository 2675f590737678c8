"""The local stack's ClickHouse front, as an unmodified clickhouse-connect and a plain HTTP client see it."""

from __future__ import annotations

import gzip
import http.client
import json
import signal
import socket
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import lz4.frame
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError
from clickhouse_connect.driver.external import ExternalData

from devstack.clickhouse import bodies
from devstack.clickhouse.testing import Front
from stream.clickhouse import error_codes

USERS = "scorestream:s3cret:with"
DDL = "CREATE TABLE {} (id UInt64, text String, at DateTime64(6, 'UTC')) ENGINE = MergeTree ORDER BY id"


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    front = Front(tmp_path_factory.mktemp("front") / "data", users=USERS).start()
    front.sql("CREATE DATABASE scorestream")
    yield front
    assert front.stop() == 0


@pytest.fixture
def client(front: Front) -> Iterator[Client]:
    with front.client(database="scorestream") as client:
        yield client


@pytest.fixture
def table(front: Front, request: pytest.FixtureRequest) -> str:
    name = "scorestream." + "".join(c if c.isalnum() else "_" for c in request.node.name)
    front.sql(DDL.format(name))
    return name


def count(front: Front, table: str) -> int:
    return int(front.sql(f"SELECT count() FROM {table}"))


def rows(number: int) -> list[list[object]]:
    """Column-wise, as the worker inserts."""
    return [
        list(range(number)),
        [f"text {i}" for i in range(number)],
        [1_700_000_000_000_000 + i for i in range(number)],
    ]


NAMES = ["id", "text", "at"]
TYPES = ["UInt64", "String", "DateTime64(6, 'UTC')"]
BODY = "".join(f"{i}\ttext {i}\t2026-01-01 00:00:00.000000\n" for i in range(5_000)).encode()


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
@pytest.mark.parametrize("number", [1, 16_384, 16_385, 50_000, 120_000])
def test_every_block_of_an_insert_is_stored(front: Front, table: str, number: int, compress: str | bool) -> None:
    # given: a client that sends one compressed frame for every 16,384 rows
    codec = "rust" if number % 2 else "python"
    with front.client(compress=compress, native_codec=codec) as client:
        # when
        summary = client.insert(table, rows(number), column_oriented=True, column_type_names=TYPES, column_names=NAMES)

    # then: all rows are there, once, and the summary says so
    assert summary.written_rows == number
    assert front.sql(f"SELECT count(), uniqExact(id), sum(id), sum(length(text)) > 0 FROM {table}").split() == [
        str(number),
        str(number),
        str(number * (number - 1) // 2),
        "1",
    ]


def several_frames(encoding: str) -> bytes:
    """BODY in three frames of the encoding."""
    parts = [BODY[:100], BODY[100:90_000], BODY[90_000:]]
    compress = {
        "lz4": lz4.frame.compress,
        "zstd": bodies.zstd.compress,
        "gzip": gzip.compress,
        "deflate": zlib.compress,
    }[encoding]
    return b"".join(compress(part) for part in parts)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip", "deflate"])
def test_a_body_of_several_frames_is_stored_whole(front: Front, table: str, encoding: str, chunked: bool) -> None:
    # given: frames whose ends are not the ends of HTTP's chunks
    body = several_frames(encoding)
    pieces = (body[i : i + 7_001] for i in range(0, len(body), 7_001)) if chunked else body

    # when
    status, headers, answer = front.http(
        "POST", pieces, query=f"INSERT INTO {table} FORMAT TSV", headers={"Content-Encoding": encoding}
    )

    # then
    assert (status, answer) == (200, b"")
    assert json.loads(headers["x-clickhouse-summary"])["written_rows"] == "5000"
    assert count(front, table) == 5_000


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip", "deflate"])
@pytest.mark.parametrize("left", [0.3, 0.9, -1])
def test_a_body_cut_inside_a_frame_stores_nothing(front: Front, table: str, encoding: str, left: float) -> None:
    # given
    whole = several_frames(encoding)
    cut = whole[:-1] if left < 0 else whole[: int(len(whole) * left)]

    # when
    status, headers, answer = front.http(
        "POST", cut, query=f"INSERT INTO {table} FORMAT TSV", headers={"Content-Encoding": encoding}
    )

    # then
    assert status == 500
    assert headers["x-clickhouse-exception-code"] == "33"
    assert b"CANNOT_READ_ALL_DATA" in answer
    assert count(front, table) == 0


def test_a_native_body_cut_inside_a_block_stores_nothing(front: Front, table: str) -> None:
    # given
    native = front.http(
        "POST", "SELECT number AS id, 'x' AS text, now64(6, 'UTC') AS at FROM numbers(1000) FORMAT Native"
    )[2]
    for cut in (3, len(native) // 2, len(native) - 1):
        # when
        status, _, answer = front.http("POST", native[:cut], query=f"INSERT INTO {table} FORMAT Native")
        # then
        assert status == 500, answer
    assert count(front, table) == 0


@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_a_connection_lost_within_a_body_stores_nothing(front: Front, table: str, framing: str) -> None:
    # given: rows that are whole, but fewer than announced
    query = urlencode({"query": f"INSERT INTO {table} FORMAT TSV"})
    data = BODY[:4_000].rsplit(b"\n", 1)[0] + b"\n"
    if "chunked" in framing:
        data = b"%x\r\n%s\r\n" % (len(data), data)

    # when
    with socket.create_connection(("127.0.0.1", front.port), timeout=20) as connection:
        connection.sendall(f"POST /?{query} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode() + data)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(1_000)

    # then
    assert answer.startswith(b"HTTP/1.1 400")
    assert count(front, table) == 0


@pytest.mark.parametrize(
    ("sql", "code", "name", "status"),
    [
        ("SELEC 1", 62, "SYNTAX_ERROR", 400),
        ("SELECT * FROM scorestream.nothing", 60, "UNKNOWN_TABLE", 404),
        ("SELECT * FROM nowhere.nothing", 81, "UNKNOWN_DATABASE", 404),
        ("SELECT nothing", 47, "UNKNOWN_IDENTIFIER", 404),
        ("INSERT INTO scorestream.nothing VALUES (1)", 60, "UNKNOWN_TABLE", 404),
        ("SELECT throwIf(1)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", 500),
        ("SELECT toDate('x')", 38, "CANNOT_PARSE_DATE", 400),
        ("SELECT 1 SETTINGS no_such_setting = 1", 115, "UNKNOWN_SETTING", 404),
        ("SELECT 1; SELECT 2", 62, "SYNTAX_ERROR", 400),
        ("", 62, "SYNTAX_ERROR", 400),
    ],
)
def test_errors_come_as_the_real_servers(front: Front, sql: str, code: int, name: str, status: int) -> None:
    got, headers, answer = front.http("POST", sql, query=" ")
    assert (got, headers["x-clickhouse-exception-code"]) == (status, str(code))
    text = answer.decode()
    assert text.startswith(f"Code: {code}. DB::Exception: ")
    assert f"({name}) (version 26." in text
    assert text.count("DB::Exception") == 1


def test_clickhouse_connect_knows_the_error(client: Client) -> None:
    with pytest.raises(DatabaseError) as raised:
        client.query("SELECT * FROM nothing")
    assert (raised.value.code, raised.value.name) == (60, "UNKNOWN_TABLE")


def test_an_error_after_the_first_block_reaches_the_client(client: Client) -> None:
    sql = "SELECT throwIf(number = 5000000), toString(number) FROM numbers(10000000)"
    with pytest.raises(StreamFailureError, match="Code: 395"), client.query_column_block_stream(sql) as stream:
        for _ in stream:
            pass


def test_settings_do_not_leak_between_requests(front: Front) -> None:
    ask = "SELECT getSetting('max_block_size'), getSetting('max_threads')"
    before = front.sql(ask)
    assert front.sql(ask, max_block_size="1234", max_threads="7") == "1234\t7"
    assert front.sql(ask, max_threads="7").endswith("\t7")
    assert front.sql(ask) == before
    # an unknown setting fails its own request, and only that
    assert front.http("POST", "SELECT 1", max_threads="5", no_such_setting="1")[0] == 404
    assert front.sql(ask) == before
    # SET and USE outside of a session end with their request
    front.sql("SET max_threads = 9")
    front.sql("USE system")
    assert [front.sql(ask) for _ in range(20)] == [before] * 20
    assert front.sql("SELECT currentDatabase()") == "default"
    # what a request binds is gone after it, in queries and in inserts
    assert front.sql("SELECT {number:UInt8}", param_number="3") == "3"
    assert front.http("POST", "SELECT {number:UInt8}")[0] != 200


def test_a_session_keeps_its_settings_database_and_temporary_tables(front: Front) -> None:
    session = {"session_id": "one"}
    front.sql("SET max_threads = 9", **session)
    front.sql("USE scorestream", **session)
    front.sql("CREATE TEMPORARY TABLE mine (n UInt8)", **session)
    front.sql("INSERT INTO mine VALUES (1), (2)", **session)
    assert (
        front.sql("SELECT sum(n), currentDatabase(), getSetting('max_threads') FROM mine", **session)
        == "3\tscorestream\t9"
    )
    assert front.sql("SELECT getSetting('max_threads')", max_threads="3", **session) == "3"
    assert front.sql("SELECT currentDatabase()", database="system", **session) == "system"
    assert front.sql("SELECT currentDatabase(), getSetting('max_threads')", **session) == "scorestream\t9"
    assert front.http("POST", "SELECT * FROM mine", session_id="two")[0] == 404


def test_requests_run_concurrently_and_a_session_does_not(front: Front) -> None:
    # given: statements that take their time, more of them than connections of one handle could serve
    answers: list[int] = []

    def ask(**params: str) -> None:
        answers.append(front.http("POST", "SELECT sleep(0.6)", **params)[0])

    def together(*all_params: dict[str, str]) -> float:
        answers.clear()
        threads = [threading.Thread(target=ask, kwargs=params) for params in all_params]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(answers)

    # then: six take as long as one ...
    threads_begun = front.sql("SELECT now64(6)")
    assert together(*[{}] * 6) == 6 * 200
    assert float(front.sql(f"SELECT dateDiff('millisecond', toDateTime64('{threads_begun}', 6), now64(6))")) < 3_000
    # ... and of two in one session one is refused, with the real server's code 373 (status 500)
    assert together({"session_id": "three"}, {"session_id": "three"}) == 700


def test_concurrent_inserts_are_all_stored(front: Front, table: str) -> None:
    def insert(worker: int) -> None:
        with front.client() as client:
            for _ in range(5):
                assert (
                    client.insert(table, rows(2_000), NAMES, column_oriented=True, column_type_names=TYPES).written_rows
                    == 2_000
                )

    threads = [threading.Thread(target=insert, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(front, table) == 40_000


def test_an_insert_that_the_table_refuses_fails_and_stores_nothing(front: Front) -> None:
    # given a table with a constraint, and one with more months than a block may have
    front.sql(
        "CREATE TABLE scorestream.refuses (id UInt64, CONSTRAINT small CHECK id < 10) ENGINE = MergeTree ORDER BY id"
    )
    front.sql("CREATE TABLE scorestream.monthly (at DateTime) ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY at")
    # when rows come that it does not take
    status, _, refused = front.http("POST", "5\n50\n", query="INSERT INTO scorestream.refuses FORMAT TabSeparated")
    assert (status, b"Code: 469" in refused) == (500, True), refused
    months = "".join(f"{2000 + n // 12}-{n % 12 + 1:02}-01 00:00:00\n" for n in range(130))
    status, _, refused = front.http("POST", months, query="INSERT INTO scorestream.monthly FORMAT TabSeparated")
    # then the client reads why, as from the real server, and nothing is there
    assert (status, b"Too many partitions for single INSERT block" in refused) == (500, True), refused
    assert (count(front, "scorestream.refuses"), count(front, "scorestream.monthly")) == (0, 0)


def test_clickhouse_connect_works_unmodified(front: Front, client: Client, table: str) -> None:
    assert client.server_version.startswith("26.")
    assert client.ping()
    assert client.command("SELECT 1 + 1") == 2
    assert client.query("SELECT {a:Int32}, {b:String}", parameters={"a": 5, "b": "it's \\ \t"}).result_rows == [
        (5, "it's \\ \t")
    ]
    assert client.query("SELECT timezone()").result_rows == [("UTC",)]
    assert client.command(f"INSERT INTO {table} SELECT number, 'x', now64(6) FROM numbers(7)").written_rows == 7
    client.raw_insert(table, ["id", "text", "at"], '{"id": 1, "text": "a", "at": 0}', fmt="JSONEachRow")
    client.insert_arrow(table, client.query_arrow(f"SELECT * FROM {table} LIMIT 3"))
    assert client.query_df(f"SELECT count() AS n FROM {table}").n[0] == 11
    external = ExternalData(file_name="ext.tsv", data=b"1\tx\n2\ty\n", fmt="TSV", structure=["a Int32", "b String"])
    assert client.query("SELECT b FROM ext WHERE a > 1", external_data=external).result_rows == [("y",)]
    assert (
        client.query(f"SELECT name FROM system.columns WHERE concat(database, '.', table) = '{table}'").row_count == 3
    )


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", "deflate", False])
def test_large_results_are_streamed(front: Front, compress: str | bool) -> None:
    with front.client(compress=compress) as client:
        seen = 0
        with client.query_column_block_stream("SELECT number, toString(number) FROM numbers(400000)") as stream:
            for numbers, texts in stream:
                assert texts[-1] == str(numbers[-1])
                seen += len(numbers)
        assert seen == 400_000


def test_bodies_and_queries_in_every_place(front: Front, table: str) -> None:
    row = "1\ta\t2026-01-01 00:00:00"
    assert front.http("POST", f"INSERT INTO {table} FORMAT TSV\n{row}\n")[0] == 200
    assert front.http("POST", f"{row}\n", query=f"INSERT INTO {table} FORMAT TSV")[0] == 200
    assert front.http("POST", f"FORMAT TSV\n{row}\n", query=f"INSERT INTO {table}")[0] == 200
    assert front.http("POST", f"-- note\nINSERT INTO {table} (id, text) VALUES (2, 'FORMAT'), (3, now())")[0] == 200
    assert front.http("POST", f"INSERT INTO {table} (id) SELECT number FROM numbers(2)")[0] == 200
    assert front.http("POST", "", query=f"INSERT INTO {table} (id) VALUES ({{n:UInt8}})", param_n="9")[0] == 200
    assert count(front, table) == 8
    assert front.http("GET", query="SELECT 1")[2] == b"1\n"
    status, headers, body = front.http("GET", query="SELECT 1 AS n FORMAT JSON")
    assert json.loads(body)["data"] == [{"n": 1}]
    assert headers["content-type"].startswith("application/json")
    assert headers["x-clickhouse-format"] == "JSON"
    assert front.http("GET", query="SELECT 1 AS n", default_format="JSONEachRow")[2] == b'{"n":1}\n'
    # GET writes nothing, as in the real server
    status, headers, _ = front.http("GET", query=f"TRUNCATE TABLE {table}")
    assert (status, headers["x-clickhouse-exception-code"]) == (500, "164")
    assert front.http("GET", path="/ping")[2] == b"Ok.\n"
    assert front.http("GET")[2] == b"Ok.\n"
    assert front.http("GET", path="/nothing")[0] == 404


def test_users_and_passwords(front: Front) -> None:
    with front.client(username="scorestream", password="s3cret:with") as client:
        assert client.command("SELECT 1") == 1
    for headers in ({"X-ClickHouse-User": "scorestream", "X-ClickHouse-Key": "wrong"}, {"X-ClickHouse-User": "nobody"}):
        status, got, answer = front.http("POST", "SELECT 1", headers=headers)
        assert (status, got["x-clickhouse-exception-code"]) == (403, "516")
        assert b"AUTHENTICATION_FAILED" in answer


def test_ordered_failures(front: Front, table: str) -> None:
    insert = f"INSERT INTO {table} (id) VALUES (1)"
    # too many parts, twice, for inserts only
    assert front.http("POST", path="/devstack/fail", code="252", times="2")[0] == 200
    assert front.sql("SELECT 1") == "1"
    for _ in range(2):
        status, headers, answer = front.http("POST", insert)
        assert (status, headers["x-clickhouse-exception-code"]) == (500, "252")
        assert b"(TOO_MANY_PARTS)" in answer
    front.sql(insert)
    assert count(front, table) == 1
    # the connection closes before, or after the insert
    for mode, stored in (("close", 1), ("lose-answer", 2)):
        front.http("POST", path="/devstack/fail", mode=mode)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            front.http("POST", insert)
        assert count(front, table) == stored
    # orders can be seen, and taken back
    front.http("POST", path="/devstack/fail", code="164", times="5", on="any", table="elsewhere")
    assert json.loads(front.http("GET", path="/devstack/fail")[2])[0]["times"] == 5
    front.sql(insert)
    assert json.loads(front.http("DELETE", path="/devstack/fail")[2]) == []
    assert front.http("POST", path="/devstack/fail", mode="explode")[0] == 400


def test_acknowledged_rows_survive_a_kill(tmp_path: Path) -> None:
    # given
    front = Front(tmp_path / "data").start()
    front.sql("CREATE DATABASE scorestream")
    front.sql(DDL.format("scorestream.kept"))
    with front.client() as client:
        client.insert("scorestream.kept", rows(20_000), NAMES, column_oriented=True, column_type_names=TYPES)
    # when
    assert front.stop(signal.SIGKILL) == -signal.SIGKILL
    front.start()
    # then
    assert count(front, "scorestream.kept") == 20_000
    assert front.stop() == 0


def test_the_engine_names_the_codes_that_are_sorted(front: Front) -> None:
    # when the engine names each number
    sql = "SELECT number, errorCodeToName(toUInt32(number)) FROM numbers(1100) FORMAT TabSeparated"
    named = {int(code): name for code, _, name in (line.partition("\t") for line in front.sql(sql).splitlines())}
    # then the list has exactly those with a name, and each table the engine's own name
    assert {code for code, name in named.items() if name} == error_codes.NAMED
    assert {code: named[code] for code in error_codes.PASSING} == error_codes.PASSING
