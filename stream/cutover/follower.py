"""Follows the log into a shadow database, up to given ends, in this process; and knows when it has caught up.

Enters: ends of the log. Leaves: all changes before them in ClickHouse, confirmed, and the committed offsets of the
replay's group moved there. One process is enough, because a finished replay leaves little.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from stream.kafka.broker import Broker
from stream.kafka.log_reader import LogReader, Stretch
from stream.kafka.topic_partition import TP
from stream.postgres.connection import Postgres
from stream.replay.live_watch import Watch
from stream.replay.plan import PassKind, ReplayPlan, table_of
from stream.replay.state import check_kept
from stream.replay.tally import Worked
from stream.replay.work import OpenClients, Work
from stream.retry import poll
from stream.stores import Stores
from stream.tables import SOURCES
from stream.verify.caught_up import CaughtUp

_BATCH = 20_000
_LOOK_S = 0.1
_GENTLE_BATCH = 1_000  # messages whose queries delay live's only briefly
_GENTLE_REST_S = 2.0  # the longest pause before each of them, while live is late


class Follower:
    """Reads with the replay's group; `with`-able, for one thread.

    Args:
        clients: opens the clients of one thread.
        live_lag_s: lag of live above which the follower pauses.
        database: where the rows go.
        since: where to begin, instead of at the committed offsets; then it commits no offset either.

    Attributes:
        rested_s: how long it has paused in all, to let live catch up.
    """

    def __init__(
        self,
        stores: Stores,
        clients: OpenClients,
        plan: ReplayPlan,
        *,
        live_lag_s: float,
        database: str,
        kind: PassKind = "follow",
        since: Mapping[TP, int] | None = None,
    ) -> None:
        self._broker = stores.broker
        self._live_lag_s = live_lag_s
        self._kind: PassKind = kind
        self._reader = LogReader(stores.broker, group=plan.group, follows=True)
        # The next round, or live after the exchange, processes the messages behind the end.
        self._work = Work(
            lambda: clients(threading.Event(), database), plan, in_order=kind == "follow" and since is None
        )
        self._watch = Watch(stores.broker, stores.shards.of(database))
        self.rested_s = 0.0
        # One thread for each table, always the same: its clients are open after its first batch.
        self._threads = {table: ThreadPoolExecutor(1, thread_name_prefix="follow") for table in SOURCES}
        self._commits = since is None
        self._tps = self._broker.source_partitions()
        found = self._reader.committed(self._tps) if since is None else since
        if since is None:
            check_kept(plan, [span.tp for span in plan.ends], found)
        self.positions: dict[TP, int] = {tp: found.get(tp, 0) for tp in self._tps}
        self._committed = dict(self.positions)
        self._broker.committed(self._broker.live_group, self._tps)  # connects now, and not while live is held back

    def ends(self) -> dict[TP, int]:
        """The ends of the log now."""
        return self._broker.ends(self._tps)

    def to(self, ends: Mapping[TP, int], *, at_once: bool = False) -> int:
        """Process everything up to these ends, and the messages that arrive by then; returns the number of messages.

        Args:
            at_once: at full speed, while live is held back. Without it live has the same work to do, and comes first:
                small batches, one table after another, and a pause where live is late.
        """
        most = _BATCH if at_once else _GENTLE_BATCH
        spans = {tp: (self.positions[tp], end) for tp, end in ends.items() if end > self.positions.get(tp, end)}
        self._reader.add(spans)
        messages = 0
        gathered: dict[str, list[Stretch]] = {}
        waiting = 0
        while self._reader.reading or waiting:
            stretches = self._reader.read(most - waiting, timeout_s=0.02) if self._reader.reading else []
            for stretch in stretches:
                self.positions[stretch.tp] = stretch.end
                if len(stretch):
                    gathered.setdefault(table_of(stretch.topic), []).append(stretch)
                    waiting += len(stretch)
            if waiting and (waiting >= most or not stretches or not self._reader.reading):
                if not at_once:
                    self._rest()
                jobs: list[Future[Worked]] = []
                for table, held in gathered.items():
                    jobs.append(self._threads[table].submit(self._work, table, held, self._kind))
                    if not at_once:
                        jobs.pop().result()
                for job in jobs:
                    job.result()
                messages += waiting
                gathered.clear()
                waiting = 0
                self._commit()
        self._commit()
        return messages

    def begin_next_at_live(self) -> None:
        """Let the next follower begin at live's committed offsets.

        After an exchange the group follows the log into the tables that were live until then. Those have what live has
        committed, and not what this follower has processed.
        """
        committed = self._broker.committed(self._broker.live_group, self._tps)
        starts = self._broker.starts([tp for tp in self._tps if tp not in committed])
        self._reader.commit({tp: committed.get(tp, starts.get(tp, 0)) for tp in self._tps})

    def _rest(self) -> None:
        """Pause for a while, to let live catch up."""
        began = time.monotonic()
        poll(
            lambda: self._watch.look(0).live_lag_s,
            lambda late_s: late_s <= self._live_lag_s,
            timeout_s=_GENTLE_REST_S,
            every_s=_LOOK_S,
        )
        self.rested_s += time.monotonic() - began

    def close(self) -> None:
        for thread in self._threads.values():
            thread.shutdown()
        self._reader.close()
        self._work.close()

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _commit(self) -> None:
        moved = {tp: position for tp, position in self.positions.items() if position != self._committed.get(tp)}
        if self._commits and moved:
            self._reader.commit(moved)
            self._committed |= moved


class ShadowCaughtUp(CaughtUp):
    """Lets verify wait until the follower has passed a moment, when it compares a shadow.

    Args:
        wait: wait for the connector, until Kafka has everything up to the moment. Without it, the log's present end
            counts.
    """

    def __init__(self, broker: Broker, postgres: Postgres, follower: Follower, *, wait: bool) -> None:
        super().__init__(broker, postgres)
        self._follower = follower
        self._wait = wait

    def _published(self, lsn: int) -> bool:
        return super()._published(lsn) if self._wait else True

    def _indexed(self, ends: dict[TP, int]) -> bool:
        self._follower.to(ends)
        return True
