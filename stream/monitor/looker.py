"""Where `scorestream lag` gets its document: a monitor that runs already, or a look of its own.

Enters: the settings' names for this installation. Leaves: the monitor's document. It believes only a monitor of the
same brokers and databases. A host may run those of several installations, all with the default names.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

from stream.errors import ConfigError, KafkaUnavailable
from stream.monitor.document import installation
from stream.web.asker import Asker, AskFailed

if TYPE_CHECKING:
    from stream.monitor.monitor import Monitor, Names


class ClusterIdentity(Protocol):
    """Says which cluster an installation's brokers are."""

    def cluster_id(self) -> str | None:
        """Raises KafkaUnavailable."""
        ...

    def close(self) -> None: ...


class Pinned:
    """A cluster that an operator has written down: the brokers need not be asked."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster

    def cluster_id(self) -> str:
        return self._cluster

    def check(self, found: str | None, name: str) -> None:
        """Raises ConfigError when the brokers of installation `name` are another cluster."""
        if found != self._cluster:
            raise ConfigError(
                f"installation {name}: its brokers are Kafka cluster {found}, not {self._cluster}; "
                "correct bootstrap_servers or cluster in the installations file"
            )

    def close(self) -> None:
        """Nothing is open."""


class Looker:
    """Looks again and again. `with`-able, for one thread.

    Args:
        urls: addresses of monitors, asked in turn; empty = look without them.
        open_monitor: makes a monitor for a look of its own.
        steady: keep looking, so that rates and verdicts have a past.
    """

    def __init__(
        self,
        brokers: ClusterIdentity,
        *,
        names: Names,
        urls: Sequence[str],
        open_monitor: Callable[[], Monitor],
        steady: bool,
    ) -> None:
        self._brokers = brokers
        self._names = names
        self._urls = list(urls)
        self._open = open_monitor
        self._steady = steady
        self._asker = Asker(timeout_s=3.0)
        self._monitor: Monitor | None = None
        self._own: dict[str, str | None] | None = None
        self._not_believed: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_own()
        self._asker.close()
        self._brokers.close()

    def look(self) -> dict[str, Any]:
        """The document, its installation's `name`, and `from`: the URL of the monitor, or this command.

        `told_as` is the name that the monitor has for it: the label `installation` of its metrics.
        `not_believed` says why monitors that were asked did not count.

        Raises:
            KafkaUnavailable: the brokers do not answer, and no monitor does.
            ConfigError: the brokers are another cluster than the installations file names.
        """
        self._not_believed = []
        for url in self._urls:
            if (found := self._told_by(url)) is not None:
                self._end_own()
                return found | self._whose()
        if self._monitor is None:
            self._monitor = self._open()
            self._monitor.once()
            time.sleep(1.0)  # two looks make a rate
            if self._steady:
                self._monitor.start()
        found = self._monitor.state(fresh=True) if self._steady else self._monitor.once()
        kafka = self._monitor.polled.kafka.source
        if kafka.at is None:
            raise KafkaUnavailable("; ".join([*self._not_believed, kafka.error or "Kafka does not answer"]))
        if isinstance(self._brokers, Pinned):
            self._brokers.check(found["installation"]["cluster"], self._names.installation)
        return found | {"from": "this command", "told_as": self._names.installation} | self._whose()

    def _end_own(self) -> None:
        """End the looks of its own: a monitor that answers knows the past."""
        own, self._monitor = self._monitor, None
        if own is not None:
            own.close()

    def _whose(self) -> dict[str, Any]:
        return {"name": self._names.installation, "not_believed": list(self._not_believed)}

    def _told_by(self, url: str) -> dict[str, Any] | None:
        """The document of this monitor; None when it is another installation's, or silent."""
        try:
            found: dict[str, Any] = json.loads(self._asker.get(url))
        except (AskFailed, ValueError) as error:
            self._not_believed.append(f"the monitor {url} does not answer: {error}")
            return None
        if found.get("group") != self._names.group or not found.get("topics"):
            self._not_believed.append(f"the monitor {url} is of group {found.get('group')}, or knows no topic yet")
            return None
        if (told := found.get("installation")) != (own := self._installation()):
            text = f"the monitor {url} is of another installation: {_said(told)}, not {_said(own)}"
            self._not_believed.append(text)
            return None
        return found | {"from": url, "told_as": found.get("name")}

    def _installation(self) -> dict[str, str | None]:
        """This installation, by the brokers that the settings name. Raises KafkaUnavailable."""
        if self._own is None:
            own = self._names
            self._own = installation(self._brokers.cluster_id(), source=own.source, clickhouse=own.clickhouse)
        return self._own


def _said(installation: Mapping[str, str | None] | None) -> str:
    """Cluster, source and ClickHouse database; a monitor of another release may tell none of them."""
    return ", ".join(f"{name} {value}" for name, value in (installation or {}).items()) or "not known"
