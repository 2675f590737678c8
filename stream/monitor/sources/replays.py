"""Replays, by their topic and their groups' committed offsets. Reads only.

Enters: the replays' topic and the brokers. Leaves: `readings.Replay` values.
"""

from __future__ import annotations

import time

from stream.kafka.broker import Broker
from stream.monitor.readings import ReplayReading
from stream.replay import state as replay_state

SHOWN_S = 86_400.0  # how long a replay that ended is shown


class ReplaySource:
    """For one thread; `close` it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._topic: replay_state.ReplayTopic | None = None
        self._moved: dict[str, tuple[int, float]] = {}

    def read(self) -> list[ReplayReading]:
        """Replays under way, and those that ended lately; the newest first.

        Raises:
            KafkaUnavailable: the brokers do not answer.
        """
        if self._topic is None:
            # ReplayTopic creates a missing topic, and a reader must not.
            if not self._broker.partitions([self._broker.topics.replays]):
                return []
            self._topic = replay_state.ReplayTopic(self._broker)
        now = time.time()
        found = []
        for replay in self._topic.refresh().values():
            ended = replay.result.at_ms / 1000 if replay.result is not None else None
            if ended is None or now - ended < SHOWN_S:
                found.append(self._view(replay, now))
        return sorted(found, key=lambda each: -each.created)

    def close(self) -> None:
        self._broker.close()
        if self._topic is not None:
            self._topic.close()

    def _view(self, replay: replay_state.Replay, now: float) -> ReplayReading:
        passing = replay.passes[-1] if replay.passes else replay.plan.main
        total = passing.messages
        finished = replay.result is not None and replay.result.state == "done"
        done = total
        if not finished:
            tps = [span.tp for span in passing.spans]
            done = passing.done(self._broker.committed(replay.plan.group, tps)) if tps else 0
        before = self._moved.get(replay.name)
        if before is None or before[0] != done:
            self._moved[replay.name] = (done, now)
        alive = replay.alive()
        per_s = sum(beat.per_s for beat in alive)
        error = replay.result.error if replay.result is not None else ""
        error = error or next((beat.error for beat in replay.members.values() if beat.error), "")
        return ReplayReading(
            name=replay.name,
            state=replay.state,
            stage=passing.kind,
            total=total,
            done=done,
            failed=sum(beat.failed for beat in replay.members.values()),
            per_s=per_s,
            eta_s=(total - done) / per_s if per_s > 0 else 0.0 if done >= total else None,
            throttled_by=next((beat.throttled_by for beat in alive if beat.throttled_by), ""),
            processes=len(alive),
            into=replay.plan.into,
            created=replay.plan.created_ms / 1000,
            moved_at=self._moved[replay.name][1],
            error=error,
        )
