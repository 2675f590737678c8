"""The names of the topics, all from one prefix."""

from __future__ import annotations

from stream.config import Settings
from stream.topic_names import TopicNames


def test_each_name_has_the_prefix() -> None:
    names = TopicNames("p", "app", "dl")
    assert names.of("scores") == "p.app.scores"
    assert set(names.sources) == {"p.app.chats", "p.app.scorecards", "p.app.scores"}
    assert names.settled_letters == "dl-settled"
    assert {names.notifications, names.replays, names.backfills} == {"p.notifications", "p.replays", "p.backfills"}
    assert names.debezium_heartbeat == "__debezium-heartbeat.p"


def test_the_dead_letters_follow_the_prefix_unless_they_are_named() -> None:
    assert Settings(kafka={"topic_prefix": "p"}).topics.dead_letters == "p.dead-letters"
    assert Settings(kafka={"topic_prefix": "p", "dead_letter_topic": "dl"}).topics.dead_letters == "dl"
