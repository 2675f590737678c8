"""The state topic on a real broker: what one process puts, another reads."""

from __future__ import annotations

from uuid import uuid4

import pytest

from stream.kafka.broker import Broker
from stream.kafka.state_topic import StateTopic
from stream.settings_sections import KafkaSettings
from stream.topic_names import TopicNames


@pytest.mark.stack
def test_another_process_reads_the_last_value_of_each_key(stack_env: dict[str, str]) -> None:
    settings = KafkaSettings(bootstrap_servers=stack_env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"])
    broker = Broker(settings, TopicNames("s", "app", "s.dead-letters"))
    name = f"state-{uuid4().hex[:8]}"
    with StateTopic(broker, name) as writer, StateTopic(broker, name) as reader:
        # given a topic without values
        assert reader.values() == {}
        # when values are put, replaced, and removed
        writer.put({"r1/plan": {"n": 1}, "r1/control": {"wanted": "run"}, "r2/plan": {"n": 2}})
        writer.put({"r1/control": {"wanted": "paused"}, "r2/plan": None})
        # then another process has the last ones
        assert reader.values() == {"r1/plan": b'{"n":1}', "r1/control": b'{"wanted":"paused"}'}
        # and of a job that is forgotten nothing is left, here and for a process that starts now
        writer.forget("r1")
        assert reader.values() == {}
    with StateTopic(broker, name) as late:
        assert late.values() == {}
