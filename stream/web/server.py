"""The HTTP server of every long-running process: /metrics, /livez, /readyz, and the dashboard where there is a state.

    /             the dashboard (static files beside this module; nothing is fetched from elsewhere)
    /metrics      Prometheus' text format, gzip when asked for
    /livez        200 or 503, JSON with a reason for each check
    /readyz       the same
    /runbooks     what to do about each finding
    /api/state    the present content of the dashboard
    /api/history  the course of the last hour, or with ?span=day of the last day
    /api/process  this process alone, from its metrics (stream/web/process_state.py)
    /fleet        many installations (stream/web/fleet_pages.py)

Enters: functions that report the state of the process. Leaves: answers to GET and HEAD. It changes nothing: other
methods are refused. Each connection has a thread, which is enough for a few browsers and scrapers.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, Protocol, Self
from urllib.parse import parse_qs, urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from stream import metrics
from stream.errors import UsageError
from stream.settings_sections import WebSettings
from stream.web import runbook_page
from stream.web.constant_label import WithLabel
from stream.web.fleet_pages import Fleet, split
from stream.web.health import Health, report
from stream.web.hosts import is_allowed
from stream.web.process_state import process_state
from stream.web.recent_problems import remember

log = logging.getLogger(__name__)

STATIC = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/dashboard.css": ("dashboard.css", "text/css; charset=utf-8"),
    "/dashboard.js": ("dashboard.js", "text/javascript; charset=utf-8"),
    "/fleet.js": ("fleet.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
# No script, style or image from anywhere else, and no framing: the page only shows.
_SECURITY = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_FLEET = ("fleet.html", "text/html; charset=utf-8")
_SMALL = 1_000  # bytes below which compression does not pay
_IDLE_S = 60  # seconds after which an idle connection is closed

State = Callable[[], dict[str, Any]]


class Course(Protocol):
    """The course after a Unix time, of the last hour or of the last day."""

    def __call__(self, since: float, *, day: bool = False) -> dict[str, Any]: ...


class Server:
    """A running server; `port` is the one it listens on (also when 0 was asked for). `with`-able."""

    def __init__(self, http: ThreadingHTTPServer) -> None:
        self._http = http
        self.host, self.port = str(http.server_address[0]), int(http.server_address[1])
        self._thread = threading.Thread(target=http.serve_forever, name="web", daemon=True)
        self._thread.start()

    @property
    def own_url(self) -> str:
        """The URL by which this process reaches itself, also when it listens on all addresses."""
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  compared with, not listened on
        return f"http://{everywhere[self.host]}:{self.port}" if self.host in everywhere else self.url

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def close(self) -> None:
        """Stop listening. Open connections end with their request."""
        ending = threading.Thread(target=self._http.shutdown, daemon=True)
        ending.start()
        # The server checks twice a second, and at each connection, whether it must end. A SIGTERM should not wait for
        # that.
        with contextlib.suppress(OSError):
            socket.create_connection((self.host, self.port), timeout=1).close()
        ending.join(timeout=2)
        self._http.server_close()
        self._thread.join(timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(
    web: WebSettings,
    *,
    health: Callable[[], Health],
    state: State | None = None,
    history: Course | None = None,
    fleet: Fleet | None = None,
    role: str = "worker",
    installation: str = "default",
    partitions: Callable[[], Sequence[tuple[str, int]]] = tuple,
    registry: CollectorRegistry = metrics.REGISTRY,
    more_metrics: Callable[[], bytes] = bytes,
    any_port: bool = False,
    variable: str = "SCORESTREAM_WEB_PORT",
) -> Server:
    """Start the server in a thread of this process.

    Args:
        health: called for each probe, in the server's threads; it must not block.
        state: the dashboard's content; without it there is no dashboard, and / names the other paths.
        history: the course since a Unix time.
        fleet: many installations, each with a page of its own.
        role: the kind of this process, for /api/process.
        installation: value of the label that all metrics carry.
        partitions: (topic, partition) of all that this process holds now, for /api/process.
        more_metrics: text that follows the registry's own in /metrics, in Prometheus' text format.
        any_port: listen on a free port where this one is taken.
        variable: the setting that moves the port, for the error.

    Raises:
        UsageError: the server cannot listen on the address.
    """
    remember()
    handler = type(
        "Handler",
        (_Handler,),
        {"health": staticmethod(health), "state": _static(state), "history": _static(history), "fleet": fleet,
         "registry": registry, "scraped": WithLabel(registry, name="installation", value=installation),
         "role": role, "partitions": staticmethod(partitions),
         "more_metrics": staticmethod(more_metrics), "allowed_hosts": tuple(web.allowed_hosts)},
    )  # fmt: skip
    try:
        http = _listen(web, handler, any_port=any_port)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {web.host}:{web.port}: {error.strerror}; set {variable} to a free port"
        ) from error
    server = Server(http)
    log.info("web", extra={"url": server.url})
    return server


def _listen(web: WebSettings, handler: type[BaseHTTPRequestHandler], *, any_port: bool) -> _Http:
    try:
        return _Http((web.host, web.port), handler)
    except OSError as error:
        if not any_port or error.errno != errno.EADDRINUSE:
            raise
        http = _Http((web.host, 0), handler)
        log.warning(
            "the port is taken: /metrics and the dashboard are at another one, which Prometheus does not know; give "
            "each worker of a host a SCORESTREAM_WEB_PORT of its own",
            extra={"taken": web.port, "port": http.server_port},
        )
        return http


def _static(function: Any) -> Any:
    return None if function is None else staticmethod(function)


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # HTTPServer's own method looks the host's name up in DNS, which may take seconds and serves nothing here.
        import socketserver  # noqa: PLC0415

        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A browser that went away in the middle of an answer is not worth a log line.
        log.debug("web connection broke", extra={"client": client_address}, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    health: Callable[[], Health]
    state: State | None
    history: Course | None
    fleet: Fleet | None
    registry: CollectorRegistry
    scraped: CollectorRegistry
    role: str
    partitions: Callable[[], Sequence[tuple[str, int]]]
    more_metrics: Callable[[], bytes]
    allowed_hosts: Sequence[str]
    protocol_version = "HTTP/1.1"
    server_version = "scorestream"
    sys_version = ""
    timeout = _IDLE_S

    def do_GET(self) -> None:
        try:
            self._answer()
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception:
            log.exception("web request failed", extra={"path": self.path})
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, b"internal error; see the log\n", "text/plain; charset=utf-8")

    do_HEAD = do_GET

    def _answer(self) -> None:
        if not is_allowed(self.headers.get("Host"), names=self.allowed_hosts):
            text = b"this name is not served; SCORESTREAM_WEB_ALLOWED_HOSTS names those that are\n"
            self._send(HTTPStatus.MISDIRECTED_REQUEST, text, "text/plain; charset=utf-8")
            return
        url = urlsplit(self.path)
        if self.fleet is not None and self._is_of_fleet(self.fleet, url.path, url.query):
            return
        match url.path:
            case "/metrics":
                self._send(
                    HTTPStatus.OK,
                    generate_latest(self.scraped) + self.more_metrics() + self._of_fleet(),
                    CONTENT_TYPE_LATEST,
                )
            case "/livez":
                health = self.health()
                self._probe(report(health.live), health.is_live)
            case "/readyz":
                health = self.health()
                self._probe(report(health.live + health.ready), health.is_ready)
            case "/api/process":
                self._json(self._own_state())
            case "/api/state" if self.state is not None:
                self._json(self.state())
            case "/api/history" if self.history is not None:
                self._json(self.history(_number(url.query, "since"), day=_is_of_day(url.query)))
            case "/" if self.state is None:
                text = b"scorestream: /metrics, /livez, /readyz, /api/process. The dashboard: scorestream monitor\n"
                self._send(HTTPStatus.OK, text, "text/plain; charset=utf-8")
            case "/runbooks":
                self._send(HTTPStatus.OK, runbook_page.page().encode(), "text/html; charset=utf-8")
            case path if path in STATIC:
                self._file(*STATIC[path])
            case _:
                self._not_found()

    def _is_of_fleet(self, fleet: Fleet, path: str, query: str) -> bool:
        """Answer a path of the fleet; False for other paths."""
        if path == "/fleet" or (path == "/" and self.state is None):
            self._file(*_FLEET)
        elif path == "/api/fleet":
            self._json(fleet.table())
        elif (found := split(path)) is not None:
            self._of_installation(fleet, *found, query=query)
        else:
            return False
        return True

    def _of_installation(self, fleet: Fleet, name: str, path: str, *, query: str) -> None:
        """The dashboard of one installation: the same page, which asks below its own path."""
        match path:
            case _ if name not in fleet:
                self._not_found()
            case "/api/state":
                found = fleet.state(name)
                self._json(found or {"name": name}, HTTPStatus.SERVICE_UNAVAILABLE if found is None else HTTPStatus.OK)
            case "/api/history":
                self._json(fleet.history(name, _number(query, "since"), day=_is_of_day(query)))
            case "/runbooks":
                self._send(HTTPStatus.OK, runbook_page.page().encode(), "text/html; charset=utf-8")
            case _ if path in STATIC:
                self._file(*STATIC[path])
            case _:
                self._not_found()

    def _of_fleet(self) -> bytes:
        return b"" if self.fleet is None else self.fleet.exposition()

    def _file(self, name: str, kind: str) -> None:
        self._send(HTTPStatus.OK, (files("stream.web") / name).read_bytes(), kind)

    def _not_found(self) -> None:
        self._send(HTTPStatus.NOT_FOUND, b"not found\n", "text/plain; charset=utf-8")

    def _own_state(self) -> dict[str, Any]:
        return process_state(
            self.registry, role=self.role, partitions=self.partitions(), ending=self.health().is_ending
        )

    def _probe(self, body: dict[str, Any], ok: bool) -> None:
        self._json(body, HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE)

    def _json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        body = json.dumps(value, separators=(",", ":"), allow_nan=False, default=str).encode() + b"\n"
        self._send(status, body, "application/json; charset=utf-8")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        if len(body) > _SMALL and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, compresslevel=1)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        for name, value in _SECURITY.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("web", extra={"client": self.address_string(), "request": format % args})


def _is_of_day(query: str) -> bool:
    return parse_qs(query).get("span") == ["day"]


def _number(query: str, name: str) -> float:
    try:
        return float(parse_qs(query)[name][0])
    except (KeyError, ValueError):
        return 0.0
