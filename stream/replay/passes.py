"""The pass of a replay that a process works on, and the start of the next one.

Enters: the replay's topic, and the present ends of the log. Leaves: the next pass, or the result, in the topic. It
reads no message.
"""

from __future__ import annotations

import logging

from stream.kafka.broker import Broker
from stream.replay.plan import Pass, ReplayResult
from stream.replay.state import Replay, ReplayTopic
from stream.replay.tally import now_ms

log = logging.getLogger(__name__)


class Passes:
    """For one thread. Methods raise KafkaUnavailable when the brokers do not answer.

    Attributes:
        replay: as the topic had it at the last look.
        number: of the present pass; 0 is the main one.
        present: the present pass.
    """

    def __init__(self, broker: Broker, topic: ReplayTopic, name: str) -> None:
        self._broker = broker
        self._topic = topic
        self._name = name
        self.replay: Replay = topic.get(name)
        self.number = len(self.replay.passes)
        self.present: Pass = [self.replay.plan.main, *self.replay.passes][-1]

    def refresh(self) -> bool:
        """Read the topic. True: a later pass has begun."""
        self.replay = self._topic.get(self._name)
        if len(self.replay.passes) <= self.number:
            return False
        self.number = len(self.replay.passes)
        self.present = self.replay.passes[-1]
        return True

    def advance(self) -> None:
        """Start the next pass, or end the replay where nothing came meanwhile. One process does so at a time."""
        ends = self._broker.ends(self._broker.source_partitions())
        plan = self.replay.plan
        following = plan.next_pass([plan.main, *self.replay.passes], ends)
        if following is None:
            self._topic.put({f"{self._name}/result": ReplayResult("done", now_ms())})
        else:
            log.info("pass", extra={"kind": following.kind, "messages": following.messages})
            self._topic.put({f"{self._name}/pass/{self.number + 1}": following})
