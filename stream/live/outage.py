"""After an outage longer than the compaction lag: the tables are compared with Postgres and repaired, once.

Kafka keeps the last message of each key, and every single change for the compaction lag only. A group that was away for
longer may never read a change of place or a delete, so no replay brings its tables right. A worker that starts looks
for that, and notes it in a topic before the group moves on. Of the workers that find the note one repairs, under an
advisory lock in Postgres. When that one dies, the lock is free, and another begins again: rows that are right already
differ no more.

Enters: the group's offsets and the topics' options. Leaves: a note, rows as verify --repair writes them, a metric.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from stream import metrics
from stream.errors import KafkaUnavailable, ScorestreamError
from stream.kafka.broker import Broker
from stream.kafka.compaction import outrun
from stream.kafka.log_reader import LogReader
from stream.kafka.marks import Mark
from stream.kafka.state_topic import StateTopic
from stream.kafka.topic_partition import TP
from stream.postgres.lock import LockSpace
from stream.times import duration

if TYPE_CHECKING:
    from stream.verify.repair import VerifyOutcome

log = logging.getLogger(__name__)

PATIENCE_S: Final = 600.0  # limit of a comparison's wait for the pipeline; then it begins again
AGAIN_S: Final = 5.0
SLEPT_S: Final = 60.0  # a step of the clock from which on the process may have slept
LONGEST_PAUSE_S: Final = 300.0  # between repairs that fail, each of which may read all rows


class Outage(msgspec.Struct, frozen=True):
    """A stretch of time whose changes may have been compacted away. Times are Unix seconds.

    Attributes:
        since: time of the oldest message that waited.
        found_at: when a worker found it waiting.
        repaired_at: when the tables were right again; 0 until then.
    """

    since: float
    found_at: float
    repaired_at: float = 0.0


class Outages:
    """The note of a group's last outage. For one thread.

    Every method raises KafkaUnavailable when the brokers do not answer.
    """

    def __init__(self, broker: Broker, group: str) -> None:
        self._broker = broker
        self.group = group

    def find(self, *, now: float) -> Outage | None:
        """The outage to repair: one that is noted, or one that is found now, and noted."""
        topics = self._broker.topics.sources
        tps = self._broker.partitions(topics)
        with LogReader(self._broker, group=self.group) as reader:
            rewound = {tp: Mark.of(text).rewound for tp, (_, text) in reader.marks(tps).items()}
        late = outrun(self._broker, self.group, topics, reached=rewound)
        if (noted := self.open()) is not None or not late:
            return noted
        outage = found(late, now=now)
        try:
            self._put(outage)
        except KafkaUnavailable as error:
            fields = {"group": self.group, "behind": duration(now - outage.since), "cause": str(error)}
            way = "once the workers have caught up: `scorestream verify --repair`"
            log.critical(
                "outage longer than the compaction lag, which no worker repairs", extra=fields | {"way_out": way}
            )
            return None
        return outage

    def open(self) -> Outage | None:
        """The outage that is noted and not repaired."""
        with StateTopic(self._broker, self._broker.topics.outages, create=False) as topic:
            value = topic.values().get(self.group)
        outage = None if value is None else msgspec.json.decode(value, type=Outage)
        return None if outage is None or outage.repaired_at else outage

    def close(self, outage: Outage, *, now: float) -> None:
        """Note that the tables are right again."""
        self._put(msgspec.structs.replace(outage, repaired_at=now))

    def _put(self, outage: Outage) -> None:
        with StateTopic(self._broker, self._broker.topics.outages) as topic:
            topic.put({self.group: outage})


def found(late: Mapping[TP, float], *, now: float) -> Outage:
    """The outage of partitions whose next messages have these ages, seconds."""
    return Outage(since=now - max(late.values()), found_at=now)


class OutageRepair:
    """What a worker does about an outage: `look` before the group moves on, then a thread until all is right.

    Args:
        locks: one process at a time repairs; closed with the thread.
        compare: one `verify --repair`; returns what it found last.
        cancel: ends the queries of `compare`, from another thread.
    """

    def __init__(
        self,
        outages: Outages,
        locks: LockSpace,
        compare: Callable[[], VerifyOutcome],
        cancel: Callable[[], None] = lambda: None,
    ) -> None:
        self._outages = outages
        self._locks = locks
        self._compare = compare
        self._cancel = cancel
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Find an outage, say so, and begin to repair in a thread. Before the group is joined."""
        if self.is_repairing:
            return
        try:
            outage = self._outages.find(now=time.time())
        except KafkaUnavailable as error:
            way = "if no worker ran for longer than the topics' min.compaction.lag.ms: `scorestream verify --repair`"
            log.warning("could not look for an outage", extra={"cause": str(error), "way_out": way})
            return
        if outage is None:
            return
        metrics.OUTAGE_SINCE.set(outage.since)
        log.error(
            "outage longer than the compaction lag: Kafka may lack changes of place, the tables will be repaired",
            extra={"group": self._outages.group, "behind": duration(outage.found_at - outage.since)},
        )
        self._thread = threading.Thread(target=self._run, name="outage", daemon=True)
        self._thread.start()

    def watch(self, *, every_s: float = 1.0) -> None:
        """Look again, in a thread, whenever the process has slept: a suspended host, or SIGSTOP.

        Its session has expired then. The look comes before the group lets the worker go on.
        """
        threading.Thread(target=self._watch, args=(every_s,), name="outage-watch", daemon=True).start()

    def _watch(self, every_s: float) -> None:
        at = time.time()
        while not self._ended.wait(every_s):
            before, at = at, time.time()
            if at - before > SLEPT_S:
                self.look()

    @property
    def is_repairing(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """Begin nothing more, and cancel what runs. The note stays, so the next worker that starts goes on."""
        self._ended.set()
        if self.is_repairing:
            self._cancel()

    def _run(self) -> None:
        pause_s = AGAIN_S
        with self._locks:
            while not self._ended.is_set():
                try:
                    if self.step():
                        return
                    pause_s = AGAIN_S
                except Exception as error:
                    if self._ended.is_set():  # cancelled
                        return
                    fields = {"cause": str(error), "wait_s": pause_s}
                    unforeseen = not isinstance(error, ScorestreamError)
                    log.warning("repair after an outage: retry", extra=fields, exc_info=unforeseen)
                    self._ended.wait(pause_s)
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                else:
                    self._ended.wait(AGAIN_S)

    def step(self) -> bool:
        """Repair, if no other worker does; True when nothing is left to repair.

        Raises:
            Retry: a store does not answer.
        """
        mine = self._locks.claim(0)
        outage = self._outages.open()
        if outage is None:
            metrics.OUTAGE_SINCE.set(0)
            return True
        if not mine:
            return False
        outcome = self._compare()
        if outcome.verified.lagging:
            log.info("repair after an outage waits for the backlog", extra={"cause": outcome.verified.lagging})
            return False
        if self._locks.check():  # another worker may hold it by now, and closes the outage itself
            return False
        self._outages.close(outage, now=time.time())
        metrics.OUTAGE_SINCE.set(0)
        fields = {"repaired": outcome.repaired, "wrong": outcome.verified.wrong}
        if outcome.clean:
            log.warning("the tables are right again after the outage", extra=fields)
        else:
            log.error("the repair after the outage left differences: run `scorestream verify`", extra=fields)
        return True
