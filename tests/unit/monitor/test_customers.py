"""How late each customer is, by the messages that wait."""

from __future__ import annotations

from stream.kafka.topic_partition import TP
from stream.kafka.waiting_message import WaitingLook, WaitingMessage
from stream.monitor.customers import Waits, by_customer, late_ranges, scorecards, waits_of

NOW = 1_000.0
TOPIC = "s.app.scores"


def test_the_latest_come_first_by_their_oldest_change() -> None:
    messages = [
        WaitingMessage(990.0, "acme", None),
        WaitingMessage(970.0, None, "card-1"),  # a score, whose scorecard is globex's
        WaitingMessage(995.0, "globex", "card-1"),
        WaitingMessage(960.0, None, "gone"),
        WaitingMessage(961.0, None, None),  # cannot be decoded
    ]
    assert scorecards(messages) == ["card-1", "gone"]
    found = by_customer(WaitingLook(messages, None), {"card-1": "globex"}, now=NOW)
    assert [(each.customer, each.seconds, each.messages) for each in found.rows] == [
        ("globex", 30.0, 2),
        ("acme", 10.0, 1),
    ]
    assert (found.unknown, found.complete_above_s) == (2, 1.0)


def test_what_was_not_read_is_no_later_than_what_was() -> None:
    # given a look that ended before the end of a partition
    found = by_customer(WaitingLook([WaitingMessage(940.0, "acme", None)], 950.0), {}, now=NOW)
    # then all who are later than that are known
    assert found.complete_above_s == 50.0
    # and one of whom nothing was seen is not said to wait
    asked = found.of(["acme", "globex"])
    assert [(each.customer, each.seconds, each.messages) for each in asked.rows] == [
        ("acme", 60.0, 1),
        ("globex", 0.0, 0),
    ]
    assert asked.complete_above_s == 50.0


def test_only_partitions_that_are_late_are_read_from_the_first_message_that_waits() -> None:
    partitions = [
        Waits(TP(TOPIC, 0), end=100, messages=40, seconds=5.0),
        Waits(TP(TOPIC, 1), end=100, messages=3, seconds=0.2),
        Waits(TP(TOPIC, 2), end=100, messages=0, seconds=0.0),
        Waits(TP(TOPIC, 3), end=100, messages=7, seconds=None),
    ]
    assert late_ranges(partitions) == {TP(TOPIC, 0): (60, 100), TP(TOPIC, 3): (93, 100)}


def test_a_document_says_what_waits() -> None:
    row = {"topic": TOPIC, "partition": 2, "end": 9, "messages": 4, "seconds": 1.5, "verdict": "WARN"}
    assert waits_of({"partitions": [row]}) == [Waits(TP(TOPIC, 2), 9, 4, 1.5)]


def test_the_document_is_bounded_and_says_of_how_many() -> None:
    messages = [WaitingMessage(900.0 + n / 10, f"customer-{n}", None) for n in range(500)]
    document = by_customer(WaitingLook(messages, None), {}, now=NOW).as_json()
    assert (len(document["rows"]), document["late"]) == (200, 500)
    assert document["rows"][0] == {"customer": "customer-0", "seconds": 100.0, "messages": 1}
