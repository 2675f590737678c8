"""What Debezium and Connect say about the signals of a backfill.

Enters: notifications, and the status and committed offsets of the connector. Leaves: the news of each signal, and
whether Debezium may still come to it. It sends no signal.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from stream.backfill.notifications import News, Notifications
from stream.connect.rest import Connect
from stream.errors import Stop

log = logging.getLogger(__name__)

CORRELATION = "incremental_snapshot_correlation_id"  # in the connector's offsets while a snapshot is under way


class SnapshotWatch:
    """The signals of one backfill. For one thread.

    Methods raise Retry when Kafka or Connect do not answer.

    Args:
        backfill: name.
        notifications: from the offset of the last signal on.
        schema: of the source tables, for messages.
        give_up_s: how long the connector may be away.
    """

    def __init__(
        self,
        backfill: str,
        notifications: Notifications,
        connect: Connect,
        *,
        schema: str,
        give_up_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backfill = backfill
        self._notifications = notifications
        self._connect = connect
        self._schema = schema
        self._give_up_s = give_up_s
        self._clock = clock
        self._news: dict[str, News] = {}
        self._away_since: float | None = None

    def news(self, signal: str) -> News:
        """All that was heard of a signal."""
        return self._news.setdefault(signal, News())

    def end(self) -> int:
        """The offset behind the last notification."""
        return self._notifications.end()

    def catch_up(self) -> None:
        """Hear every notification that is there."""
        for note in self._notifications.all():
            self.news(note.id).add(note)

    def hear(self) -> bool:
        """Wait a moment for notifications; whether one is about this backfill."""
        notes = self._notifications.poll(0.3)
        for note in notes:
            self.news(note.id).add(note)
        return any(note.id.startswith(self._backfill + "/") for note in notes)

    def is_under_way(self, signal: str, lsn: int, *, on_wait: Callable[[str], None]) -> bool:
        """Whether Debezium may still come to a signal that was written at this LSN. Only asked after a silence.

        Args:
            on_wait: called with the reason while the connector does not run.

        Raises:
            Stop: the connector is away for too long, or took no notice of the signal.
        """
        connector = self._connect.connector
        started = self.news(signal).started_ms is not None
        status = self._connect.status(connector)
        if status is None or not status.running:
            state = "gone" if status is None else "; ".join(status.failures) or status.state
            self._wait_for_connector(f"connector {connector} does not run ({state})", on_wait)
            return True
        self._away_since = None
        offsets = self._connect.offsets(connector)
        if offsets.get(CORRELATION) is not None or int(offsets.get("lsn") or 0) <= lsn:
            # at work, or not there yet: one chunk's query may take minutes, and Connect commits nothing then
            return True
        self.hear()
        if self.news(signal).completed:
            return True
        if not started:
            raise Stop(
                f"the connector took no notice of signal {signal}: are {self._schema}'s tables "
                "and the signal table in the publication and in the connector's config? `scorestream connectors apply`"
            )
        return False

    def is_committed(self, signal: str) -> bool:
        """Whether Connect has committed the end of a signal's snapshot: the notification may be ahead of it."""
        return bool(self._connect.offsets(self._connect.connector).get(CORRELATION) != signal)

    def _wait_for_connector(self, why: str, on_wait: Callable[[str], None]) -> None:
        now = self._clock()
        self._away_since = now if self._away_since is None else self._away_since
        if now - self._away_since > self._give_up_s:
            raise Stop(f"{why}: start it, then `scorestream backfill resume {self._backfill}`")
        log.warning("waiting for the connector", extra={"why": why})
        on_wait(why)
