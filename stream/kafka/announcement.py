"""Where a process answers, told to every monitor: by its client id, as a member of a group that consumes nothing.

Enters: the URL of a process. Leaves: a member of the group `<prefix>-processes` while the process lives. The brokers
remove it when it ends, and 20 s after it was killed. It fetches no message and commits nothing.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import threading
from contextlib import suppress
from typing import Any, Final, Self
from urllib.parse import urlsplit

from confluent_kafka import Consumer

from stream.kafka.broker import Broker
from stream.topic_names import TopicNames

log = logging.getLogger(__name__)

SESSION_S: Final = 20
_MARK: Final = "scorestream"
_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104  compared with, not listened on


def group_of(topics: TopicNames) -> str:
    """Name of the group."""
    return f"{topics.prefix}-processes"


class Announcement:
    """A process' membership. `with`-able.

    It never ends the process: where the brokers are away or refuse, it says each once, and goes on to try.

    Args:
        broker: makes the consumer. Another thread may use it, too.
        url: where the process answers; an address of all interfaces becomes that towards the brokers.
        role: worker, replay or verify.
    """

    def __init__(self, broker: Broker, *, url: str, role: str) -> None:
        self._broker = broker
        self._url = url
        self._role = role
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="announcement", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(timeout=1.5)  # away brokers need no good-bye: they forget it after the session

    def _run(self) -> None:
        url = reached_at(self._url, self._broker.settings.bootstrap_servers)
        options = {
            "client.id": f"{_MARK} {self._role} {url} {socket.gethostname()} {os.getpid()}",
            "session.timeout.ms": SESSION_S * 1000,
        }
        consumer = self._broker.consumer(group_of(self._broker.topics), options)
        try:
            # A member must subscribe to something. It takes no partition, so that nothing is fetched.
            consumer.subscribe([self._broker.topics.sources[0]], on_assign=_take_nothing)
            self._stay(consumer)
        finally:
            consumer.close()

    def _stay(self, consumer: Consumer) -> None:
        """Answer the group's heartbeats until the process ends."""
        said: set[int] = set()  # away brokers at the start must not hide a refusal that follows
        while not self._stopping.is_set():
            message = consumer.poll(0.2)
            if message is not None and (error := message.error()) is not None and error.code() not in said:
                said.add(error.code())
                log.warning("monitors may not find this process", extra={"cause": error.str()})


def _take_nothing(consumer: Consumer, _partitions: Any) -> None:
    consumer.assign([])


def announced(broker: Broker) -> list[str]:
    """URLs of all processes that say where they answer. One of a loopback address counts on its own host only.

    Raises:
        KafkaUnavailable: the brokers do not answer.
    """
    own = socket.gethostname()
    found = (_parsed(member.client_id) for member in broker.group(group_of(broker.topics)).members)
    return sorted({url for url, host in filter(None, found) if host == own or not _is_loopback(url)})


def _parsed(client_id: str) -> tuple[str, str] | None:
    """URL and host of a member; None where it is another program's."""
    words = client_id.split(" ")
    if len(words) != 5 or words[0] != _MARK:
        return None
    with suppress(ValueError):
        url = urlsplit(words[2])
        if url.scheme == "http" and url.hostname and url.port and not url.path:
            return words[2], words[3]
    return None


def reached_at(url: str, servers: str) -> str:
    """The URL by which other hosts reach a server of this one.

    Args:
        url: where it listens.
        servers: brokers; the interface towards the first of them is the one that others see, too.
    """
    parts = urlsplit(url)
    if parts.hostname not in _EVERYWHERE:
        return url
    host = socket.gethostname()
    first = urlsplit("//" + servers.partition(",")[0].strip())
    with suppress(OSError, ValueError):
        family, *_, address = socket.getaddrinfo(first.hostname, first.port or 9092, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)  # sends nothing
            host = probe.getsockname()[0]
    return f"http://[{host}]:{parts.port}" if ":" in host else f"http://{host}:{parts.port}"


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
