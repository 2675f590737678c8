"""Has the pipeline passed a moment of Postgres' WAL? Only then can ClickHouse be compared with Postgres as of it.

    LSN of a snapshot -> Debezium's slot is past it -> ends of the topics -> the live group has committed them

The connector's heartbeat moves the slot every few seconds, also when nothing happens. This module writes and commits
nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from stream.errors import UsageError
from stream.kafka.broker import Broker
from stream.kafka.topic_partition import TP
from stream.postgres.connection import Postgres
from stream.postgres.replication import has_streamed
from stream.retry import poll

_POLL_S = 0.2


class CaughtUp:
    """Waits until everything up to an LSN is indexed."""

    def __init__(self, broker: Broker, postgres: Postgres) -> None:
        self._postgres = postgres
        self._broker = broker
        self._passed = -1
        self.why = ""  # the object of the wait, for the error when the time is over

    def wait(self, lsn: int, *, timeout_s: float, on_wait: Callable[[str], None] = lambda _: None) -> bool:
        """Wait. True when all changes that were committed before `lsn` are indexed; False when they were not in time.

        Raises:
            UsageError: there is no replication slot: nothing will ever pass.
        """
        if lsn <= self._passed:
            return True
        ends: dict[TP, int] | None = None

        def passed() -> bool:
            nonlocal ends
            if ends is None and self._published(lsn):
                tps = self._broker.source_partitions()
                if not tps:
                    raise UsageError("the topics are not there; run `scorestream connectors apply`")
                ends = self._broker.ends(tps)
            if ends is not None and self._indexed(ends):
                return True
            on_wait(self.why)
            return False

        if not poll(passed, timeout_s=timeout_s, every_s=_POLL_S):
            return False
        self._passed = lsn
        self.why = ""
        return True

    def _published(self, lsn: int) -> bool:
        """Whether Debezium has published all changes before `lsn` to Kafka."""
        slot = self._postgres.slot
        with self._postgres.asking() as connection:
            row = connection.execute(
                "SELECT (confirmed_flush_lsn - '0/0'::pg_lsn)::bigint, active FROM pg_replication_slots "
                "WHERE slot_name = %s",
                (slot,),
            ).fetchone()
            if row is None:
                way_out = "recover" if has_streamed(connection, self._postgres.schema) else "connectors apply"
                raise UsageError(
                    f"there is no replication slot {slot!r}, so nothing says how far the pipeline is; run `scorestream "
                    f"{way_out}`, or compare without waiting (--no-wait)"
                )
        confirmed, active = row
        if confirmed is not None and confirmed >= lsn:
            return True
        behind = lsn - (confirmed or 0)
        self.why = f"the connector is {behind:,} bytes of WAL behind" + ("" if active else ", and does not run")
        return False

    def _indexed(self, ends: dict[TP, int]) -> bool:
        """Whether the live group has committed all messages before `ends`.

        Transaction markers at the end don't count.
        """
        committed = self._broker.committed(self._broker.live_group, list(ends))
        starts = self._broker.starts([tp for tp in ends if tp not in committed])
        behind = {
            tp: (committed.get(tp, starts.get(tp, 0)), end)
            for tp, end in ends.items()
            if committed.get(tp, starts.get(tp, 0)) < end
        }
        waiting = [tp for tp, following in self._broker.next_messages(behind).items() if following.waiting]
        if not waiting:
            return True
        messages = sum(behind[tp][1] - behind[tp][0] for tp in waiting)
        self.why = f"the live workers are {messages:,} messages behind on {len(waiting)} partitions"
        return False
