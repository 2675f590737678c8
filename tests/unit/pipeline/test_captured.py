"""The real connector's messages (tests/data/, made by tests/capture.py), and whether the fake one writes the same.

The model's histories are worth as much as tests/fakes/ is true. So both play the same scenario. Of every row the same
messages must come, in the same order, with the same fields and images, and in the same order of versions.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stream.pipeline.decoder import Decoder
from stream.pipeline.envelope import Envelope
from stream.pipeline.ordering import version
from tests import scenario
from tests.fakes import FakeDebezium, FakeLog, FakePostgres, Transaction
from tests.scenario import CARDS, CHATS, SCORES, card, score

FILE = Path(__file__).parents[2] / "data" / "envelopes.jsonl"
TABLES = (CHATS, CARDS, SCORES)

Messages = list[dict[str, Any]]  # {table, partition, offset, key, value}, in the order of the log


@pytest.fixture(scope="module")
def captured() -> Messages:
    return [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]


class FakeSource:
    """The scenario's Source in memory."""

    def __init__(self) -> None:
        self.postgres = FakePostgres()
        self.log = FakeLog(partitions=4)
        self.debezium = FakeDebezium(self.postgres, self.log, toast=lambda: "")

    def begin(self) -> Transaction:
        return self.postgres.begin()

    def start(self) -> None:
        self.debezium.initial_snapshot()

    def read(self, tables: Sequence[str]) -> None:
        for table in tables:
            self.debezium.open_window()
            self.debezium.read_chunk(table)
            self.debezium.close_window()

    def replica_identity(self, *, full: bool) -> None:
        self.debezium.stream()
        self.debezium.full[CARDS] = full

    def tombstones(self, *, on: bool) -> None:
        self.debezium.stream()
        self.debezium.tombstones = on

    def messages(self) -> Messages:
        self.debezium.stream()
        return [
            {
                "table": table,
                "partition": number,
                "offset": message.offset,
                "key": json.loads(message.key or b""),
                "value": None if message.value is None else json.loads(message.value),
            }
            for (table, number), log in self.log.partitions.items()
            for message in log
        ]


@pytest.fixture(scope="module")
def faked() -> Messages:
    source = FakeSource()
    scenario.play(source)
    return source.messages()


def row_of(message: dict[str, Any]) -> tuple[str, str]:
    return message["table"], json.dumps(message["key"], sort_keys=True)


def by_row(messages: Messages) -> dict[tuple[str, str], Messages]:
    """The changes of each key, in order."""
    found: dict[tuple[str, str], Messages] = defaultdict(list)
    for message in messages:
        if message["value"] is not None:
            found[row_of(message)].append(message)
    return dict(found)


def told(message: dict[str, Any]) -> tuple[Any, ...]:
    """The facts that a message tells of its row: operation, kind of snapshot, both images."""
    value = message["value"]
    return value["op"], value["source"]["snapshot"], value["before"], value["after"]


def shape(value: Any) -> Any:
    """Names and types; a null is of any type."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return type(value).__name__


def versions(messages: Messages) -> list[tuple[int, tuple[str, ...]]]:
    """(version, which message) in the order of versions."""
    found = []
    for (table, key), own in by_row(messages).items():
        for number, message in enumerate(own):
            found.append((version(message["value"]["source"]["sequence"]), (table, key, str(number))))
    return sorted(found)


def test_every_kind_of_message_was_captured(captured: Messages) -> None:
    values = [(message["table"], message["value"]) for message in captured if message["value"] is not None]
    kinds = {(table, value["op"]) for table, value in values}
    assert kinds == {(table, op) for table in TABLES for op in "crud"}
    snapshots = {value["source"]["snapshot"] for _, value in values}
    assert {"false", "first", "last", "incremental"} < snapshots


def test_the_fake_writes_the_same_messages_of_each_row_in_the_same_order(captured: Messages, faked: Messages) -> None:
    real, fake = by_row(captured), by_row(faked)
    assert real.keys() == fake.keys()
    for row, messages in real.items():
        assert [told(message) for message in messages] == [told(message) for message in fake[row]], row


def test_the_fake_writes_the_same_fields(captured: Messages, faked: Messages) -> None:
    fake = by_row(faked)
    for row, messages in by_row(captured).items():
        for message, other in zip(messages, fake[row], strict=True):
            assert shape(message["value"]) == shape(other["value"]), row


def test_versions_are_in_the_same_order(captured: Messages, faked: Messages) -> None:
    assert [which for _, which in versions(captured)] == [which for _, which in versions(faked)]


def test_tombstones_follow_the_same_deletes_in_whatever_partition(captured: Messages, faked: Messages) -> None:
    # The connector cannot tell where a message without a value belongs. So it is configured to send none.
    real, fake = (sorted(row_of(m) for m in messages if m["value"] is None) for messages in (captured, faked))
    assert real == fake
    assert real


def test_a_scorecard_and_its_scores_are_in_one_partition(captured: Messages) -> None:
    partitions: dict[str, set[int]] = defaultdict(set)
    for message in captured:
        if message["table"] != CHATS and message["value"] is not None:
            partitions[message["key"]["scorecard_id"]].add(message["partition"])
    assert len(partitions) > 5
    assert {len(where) for where in partitions.values()} == {1}
    assert len(set.union(*partitions.values())) > 1, "they are all in one"


def test_the_one_that_commits_later_has_the_higher_version_and_the_lower_lsn(captured: Messages) -> None:
    first = one(captured, CARDS, comment="written first, committed last")
    second = one(captured, SCORES, comment="written last, committed first")
    assert first["source"]["lsn"] < second["source"]["lsn"]
    assert version(first["source"]["sequence"]) > version(second["source"]["sequence"])


def test_what_an_incremental_snapshot_read_loses_against_what_was_committed_afterwards(captured: Messages) -> None:
    changed = one(captured, CARDS, comment="changed before it was read, committed afterwards")
    (read,) = [
        message["value"]
        for message in by_row(captured)[CARDS, json.dumps({"scorecard_id": card(1)})]
        if message["value"]["source"]["snapshot"] == "incremental"
    ]
    assert read["source"]["lsn"] is None
    commit, at = map(int, json.loads(read["source"]["sequence"]))
    assert changed["source"]["lsn"] < at
    assert version(changed["source"]["sequence"]) > version(read["source"]["sequence"]) == commit << 56 | at


def test_a_score_that_moves_is_deleted_in_the_partition_that_it_leaves(captured: Messages) -> None:
    moved = one(captured, SCORES, comment="moved", scorecard_id=card(1))
    left = by_row(captured)[SCORES, json.dumps({"score_id": score(7), "scorecard_id": card(2)})]
    assert [message["value"]["op"] for message in left][:2] == ["c", "d"]
    assert moved["op"] == "c"
    assert left[1]["value"]["source"]["sequence"] == moved["source"]["sequence"]


def one(messages: Messages, table: str, **values: Any) -> dict[str, Any]:
    """The streamed change to these values."""
    (found,) = [
        value
        for message in messages
        if message["table"] == table and (value := message["value"]) is not None and value["op"] in {"c", "u"}
        if value["after"] is not None
        and values.items() <= value["after"].items()
        and (value["before"] is None or not values.items() <= value["before"].items())
    ]
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("table", TABLES)
def test_everything_captured_is_decoded(captured: Messages, table: str) -> None:
    values = [m["value"] and json.dumps(m["value"]).encode() for m in captured if m["table"] == table]
    for value, item in zip(values, Decoder(table).decode(values), strict=True):
        assert item is None if value is None else isinstance(item, Envelope), (value, item)
