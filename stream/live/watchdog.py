"""The stall watchdog: when messages wait and nothing moves for too long, it logs what it sees and ends the process.

    brokers: ends, commits of the group --\\
    worker: positions, tries ---------------> Stalls --too long--> log: assignment, offsets, stacks --> crash --> _exit

It has a thread and a Kafka client (librdkafka) of its own. So a blocked event loop, a hanging aiokafka and a step that
never returns cannot silence it. An outage is not a stall. A try that fails and is tried again counts as progress, since
the retrier gives up by itself. While no broker answers nothing is known. Time that the whole process slept (SIGSTOP, a
paused machine) does not count either.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from stream import metrics
from stream.errors import KafkaUnavailable, Stalled
from stream.kafka.broker import Broker
from stream.kafka.committable import PartitionProgress
from stream.kafka.topic_ids import TopicIds
from stream.kafka.topic_partition import TP
from stream.live.app import LiveApp
from stream.live.stacks import stacks
from stream.live.stalls import GROUP, Seen, Stalls, see

log = logging.getLogger(__name__)

LOOK_S: Final = 5.0  # most time between two looks
EXIT_S: Final = 15.0  # limit for the worker to end by itself; a little more than LiveApp's own


class Watchdog:
    """The thread. `close` it before the process ends in good order.

    Args:
        source: asks the brokers; used by this thread alone after `start`.
        limit_s: how long messages may wait while nothing moves.
        tries: the counts of Tries, by topic.
    """

    def __init__(
        self,
        live: LiveApp,
        *,
        source: Broker,
        ids: TopicIds,
        group: str,
        topics: Sequence[str],
        limit_s: float,
        tries: Callable[[], Mapping[str, int]],
    ) -> None:
        self._limit_s = limit_s
        self._every_s = min(LOOK_S, self._limit_s / 4)
        self._source = source
        self._ids = ids
        self._group = group
        self._topics = list(topics)
        self._live = live
        self._tries = tries
        self._joined = threading.Event()
        self._closed = threading.Event()
        self._stalls = Stalls()
        self._seen: dict[TP, Seen] = {}
        live.on_assigned(lambda _: self._joined.set())
        live.on_revoked(lambda _: self._joined.clear())
        live.on_stopping(self._closed.set)
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._closed.wait(self._every_s):
            now = time.monotonic()
            elapsed_s, last = min(now - last, 2 * self._every_s), now
            try:
                self._look_at_ids()
                stalled = self._look(elapsed_s)
            except KafkaUnavailable:
                metrics.WATCHDOG_LOOKS.labels("unknown").inc()
                self._stalls.forget()
            except Exception:  # it reads what other threads write, and can miss a look without harm
                log.warning("watchdog: could not look", exc_info=True)
                metrics.WATCHDOG_LOOKS.labels("failed").inc()
            else:
                metrics.WATCHDOG_LOOKS.labels("stalled" if stalled else "ok").inc()
                if stalled and not self._closed.is_set():
                    self._end(stalled)
                    return

    def _look_at_ids(self) -> None:
        """Read a topic that was deleted and created again from its start; its old offsets mean nothing."""
        if changed := self._ids.changed():
            log.error("topics were deleted and created again", extra={"topics": ",".join(sorted(changed))})
            self._live.restart_topics(changed)
            self._stalls.forget()

    def _look(self, elapsed_s: float) -> dict[TP, float]:
        """The partitions that have stood for longer than the limit, with messages that exist."""
        source = self._source
        tps = source.partitions(self._topics)
        ends = source.ends(tps)
        if self._joined.is_set():
            progress = self._progress()
            committed = source.committed(self._group, list(progress)) if progress else {}
            self._seen = see(progress, ends, committed, self._tries())
        else:
            # Not in the group (yet). Another worker may do the work, but a rebalance takes less time than the limit.
            self._seen = {GROUP: Seen(None, None, sum(ends.values()), 0)}
        still = self._stalls.look(self._seen, elapsed_s=elapsed_s)
        metrics.WATCHDOG_STILL.set(max(still.values(), default=0.0))
        metrics.WATCHDOG_WAITING.set(sum(seen.waiting for tp, seen in self._seen.items() if tp != GROUP))
        late = {tp: for_s for tp, for_s in still.items() if for_s >= self._limit_s}
        if not late or GROUP in late:
            return late
        # Transaction markers and holes at the end are not messages.
        behind = {tp: (self._seen[tp].committed or 0, self._seen[tp].end) for tp in late}
        return {tp: late[tp] for tp, following in source.next_messages(behind).items() if following.waiting}

    def _progress(self) -> Mapping[TP, PartitionProgress]:
        if self._live.app._consumer is None:  # `progress` would create it, in the wrong thread
            return {}
        return self._live.progress()

    def _end(self, stalled: Mapping[TP, float]) -> None:
        error = Stalled(_sentence(stalled, self._limit_s))
        log.critical("watchdog: stalled", extra={"cause": str(error)})
        self._say()
        loop = self._live.app.loop
        loop.call_soon_threadsafe(self._live.crash, error)
        # The hanging part may be the loop, or the threads that it waits for.
        time.sleep(EXIT_S)
        log.critical("watchdog: the worker does not end by itself: ending at once, without a commit")
        for stream in (*(handler for handler in logging.getLogger().handlers), sys.stdout, sys.stderr):
            stream.flush()
        os._exit(error.exit_code)

    def _say(self) -> None:
        for tp, seen in sorted(self._seen.items()):
            if tp != GROUP:
                state = seen._asdict() | {"waiting": seen.waiting}
                log.critical("watchdog: partition", extra={"topic": tp.topic, "partition": tp.partition} | state)
        for name, where in stacks(self._loops()):
            log.critical("watchdog: stack", extra={"of": name, "at": where})

    def _loops(self) -> list[tuple[str, Any]]:
        thread = getattr(self._live.app._consumer, "_thread", None)
        return [("faust", self._live.app.loop), ("aiokafka", getattr(thread, "thread_loop", None))]


def _sentence(stalled: Mapping[TP, float], limit_s: float) -> str:
    if GROUP in stalled:
        return f"not in the consumer group for {stalled[GROUP]:.0f} s, though the brokers answer (limit {limit_s:g} s)"
    some = ", ".join(f"{tp.topic}[{tp.partition}]" for tp in sorted(stalled)[:5])
    return (
        f"no progress for {max(stalled.values()):.0f} s with messages waiting in {len(stalled)} partitions "
        f"({some}{', ...' if len(stalled) > 5 else ''}; limit {limit_s:g} s)"
    )
