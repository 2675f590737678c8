"""The answer to one request, with the headers that ClickHouse's clients read."""

from __future__ import annotations

import contextlib
import itertools
import json
import secrets
import socket
import string
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

from devstack.clickhouse import bodies, http
from devstack.clickhouse.engine import Engine, Stats
from devstack.clickhouse.errors import ServerError
from devstack.clickhouse.failures import CloseConnection

STREAM_FROM = 1 << 20  # a larger result is streamed; a smaller one has a Content-Length and its own statistics
BUFFER_UP_TO = 64 << 20  # the same limit with wait_end_of_query=1
_COMPRESS_FROM = 512
_CONTENT_TYPES = {
    "Arrow": "application/octet-stream",
    "CSV": "text/csv; charset=UTF-8",
    "JSON": "application/json; charset=UTF-8",
    "Native": "application/octet-stream",
    "Parquet": "application/octet-stream",
    "RowBinary": "application/octet-stream",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
}


class Answer:
    """Sends one response. Every method but `stream` sends it whole."""

    def __init__(self, engine: Engine, request: http.Request, connection: socket.socket, *, name: str) -> None:
        self._engine = engine
        self._request = request
        self._connection = connection
        self._name = name
        self._begun = time.perf_counter_ns()
        self.query_id = request.params.get("query_id") or str(uuid.uuid4())

    def plain(self, status: int, text: str) -> None:
        """A short text outside of any statement."""
        self._send(status, {"Content-Type": "text/html; charset=UTF-8"}, text.encode())

    def error(self, error: ServerError) -> None:
        """The error, as the real server says it."""
        print(f"query_id={self.query_id} {str(error)[:300]!r}", file=sys.stderr, flush=True)
        headers = self._headers("") | {"X-ClickHouse-Exception-Code": str(error.code)}
        headers["Content-Type"] = "text/plain; charset=UTF-8"
        if error.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        self._send(error.status, headers, error.text(self._engine.version).encode("utf-8", "replace"))

    def whole(self, output: bytes, stats: Stats, form: str) -> None:
        """A statement's complete output and statistics."""
        headers = self._headers(form) | {"X-ClickHouse-Summary": self._summary(stats)}
        if len(output) >= _COMPRESS_FROM and (encoding := self._encoding()):
            encoder = bodies.ENCODERS[encoding]()
            output = encoder.compress(output) + encoder.flush()
            headers["Content-Encoding"] = encoding
        self._send(200, headers, output)

    def stream(self, blocks: Iterator[tuple[bytes, Stats]], form: str, *, patient: bool) -> None:
        """A result that comes in blocks: kept back up to a limit, and sent in HTTP chunks when it is larger.

        Raises:
            ServerError: the query failed before anything was sent.
            CloseConnection: it failed later; the error's text is at the end of what was sent.
        """
        limit = BUFFER_UP_TO if patient else STREAM_FROM
        kept: list[bytes] = []
        size, stats = 0, Stats()
        for block, more in blocks:
            kept.append(block)
            size, stats = size + len(block), stats + more
            if size > limit:
                break
        else:
            self.whole(b"".join(kept), stats, form)
            return
        tag = "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))
        encoding = self._encoding()
        headers = self._headers(form) | {
            "X-ClickHouse-Summary": self._summary(stats),
            "X-ClickHouse-Exception-Tag": tag,
        }
        headers["Transfer-Encoding"] = "chunked"
        if encoding:
            headers["Content-Encoding"] = encoding
        self._connection.sendall(http.head(200, headers))
        encoder = bodies.ENCODERS[encoding]() if encoding else None
        try:
            for block in itertools.chain(kept, (block for block, _ in blocks)):
                self._chunk(encoder, block)
        except ServerError as error:
            self._chunk(encoder, _marked(error.text(self._engine.version), tag))
            self._end(encoder)
            print(f"query_id={self.query_id} after the first block: {str(error)[:300]!r}", file=sys.stderr, flush=True)
            raise CloseConnection from error
        self._end(encoder)
        self._connection.sendall(b"0\r\n\r\n")

    def _chunk(self, encoder: Any, data: bytes) -> None:
        if encoder is not None:
            data = encoder.compress(data)
        if data:
            self._connection.sendall(b"%x\r\n" % len(data) + data + b"\r\n")

    def _end(self, encoder: Any) -> None:
        if encoder is not None and (data := encoder.flush()):
            self._connection.sendall(b"%x\r\n" % len(data) + data + b"\r\n")

    def _encoding(self) -> str:
        accepted = self._request.headers.get("accept-encoding", "")
        asked = self._request.params.get("enable_http_compression") == "1"
        return bodies.choose(accepted) if asked else ""

    def _headers(self, form: str) -> dict[str, str]:
        kind = next(
            (kind for prefix, kind in _CONTENT_TYPES.items() if form.startswith(prefix)), "text/plain; charset=UTF-8"
        )
        headers = {
            "Content-Type": kind,
            "X-ClickHouse-Server-Display-Name": self._name,
            "X-ClickHouse-Query-Id": self.query_id,
            "X-ClickHouse-Timezone": self._engine.timezone,
        }
        return headers | {"X-ClickHouse-Format": form} if form else headers

    def _summary(self, stats: Stats) -> str:
        numbers = {name: str(getattr(stats, name)) for name in Stats.__slots__}
        return json.dumps(
            numbers | {"total_rows_to_read": "0", "elapsed_ns": str(time.perf_counter_ns() - self._begun)}
        )

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        headers |= {
            "Content-Length": str(len(body)),
            "Connection": "Keep-Alive" if self._request.keep_alive else "Close",
        }
        if self._request.method == "HEAD":
            body = b""
        with contextlib.suppress(BrokenPipeError):
            self._connection.sendall(http.head(status, headers) + body)


def _marked(text: str, tag: str) -> bytes:
    """An error in the middle of a result, as ClickHouse has marked it since 25.11."""
    message = text.encode()
    return b"\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n" % (
        tag.encode(),
        message,
        len(message),
        tag.encode(),
    )
