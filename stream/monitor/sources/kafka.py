"""Looks at the live group in Kafka: offsets, members, ages, dead letters -> readings.Kafka.

Enters: the brokers' answers. Leaves: plain values. It remembers the past of each partition (stream/monitor/lag.py), and
writes nowhere.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from stream.errors import KafkaUnavailable
from stream.kafka.broker import Broker, PartitionOffsets, Retention
from stream.kafka.topic_partition import TP
from stream.monitor.lag import LagLimits, PartitionLag, PartitionLook, Track
from stream.monitor.readings import DeadLetterReading, Kafka

_PARTITIONS_S = 30.0  # interval of the questions for partitions, log starts and retention


class KafkaReader:
    """Looks at the live group, again and again.

    Args:
        settled: counts the settled ones among dead letters, by their ranges of offsets.
    """

    def __init__(
        self,
        source: Broker,
        *,
        group: str,
        topics: Sequence[str],
        dead_letters: str,
        limits: LagLimits,
        reached: Mapping[TP, int],
        settled: Callable[[Mapping[TP, tuple[int, int]]], int],
    ) -> None:
        self._source = source
        self._group = group
        self._limits = limits
        self._topics = list(topics)
        self._dead_letter_topic = dead_letters
        self._reached = reached
        self._cluster: str | None = None
        self.tracks: dict[TP, Track] = {}
        self._partitions: list[TP] = []
        self._retention: dict[str, Retention] = {}
        self._refreshed = float("-inf")
        self._empty_since: float | None = None
        self._letters: deque[tuple[float, int]] = deque()
        self._letter_tps: list[TP] = []
        self._count_settled = settled
        self._settled = 0

    def read(self) -> Kafka:
        """Ask once.

        Raises:
            KafkaUnavailable: the brokers do not answer.
        """
        source, group_name = self._source, self._group
        refresh = time.monotonic() - self._refreshed > _PARTITIONS_S or not self._partitions
        if refresh:
            self._partitions = source.partitions(self._topics)
            self._cluster = source.cluster_id()
            self._letter_tps = source.partitions([self._dead_letter_topic])
            self._retention = source.retention(sorted({tp.topic for tp in self._partitions}))
        offsets: dict[TP, PartitionOffsets] = {}
        if self._partitions:  # the dead letters' offsets come by the same request: each request costs the monitor CPU
            asked = [*self._partitions, *self._letter_tps]
            offsets = source.offsets(group_name, asked, refresh_starts=refresh)
        if refresh:
            self._refreshed = time.monotonic()
        letters = {tp: (kept.start, kept.end) for tp in self._letter_tps if (kept := offsets.pop(tp, None)) is not None}
        if refresh and letters:
            with suppress(KafkaUnavailable):  # the last count holds: lag does not depend on it
                self._settled = self._count_settled(letters)
        wanted = {}
        for tp, each in offsets.items():
            track = self.tracks.get(tp)
            if track is None:
                track = self.tracks[tp] = Track(self._limits, reached=self._reached.get(tp))
            at = track.next_offset(start=each.start, end=each.end, committed=each.committed)
            wanted[tp] = (at, each.end)
        following = source.next_messages(wanted)
        group = source.group(group_name)
        holders = group.holders()
        now = time.time()
        self._empty_since = None if group.members else self._empty_since or now
        lags: dict[TP, PartitionLag] = {}
        for tp, each in offsets.items():
            member = holders.get(tp)
            waiting, next_at = following[tp]
            rebalancing = group.members and not holders
            holder = f"{member.host} ({member.client_id})" if member else None if rebalancing else ""
            lags[tp] = self.tracks[tp].add(
                PartitionLook(now, each.start, each.end, each.committed, waiting, next_at, holder)
            )
        return Kafka(group, self._empty_since, lags, self._retention, self._count_letters(letters, now), self._cluster)

    def reached(self) -> dict[TP, int | None]:
        """How far each partition was ever indexed."""
        return {tp: track.reached for tp, track in list(self.tracks.items())}

    def close(self) -> None:
        self._source.close()

    def _count_letters(self, letters: Mapping[TP, tuple[int, int]], now: float) -> DeadLetterReading | None:
        if not letters:
            return None
        total = sum(end - start for start, end in letters.values())
        if not self._letters or self._letters[-1][1] != total:
            self._letters.append((now, total))
        # The newest count that is older than an hour stays: it is the base of the hour's count.
        while len(self._letters) > 1 and self._letters[1][0] < now - 3600:
            self._letters.popleft()
        came = max(0, total - self._letters[0][1])
        newest_at = self._letters[-1][0] if came else None
        return DeadLetterReading(total, came, newest_at, open=max(0, total - self._settled))
