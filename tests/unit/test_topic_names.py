"""The names of the topics, all from one prefix."""

from __future__ import annotations

import re

from docs import topics
from stream.config import Settings
from stream.tables import HEARTBEAT, SIGNAL
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


def test_every_topic_is_on_the_reference_page() -> None:
    # given all names that the pipeline uses
    properties = [name for name, each in vars(TopicNames).items() if isinstance(each, property)]
    values = [getattr(topics.NAMES, name) for name in properties]
    names = {name for value in values for name in ([value] if isinstance(value, str) else value)}
    names |= {topics.NAMES.dead_letters, topics.NAMES.of(HEARTBEAT), topics.NAMES.of(SIGNAL)}
    # then the page has a row of each, with its permissions, and of no other topic
    shown = re.findall(r"^\| `(.+?)` \| .+ \| (?:compact|delete) \| Read", topics.markdown(), re.MULTILINE)
    assert (set(shown), len(shown)) == (names, len(names))
