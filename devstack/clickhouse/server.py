"""ClickHouse's HTTP interface: connections, users, and the paths that are not statements."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import socket
import ssl
import sys
import threading
from collections.abc import Iterator, Mapping

from devstack.clickhouse import http
from devstack.clickhouse.answer import Answer
from devstack.clickhouse.engine import Engine
from devstack.clickhouse.errors import ServerError
from devstack.clickhouse.execution import execute
from devstack.clickhouse.failures import CloseConnection, Failures, Fault

IDLE_S = 600


class Server:
    """Accepts connections, a thread for each."""

    def __init__(
        self,
        engine: Engine,
        listener: socket.socket,
        *,
        users: Mapping[str, str],
        name: str,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.engine = engine
        self.users = dict(users)
        self.name = name
        self.failures = Failures()
        self._tls = tls
        self._at_work = 0
        self._changed = threading.Condition()
        self._socket = listener

    def serve(self) -> None:
        """Accept until `close`."""
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def close(self, *, timeout_s: float = 5) -> None:
        """Accept no more, and wait for the running statements."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._changed:
            self._changed.wait_for(lambda: not self._at_work, timeout_s)

    def _converse(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(IDLE_S)
        if self._tls is not None:
            try:
                connection = self._tls.wrap_socket(connection, server_side=True)
            except OSError:  # a plain client, or one that does not trust the CA
                connection.close()
                return
        # A reader with a large buffer: inserts are megabytes in chunks of some kilobytes
        with (
            connection,
            connection.makefile("rb", buffering=1 << 18) as reader,
            contextlib.suppress(OSError, CloseConnection),
        ):
            while True:
                try:
                    request = http.read_request(reader, connection)
                except http.BadRequest as bad:
                    connection.sendall(http.head(400, {"Connection": "Close", "Content-Length": "0"}))
                    print(f"bad request: {bad}", file=sys.stderr, flush=True)
                    return
                if request is None:
                    return
                with self._counted():
                    self._answer(request, connection)
                if not request.keep_alive:
                    return

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._changed:
            self._at_work += 1
        try:
            yield
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    def _answer(self, request: http.Request, connection: socket.socket) -> None:
        answer = Answer(self.engine, request, connection, name=self.name)
        try:
            if request.path.startswith("/devstack/"):
                answer.plain(*self._admin(request))
            elif request.path in ("/ping", "/replicas_status") or (
                request.path == "/" and not request.body and "query" not in request.params
            ):
                answer.plain(200, "Ok.\n")
            elif request.path not in ("/", "/query"):
                answer.plain(404, f"There is no handle {request.path}\n\nUse / or /ping for health checks.\n")
            else:
                self._authenticate(request)
                execute(self.engine, self.failures, request, answer)
        except ServerError as error:
            answer.error(error)

    def _admin(self, request: http.Request) -> tuple[int, str]:
        if request.path != "/devstack/fail":
            return 404, "There is /devstack/fail\n"
        if request.method == "POST":
            try:
                self.failures.order(Fault.of(request.params))
            except ValueError as error:
                return 400, f"{error}\n"
        elif request.method == "DELETE":
            self.failures.clear()
        return 200, json.dumps(self.failures.standing()) + "\n"

    def _authenticate(self, request: http.Request) -> None:
        headers, params = request.headers, request.params
        user = headers.get("x-clickhouse-user") or params.get("user") or "default"
        password = headers.get("x-clickhouse-key") or params.get("password") or ""
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            with contextlib.suppress(ValueError):
                user, _, password = base64.b64decode(credentials).decode().partition(":")
        expected = self.users.get(user)
        if expected is None or not secrets.compare_digest(expected.encode(), password.encode()):
            raise ServerError(
                516, f"{user}: Authentication failed: password is incorrect, or there is no user with such name."
            )
