"""The other processes (workers, replays, verify --watch), by their web servers: GET /api/process.

Enters: URLs, those that processes announce among them. Leaves: for each address its document, or the error. Rates and
quantiles over the last minute come from two looks at counters. A process that is gone is remembered for a while: an
operator may look for it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from stream.errors import Retry
from stream.web.asker import Asker, AskFailed

WINDOW_S = 60.0
FORGET_S = 3600.0  # silence after which a process is forgotten
_RESOLVE_S = 30.0
_HEAR_S = 5.0
# An announced address that has not answered for this long, and never before: another network may drop each question.
_PATIENCE_S = 10.0
_LEFT_OUT_S = 60.0  # how long it is not asked then
_AT_ONCE = 32  # questions

Labels = dict[str, str]


class Document(msgspec.Struct):
    """A process' own account (stream/web/process_state.py)."""

    role: str
    host: str
    pid: int
    started: float
    now: float
    samples: dict[str, list[tuple[Labels, float | None]]]
    problems: list[dict[str, Any]] = []
    partitions: list[tuple[str, int]] = []
    ending: bool = False


_DECODER = msgspec.json.Decoder(Document)


@dataclass(slots=True)
class Process:
    """One address. `document` is the newest, also when the process does not answer any more.

    `in_dns` is false for an address that no name has any more and no process announces. The pod was replaced, or the
    process has ended.
    """

    url: str
    document: Document | None = None
    answered_at: float | None = None
    error: str | None = None
    silent_since: float | None = None
    asked_at: float | None = None
    looks: deque[tuple[float, Document]] = field(default_factory=deque)
    in_dns: bool = True

    @property
    def up(self) -> bool:
        return self.error is None and self.document is not None

    @property
    def left(self) -> bool:
        """It ended in good order, or was replaced: its silence is no fault."""
        return not self.up and (not self.in_dns or (self.document is not None and self.document.ending))

    def take(self, now: float, document: Document) -> None:
        """Take a new look. A restarted process counts from zero."""
        if self.document is not None and self.document.started != document.started:
            self.looks.clear()
        self.document, self.answered_at, self.error, self.silent_since = document, now, None, None
        self.looks.append((now, document))
        while self.looks[0][0] < now - WINDOW_S:
            self.looks.popleft()


class ProcessSource:
    """Asks all addresses of the URLs, side by side. For one thread; `close` it.

    Args:
        announced: URLs of processes that say where they answer; raises Retry when that cannot be asked.
    """

    def __init__(
        self, urls: Sequence[str], *, announced: Callable[[], Sequence[str]] = tuple, timeout_s: float = 1.5
    ) -> None:
        self._urls = list(urls)
        self._announced = announced
        self._heard: list[str] = []
        self._heard_at = float("-inf")
        self._asker = Asker(timeout_s=timeout_s)
        self._found: dict[str, Process] = {}
        self._addresses: list[str] = []
        self._resolved_at = float("-inf")

    def add(self, url: str) -> None:
        """Ask this URL, too."""
        self._urls.append(url)

    def read(self, now: float) -> list[Process]:
        """All known processes, each once, those that answer first. Raises nothing: silence is an answer."""
        if time.monotonic() - self._resolved_at > _RESOLVE_S or not self._addresses:
            self._addresses = addresses(self._urls)
            self._resolved_at = time.monotonic()
        if time.monotonic() - self._heard_at > _HEAR_S:
            self._hear()
        asked = dict.fromkeys([*self._addresses, *self._heard])
        for url in asked:
            self._found.setdefault(url, Process(url)).in_dns = True
        self._ask([self._found[url] for url in asked if not self._is_left_out(url, now)], now)
        for url, process in list(self._found.items()):
            if url not in asked:
                process.in_dns = False
                process.error = process.error or "not in DNS any more, and not announced"
                process.silent_since = process.silent_since or now
                process.asked_at = None  # who announces this address next is another process
            if process.silent_since is not None and now - process.silent_since > FORGET_S:
                del self._found[url]
        # Never seen and silent: nothing shows that there should be a process.
        known = [process for process in self._found.values() if process.document is not None]
        ordered = sorted(known, key=lambda process: (not process.up, process.url))
        # A process may answer at two addresses: its own, and that of its name.
        return list({_identity(process): process for process in reversed(ordered)}.values())[::-1]

    def _is_left_out(self, url: str, now: float) -> bool:
        """Whether nobody has listed this address, and it did not answer for a while, nor ever before."""
        process = self._found[url]
        if url in self._addresses or process.document is not None or process.asked_at is None:
            return False
        if process.silent_since is None or process.asked_at - process.silent_since < _PATIENCE_S:
            return False  # a process that starts on a busy host may be slow
        return now - process.asked_at < _LEFT_OUT_S

    def _ask(self, processes: Sequence[Process], now: float) -> None:
        """Ask all at once: those that drop questions take one timeout together. The threads end with the process."""
        waiting = deque(processes)

        def ask() -> None:
            with suppress(IndexError):
                while True:
                    self._ask_one(waiting.popleft(), now)

        threads = [threading.Thread(target=ask, daemon=True) for _ in processes[:_AT_ONCE]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _ask_one(self, process: Process, now: float) -> None:
        process.asked_at = now
        try:
            process.take(now, _DECODER.decode(self._asker.get(process.url + "/api/process")))
        except (AskFailed, msgspec.MsgspecError) as error:
            process.error = str(error)[:120]
            process.silent_since = process.silent_since or now

    def _hear(self) -> None:
        """Who says where it answers. While that cannot be asked, the last ones count."""
        self._heard_at = time.monotonic()
        with suppress(Retry):
            self._heard = addresses(self._announced())

    def close(self) -> None:
        self._asker.close()


def _identity(process: Process) -> tuple[str, int, float]:
    document = process.document
    assert document is not None
    return document.host, document.pid, document.started


def addresses(urls: Iterable[str]) -> list[str]:
    """Every URL with each address of its host. A host that cannot be resolved is left out."""
    found: dict[str, None] = {}
    for url in urls:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if parts.scheme == "https":  # the certificate is for the name
            found[url.rstrip("/")] = None
            continue
        try:
            resolved = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except OSError:
            continue
        for *_, address in resolved:
            host = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
            found[f"{parts.scheme}://{host}:{port}"] = None
    return list(found)


def total(processes: Iterable[Process], name: str, **labels: str) -> float:
    """The sum of a sample over the newest documents."""
    return sum(_sum(process.document, name, labels) for process in processes if process.document is not None)


def newest(processes: Iterable[Process], name: str) -> float:
    """The highest value of a sample among the newest documents; 0 without one. Times are compared, never summed."""
    found = (_sum(process.document, name, {}) for process in processes if process.document is not None)
    return max(found, default=0.0)


def by_label(processes: Iterable[Process], name: str, label: str, **labels: str) -> dict[str, float]:
    """`total` for each value of one label."""
    found: dict[str, float] = {}
    for process in processes:
        for own, value in process.document.samples.get(name, []) if process.document is not None else []:
            if value is not None and _matches(own, labels):
                found[own.get(label, "")] = found.get(own.get(label, ""), 0.0) + value
    return found


def rate(processes: Iterable[Process], name: str, **labels: str) -> float | None:
    """Change for each second over the last minute, of the processes that answer; None when nothing is known yet."""
    found = None
    for process in processes:
        if process.up and len(process.looks) > 1:
            (t0, before), (t1, after) = process.looks[0], process.looks[-1]
            step = max(0.0, _sum(after, name, labels) - _sum(before, name, labels)) / (t1 - t0)
            found = (found or 0.0) + step
    return found


def quantiles(
    processes: Iterable[Process], name: str, wanted: Sequence[float] = (0.5, 0.99), **labels: str
) -> list[float] | None:
    """Quantiles of a histogram over the last minute; None when nothing was observed."""
    counts: dict[float, float] = {}
    for process in processes:
        if not process.up or len(process.looks) < 2:
            continue
        for sign, (_, document) in ((1, process.looks[-1]), (-1, process.looks[0])):
            for own, value in document.samples.get(name + "_bucket", []):
                if value is not None and _matches(own, labels):
                    edge = float(own["le"])
                    counts[edge] = counts.get(edge, 0.0) + sign * value
    edges = sorted(counts)
    if not edges or counts[edges[-1]] <= 0:
        return None
    return [_quantile(edges, counts, share) for share in wanted]


def _quantile(edges: list[float], counts: dict[float, float], share: float) -> float:
    """Linear within a bucket, as in Prometheus' histogram_quantile."""
    rank = share * counts[edges[-1]]
    low, below = 0.0, 0.0
    for edge in edges:
        if counts[edge] >= rank:
            if edge == float("inf"):
                return low
            inside = counts[edge] - below
            return low + (edge - low) * ((rank - below) / inside if inside else 1.0)
        low, below = edge, counts[edge]
    return low


def _sum(document: Document, name: str, labels: Labels) -> float:
    return sum(value for own, value in document.samples.get(name, []) if value is not None and _matches(own, labels))


def _matches(own: Labels, wanted: Labels) -> bool:
    return all(own.get(name) == value for name, value in wanted.items())
