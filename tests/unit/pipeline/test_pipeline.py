"""envelope and pipeline over one message at a time: what is refused, for which reason, and what is accepted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from stream.errors import LedgerImbalance, TooManyDeadLetters
from stream.pipeline.dead_letter import DeadLetter, DeadLetterGuard, Message, parse
from stream.pipeline.ledger import Ledger, Outcome
from stream.pipeline.ordering import LSN_MAX
from stream.pipeline.pipeline import Done, Pipeline
from stream.pipeline.placement import GONE, Place, State
from stream.pipeline.stored import Snapshot, Standing, StandingPlace
from stream.pipeline.writes import Layout, Writes

CARD = "0a1b2c3d-0000-4000-8000-000000000001"
SCORE_ID = "0a1b2c3d-0000-4000-8000-000000000002"
NOW_US = 1_767_225_600_000_000
Body = dict[str, Any]


@dataclass
class Part:
    """Messages of one partition."""

    values: list[bytes | None]
    keys: list[bytes | None]
    topic: str = "p.app.scores"
    partition: int = 3
    start: int = 100

    @property
    def end(self) -> int:
        return self.start + len(self.values)

    def message(self, index: int) -> Message:
        return Message(
            self.topic, self.partition, 100 + index, 5, self.keys[index], self.values[index], (("h", b"\xff"),)
        )


class World:
    """A scorecard that is visible, and what is written and refused."""

    def __init__(self) -> None:
        self.place: Place | None = Place(State.VISIBLE, "spirit", NOW_US, False)
        self.rows: list[dict[str, Any]] = []
        self.letters: list[DeadLetter] = []
        self.held: list[tuple[Any, ...]] = []  # scores in Postgres, as a reindex reads them

    def position(self) -> int:
        return LSN_MAX

    def places(self, ids: Any) -> dict[str, Place]:
        return {} if self.place is None else dict.fromkeys(ids, self.place)

    def moved(self, expected: Any, looked: Any) -> dict[str, Place]:
        return {} if self.place is not None else dict.fromkeys(expected, GONE)

    def scorecards_of(self, conversations: Any) -> list[tuple[str, str, bool]]:
        return []

    def snapshot(self, ids: Any, **_: Any) -> Snapshot:
        return Snapshot(self.places(ids), {"scorecard": [], "score": self.held})

    def write(self, writes: Writes) -> None:
        for _, table, columns in writes:
            self.rows += [dict(zip(table.insert_columns, row, strict=True)) for row in zip(*columns, strict=True)]

    def standing(self, ids: Any, customers: Any, **_: Any) -> list[Standing]:
        return []

    def standing_places(self, ids: Any, customers: Any) -> list[StandingPlace]:
        return []

    def send(self, letters: Any) -> None:
        self.letters += letters

    def process(self, *values: bytes | None, keys: list[bytes | None] | None = None) -> Done:
        pipeline = Pipeline("scores", source=self, target=self, dead_letters=self, layout=Layout(2, 1))
        return pipeline.process([Part(list(values), keys or [b"k"] * len(values))])


def good(**after: Any) -> Body:
    row = {
        "score_id": SCORE_ID, "scorecard_id": CARD, "criterion_id": CARD, "numeric_value": 0.5, "ai_value": None,
        "not_applicable": False, "comment": "c", "updated_at": "2026-01-05T10:11:12.123456Z",
    }  # fmt: skip
    source = {"table": "scores", "ts_ms": 1, "sequence": '["10","11"]', "snapshot": "false"}
    return {"op": "c", "before": None, "after": row | after, "source": source, "ts_ms": 2}


def held(score_id: str) -> tuple[Any, ...]:
    return (CARD, score_id, CARD, 0.5, None, False, "c", 1_767_607_872_123_456)


def without(*path: str) -> bytes:
    body = good()
    inner: Any = body
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return json.dumps(body).encode()


def dumps(body: Body) -> bytes:
    return json.dumps(body).encode()


BAD: dict[str, tuple[bytes, str]] = {
    "truncated": (dumps(good())[:-9], "not_json"),
    "not JSON": (b"hello", "not_json"),
    "not UTF-8": (b"\xff\xfe", "not_json"),
    "a list": (b"[1]", "not_json"),
    "deeply nested": (b"[" * 100_000, "not_json"),
    "bare NaN": (dumps(good(numeric_value=float("nan"))), "not_json"),
    "quoted NaN": (dumps(good(numeric_value="NaN")), "not_finite"),
    "infinity": (dumps(good(ai_value="Infinity")), "not_finite"),
    "text for a number": (dumps(good(numeric_value="much")), "not_finite"),
    "wrong type": (dumps(good(not_applicable=3)), "wrong_type"),
    "null where none may be": (dumps(good(criterion_id=None)), "wrong_type"),
    "missing column": (without("after", "comment"), "missing_field"),
    "missing source": (without("source"), "missing_field"),
    "missing op": (without("op"), "missing_field"),
    "missing sequence": (without("source", "sequence"), "no_sequence"),
    "missing after": (without("after"), "no_after"),
    "delete without before": (dumps(good() | {"op": "d", "after": None}), "no_before"),
    "delete without a full before": (
        dumps(good() | {"op": "d", "after": None, "before": {"score_id": SCORE_ID, "scorecard_id": None}}), "no_before",
    ),
    "unknown op": (dumps(good() | {"op": "x"}), "unknown_op"),
    "other table": (dumps(good() | {"source": good()["source"] | {"table": "x"}}), "unknown_table"),
    "bad id": (dumps(good(scorecard_id="1")), "bad_uuid"),
    "bad other uuid": (dumps(good(criterion_id="1")), "bad_uuid"),
    "time out of range": (dumps(good(updated_at="9999-01-01T00:00:00Z")), "bad_time"),
    "time without zone": (dumps(good(updated_at="2026-01-01T00:00:00")), "wrong_type"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_is_a_dead_letter_and_its_neighbours_are_written(name: str) -> None:
    # given a bad message between two good ones of other rows
    value, reason = BAD[name]
    other = dumps(good(score_id=CARD))
    world = World()
    world.held = [held(SCORE_ID[:-1] + "9"), held(CARD)]
    # when they are processed
    done = world.process(dumps(good(score_id=SCORE_ID[:-1] + "9")), value, other)
    # then the bad one is kept whole with its reason, and the others are rows
    (letter,) = world.letters
    assert letter.reason == reason
    assert letter.applied == ("none" if done.reindexed == 0 else "reindexed=1 retired=0 withheld=0")
    assert letter.message == Part([b"", value, b""], [b"k"] * 3).message(1)
    assert len(world.rows) == 2
    assert done.ledger.totals() == {Outcome.WRITTEN: 2, Outcome.DEAD_LETTER: 1}
    assert done.refused == {reason: 1}


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b,
        lambda b: b | {"unknown": 1, "after": b["after"] | {"new_column": {"x": [1]}}},
        lambda b: {"schema": {"type": "struct"}, "payload": b},
        lambda b: b | {"after": b["after"] | {"numeric_value": "0.5"}},
        lambda b: b | {"after": b["after"] | {"updated_at": 1_767_607_872_123_456}},
        lambda b: b | {"source": b["source"] | {"sequence": '[null,"11"]', "snapshot": "first"}, "op": "r"},
        lambda b: b | {"after": b["after"] | {"scorecard_id": CARD.upper()}},
    ],
)
def test_what_is_unusual_and_good_is_written(change: Callable[[Body], Body]) -> None:
    world = World()
    done = world.process(dumps(change(good())))
    (row,) = world.rows
    assert row["numeric_value"] == 0.5
    assert row["updated_at"] == 1_767_607_872_123_456
    assert (row["customer_id"], row["event_time"], row["_deleted"]) == ("spirit", NOW_US, 0)
    assert done.ledger.totals() == {Outcome.WRITTEN: 1}


def test_a_megabyte_of_comment_is_written() -> None:
    world = World()
    world.process(dumps(good(comment="x" * 1_000_000)))
    assert len(world.rows[0]["comment"]) == 1_000_000


def test_tombstones_and_null_payloads_are_counted() -> None:
    done = World().process(None, b'{"schema":null,"payload":null}')
    assert done.ledger.totals() == {Outcome.TOMBSTONE: 2}


def test_a_message_without_key_is_refused() -> None:
    world = World()
    world.process(dumps(good()), keys=[None])
    assert world.letters[0].reason == "null_key"


@pytest.mark.parametrize(
    ("place", "outcome"),
    [
        (Place(State.APPEAL, "spirit", NOW_US, False), Outcome.DROPPED),
        (Place(State.WAITING, "spirit", None, False), Outcome.WAITING),
        (None, Outcome.SUPERSEDED),
    ],
)
def test_scores_go_nowhere_when_their_scorecard_is_not_shown(place: Place | None, outcome: Outcome) -> None:
    world = World()
    world.place = place
    done = world.process(dumps(good()))
    assert not world.rows
    assert done.ledger.totals() == {outcome: 1}


def test_a_delete_of_an_appeals_score_is_marked_where_it_would_be() -> None:
    world = World()
    world.place = Place(State.APPEAL, "spirit", NOW_US, False)
    done = world.process(dumps(good() | {"op": "d", "before": good()["after"], "after": None}))
    (row,) = world.rows
    assert (row["_deleted"], row["event_time"], row["_version"]) == (1, NOW_US, 10 << 56 | 11)
    assert done.ledger.totals() == {Outcome.RETIRED: 1}


def test_an_unchanged_toast_value_comes_from_the_before_image() -> None:
    world = World()
    body = good(comment="__debezium_unavailable_value") | {"op": "u", "before": good(comment="long")["after"]}
    world.process(dumps(body))
    assert world.rows[0]["comment"] == "long"


def test_the_newest_of_a_batch_is_written_and_the_others_are_superseded() -> None:
    def at(lsn: int, value: float) -> bytes:
        return dumps(good(numeric_value=value) | {"source": good()["source"] | {"sequence": f'["{lsn}","{lsn}"]'}})

    world = World()
    done = world.process(at(7, 0.7), at(9, 0.9), at(8, 0.8))
    assert [row["numeric_value"] for row in world.rows] == [0.9]
    assert done.ledger.totals() == {Outcome.WRITTEN: 1, Outcome.SUPERSEDED: 2}


def test_a_dead_letter_survives_the_way_there_and_back() -> None:
    message = Message("t", 1, 2, 3, b"\x00", None, (("a", None), ("b", b"")))
    letter = DeadLetter(message, "not_json", "why", 4)
    stored = Message("dead", 0, 9, 10, message.key, message.value, letter.headers)
    assert parse(stored) == letter


def test_a_ledger_that_does_not_balance_is_fatal() -> None:
    ledger = Ledger("t")
    ledger.add(4, [Outcome.WRITTEN], consumed=2)
    with pytest.raises(LedgerImbalance, match="t-4: 2 messages consumed, 1 accounted for"):
        ledger.check()


def test_the_guard_stops_above_its_share_and_not_before_its_window() -> None:
    guard = DeadLetterGuard(share=0.5, window=10)
    guard.add("t", messages=9, refused=9)
    with pytest.raises(TooManyDeadLetters, match="10 of the last 10"):
        guard.add("t", messages=1, refused=1)
    guard = DeadLetterGuard(share=0.5, window=10)
    for _ in range(20):
        guard.add("t", messages=10, refused=5)
