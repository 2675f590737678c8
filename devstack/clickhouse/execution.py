"""One request, from its parameters and body to the engine and back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from devstack.clickhouse import bodies, http, statements
from devstack.clickhouse.answer import Answer
from devstack.clickhouse.engine import SESSION_TIMEOUT_S, Engine, Handle, quoted
from devstack.clickhouse.errors import ServerError
from devstack.clickhouse.failures import CloseConnection, Failures

# URL parameters of the interface itself; any other is a setting.
_OWN = {"query", "database", "default_format", "user", "password", "quota_key", "session_id", "session_timeout"}
_OWN |= {
    "session_check",
    "query_id",
    "stacktrace",
    "role",
    "buffer_size",
    "wait_end_of_query",
    "compress",
    "decompress",
}
_OWN |= {"client_protocol_version", "close_session", "http_write_exception_in_output_format"}
# Settings of the real HTTP server that mean nothing to the engine; clickhouse-connect sends them with every request.
_OWN |= {"enable_http_compression", "send_progress_in_http_headers", "http_headers_progress_interval_ms"}
_OWN |= {"cancel_http_readonly_queries_on_client_close", "http_zlib_compression_level"}
_OWN |= {"readonly"}  # kept by this file: the engine could never take it back
_EXTERNAL = ("_format", "_structure", "_types")


@dataclass(frozen=True, slots=True)
class Statement:
    """One request, understood."""

    sql: bytes  # for an INSERT with data: only up to the data
    word: str  # its first keyword
    format: str  # of the output; empty where there is none
    insert: statements.Insert | None
    data: list[bytes]  # of the INSERT
    params: dict[str, str]  # bound parameters, without "param_"
    files: dict[str, bytes]  # external tables


def execute(engine: Engine, failures: Failures, request: http.Request, answer: Answer) -> None:
    """Run the request's statement and answer it.

    Raises:
        ServerError: and nothing has been sent yet.
        CloseConnection: the answer can't be completed, or a drill ordered it.
    """
    statement = understand(request)
    session = request.params.get("session_id")
    fault = failures.before(statement.word, statement.sql[:1000].decode("utf-8", "replace"))
    timeout_s = float(request.params.get("session_timeout") or SESSION_TIMEOUT_S)
    database = request.params.get("database") or request.headers.get("x-clickhouse-database")
    settings = _settings(request, statement)
    with engine.lease(session, timeout_s=timeout_s, database=database, settings=settings) as handle:
        if request.params.get("session_check") == "1" and handle.fresh:
            raise ServerError(372, f"Session {session} not found")
        handle.fresh = False
        handle.arrange(database, settings)
        with _external_tables(handle, statement, request.params):
            if statement.insert is not None:
                _insert(handle, request, statement, answer, lost=fault is not None and fault.mode == "lose-answer")
            else:
                _query(handle, request, statement, answer)
            if statement.word in ("CREATE", "ATTACH", "RESTORE"):
                engine.tables_made()
        if fault is not None and fault.mode == "lose-answer":
            raise CloseConnection


def understand(request: http.Request) -> Statement:
    """The statement, which is the parameter `query` followed by the body, and what comes with it."""
    if request.params.get("compress") == "1" or request.params.get("decompress") == "1":
        raise ServerError(
            48, "devstack: compress=1 and decompress=1 are not served; use Content-Encoding and Accept-Encoding"
        )
    body = bodies.decode(request.body, request.headers.get("content-encoding", "").lower())
    params: dict[str, str] = request.params
    files: dict[str, bytes] = {}
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        fields, files = http.multipart(request, b"".join(body))
        params, body = params | fields, []
    sql = params.get("query", "").encode()
    if not sql:
        sql, body = b"".join(body), []
    elif body and (statements.first_word(sql) != "INSERT" or statements.split_insert(sql) is None):
        sql, body = b"\n".join((sql, b"".join(body))), []
    word = statements.first_word(sql)
    if not word:
        raise ServerError(62, "Syntax error: failed at position 1 (end of query): Empty query")
    insert = statements.split_insert(sql) if word == "INSERT" else None
    data: list[bytes] = []
    if insert is not None:
        data = [piece for piece in (sql[insert.data_at :], *body) if piece]
        sql = sql[: insert.data_at]
    default = request.headers.get("x-clickhouse-format") or params.get("default_format") or "TabSeparated"
    return Statement(
        sql=sql,
        word=word,
        format=statements.output_format(sql, default) if statements.has_result(word) else "",
        insert=insert,
        data=data,
        params={name.removeprefix("param_"): value for name, value in params.items() if name.startswith("param_")},
        files=files,
    )


def _settings(request: http.Request, statement: Statement) -> dict[str, str]:
    external = {name + suffix for name in statement.files for suffix in _EXTERNAL}
    skipped = _OWN | external
    return {
        name: value for name, value in request.params.items() if name not in skipped and not name.startswith("param_")
    }


def _insert(handle: Handle, request: http.Request, statement: Statement, answer: Answer, *, lost: bool) -> None:
    assert statement.insert is not None
    if (reason := _readonly(request)) is not None:
        raise ServerError(164, reason)
    if statement.params:
        handle.bind(statement.params)
    stats = handle.insert(statement.insert.head, statement.insert.format, statement.data)
    if not lost:
        answer.whole(b"", stats, statement.format)


def _query(handle: Handle, request: http.Request, statement: Statement, answer: Answer) -> None:
    sql = statement.sql.decode("utf-8", "surrogateescape")
    kind, count = handle.classify(sql)
    if count > 1:
        raise ServerError(62, "Syntax error (Multi-statements are not allowed)")
    if kind.startswith("MUTATING") and (reason := _readonly(request)) is not None:
        raise ServerError(164, reason)
    if statements.streams(statement.word):
        with contextlib.closing(handle.stream(sql, statement.format, statement.params)) as blocks:
            answer.stream(blocks, statement.format, patient=request.params.get("wait_end_of_query") == "1")
        return
    output, stats = handle.run(sql, statement.format or "TabSeparated", statement.params)
    if statement.word in ("SET", "USE"):
        handle.remember()
    answer.whole(output, stats, statement.format)


def _readonly(request: http.Request) -> str | None:
    if request.method in ("GET", "HEAD"):
        return "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly."
    return "Cannot execute query in readonly mode" if request.params.get("readonly", "0") != "0" else None


@contextlib.contextmanager
def _external_tables(handle: Handle, statement: Statement, params: dict[str, str]) -> Iterator[None]:
    made: list[str] = []
    try:
        for name, content in statement.files.items():
            structure = params.get(f"{name}_structure")
            if structure is None:
                types = params.get(f"{name}_types", "").split(",")
                structure = ", ".join(f"_{number} {kind}" for number, kind in enumerate(types, 1))
            handle.run(f"CREATE TEMPORARY TABLE {quoted(name)} ({structure})", "Null", {})
            made.append(name)
            handle.insert(f"INSERT INTO {quoted(name)}", params.get(f"{name}_format", "TabSeparated"), [content])
        yield
    finally:
        for name in made:
            handle.run(f"DROP TEMPORARY TABLE IF EXISTS {quoted(name)}", "Null", {})
