"""The same suite for the fake ClickHouse and the real one: which rows replace each other, and what is seen."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from stream import config
from stream.pipeline.pieces import pieces
from stream.pipeline.placement import Place, State
from stream.pipeline.stored import StandingPlace
from stream.pipeline.writes import Layout, Writes
from stream.tables import SCORE, SCORECARD, Table
from tests.contract.targets import RealTarget
from tests.fakes import DAY_US, FakeClickHouse
from tests.model import Faults, Violation, run_seed

CARD, CARD_INT = "5c000000-0000-4000-8000-000000000000", 0x5C000000000040008000000000000000
JANUARY = 1_767_225_600_000_000
LAYOUT = Layout(shards=2, bucket_days=1)
HISTORIES = 4


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.stack)])
def target(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "fake":
        yield FakeClickHouse()
        return
    request.getfixturevalue("stack_env")
    with RealTarget(config.load().clickhouse, f"contract_{uuid4().hex[:12]}") as real:
        yield real


def rows(table: Table, *rows: dict[str, Any]) -> Writes:
    """Rows of a table; what is not given is blank."""
    writes = Writes()
    for row in rows:
        values = {
            "customer_id": "acme",
            "scorecard_id": CARD_INT,
            "event_time": JANUARY,
            "is_process": True,
            "template_id": 1,
            "score_id": 2,
            "criterion_id": 3,
            "not_applicable": False,
            "created_at": JANUARY,
            "updated_at": JANUARY,
            "_deleted": 0,
        } | row
        shard = LAYOUT.shard(values["event_time"])
        writes.add(table, shard, [[values.get(name)] for name in table.insert_columns])
    return writes


def comments(target: Any, table: Table) -> list[str | None]:
    at = [column.name for column in table.all_columns].index("comment")
    return sorted(row[at] for row in target.visible(table))


@pytest.mark.parametrize("table", [SCORECARD, SCORE])
def test_the_highest_version_is_seen_whatever_came_last(target: Any, table: Table) -> None:
    target.write(rows(table, {"comment": "new", "_version": 1 << 100}))
    target.write(rows(table, {"comment": "old", "_version": 1 << 99}))
    assert comments(target, table) == ["new"]


def test_of_equal_versions_the_last_inserted_is_seen(target: Any) -> None:
    target.write(rows(SCORE, {"comment": "first", "_version": 7}))
    target.write(rows(SCORE, {"comment": "second", "_version": 7}))
    assert comments(target, SCORE) == ["second"]
    # A row, its delete marker and the very same row again, all of one version: it must stand.
    target.write(rows(SCORE, {"_deleted": 1, "_version": 7}))
    assert comments(target, SCORE) == []
    target.write(rows(SCORE, {"comment": "second", "_version": 7}))
    assert comments(target, SCORE) == ["second"]


def test_a_delete_marker_hides_only_in_its_own_place(target: Any) -> None:
    places = [
        {"comment": "january"},
        {"comment": "other shard", "event_time": JANUARY + DAY_US},
        {"comment": "february", "event_time": JANUARY + 32 * DAY_US},
        {"comment": "other customer", "customer_id": "globex"},
    ]
    for place in places:
        target.write(rows(SCORE, place | {"_version": 1}))
    for count, place in enumerate(places):
        assert len(target.visible(SCORE)) == len(places) - count
        target.write(rows(SCORE, place | {"_version": 1, "_deleted": 1}))
    assert target.visible(SCORE) == []


def test_another_microsecond_is_another_place(target: Any) -> None:
    target.write(rows(SCORE, {"comment": "old", "_version": 1}))
    target.write(rows(SCORE, {"comment": "new", "_version": 2, "event_time": JANUARY + 1}))
    assert comments(target, SCORE) == ["new", "old"]
    target.write(rows(SCORE, {"_version": 2, "_deleted": 1}))
    assert comments(target, SCORE) == ["new"]


def test_what_stands_is_found_with_its_key_time_and_version(target: Any) -> None:
    target.write(rows(SCORECARD, {"_version": 5}))
    target.write(rows(SCORE, {"_version": 6, "event_time": JANUARY + DAY_US, "customer_id": "globex"}))
    target.write(rows(SCORE, {"_version": 7, "score_id": 9}))
    target.write(rows(SCORE, {"_version": 8, "score_id": 9, "_deleted": 1}))
    acme, globex = (Place(State.VISIBLE, customer, None, True) for customer in ("acme", "globex"))
    card = LAYOUT.key(SCORECARD, acme._replace(event_time_us=JANUARY), scorecard_id=CARD_INT, row_id=CARD_INT)
    score = LAYOUT.key(SCORE, globex._replace(event_time_us=JANUARY + DAY_US), scorecard_id=CARD_INT, row_id=2)
    found = {row.key: row.version for row in target.standing([CARD], None)}
    assert found == {card: 5, score: 6}
    assert [row.key for row in target.standing([CARD], ["acme"])] == [card]
    assert target.standing([CARD], []) == target.standing([], None) == target.standing([CARD[:-1] + "1"], None) == []


def test_what_stands_is_found_piece_by_piece_and_up_to_a_number_of_rows(target: Any) -> None:
    numbers = range(0x100, 0x140)
    target.write(rows(SCORE, *({"_version": 7, "score_id": number} for number in numbers)))
    found = [row.key.row_id for piece in pieces(16) for row in target.standing([CARD], None, piece=piece)]
    assert sorted(found) == list(numbers)
    (piece, *_) = pieces(16)
    assert {row.key.row_id for row in target.standing([CARD], ["acme"], piece=piece)} == {0x100, 0x110, 0x120, 0x130}
    assert len(target.standing([CARD], None, most=3)) == 3
    assert sorted(target.standing([CARD], None, most=100)) == sorted(target.standing([CARD], None))


def test_where_rows_stand_is_counted_without_reading_them(target: Any) -> None:
    # given two scores and the scorecard in one place, a score in another, and one that is deleted
    target.write(rows(SCORECARD, {"_version": 5}))
    target.write(rows(SCORE, *({"_version": version, "score_id": version} for version in (6, 7))))
    target.write(rows(SCORE, {"_version": 9, "event_time": JANUARY + DAY_US, "customer_id": "globex"}))
    target.write(rows(SCORE, {"_version": 8, "score_id": 9}))
    target.write(rows(SCORE, {"_version": 9, "score_id": 9, "_deleted": 1}))
    here = StandingPlace(CARD_INT, "acme", LAYOUT.shard(JANUARY), JANUARY, 7, 3)
    there = StandingPlace(CARD_INT, "globex", LAYOUT.shard(JANUARY + DAY_US), JANUARY + DAY_US, 9, 1)
    assert sorted(target.standing_places([CARD], None)) == [here, there]
    assert target.standing_places([CARD], ["acme"]) == [here]
    assert target.standing_places([CARD], []) == target.standing_places([], None) == []


def test_what_was_written_at_a_version_is_found_on_every_shard_in_both_tables(target: Any) -> None:
    # given rows of one version in both tables, on both shards, one beyond 64 bits, and a delete marker
    high = (1 << 100) + 1
    target.write(rows(SCORECARD, {"_version": 5}))
    target.write(rows(SCORE, {"_version": high, "event_time": JANUARY + DAY_US, "customer_id": "globex"}))
    target.write(rows(SCORE, {"_version": high - 1, "score_id": 9}))
    target.write(rows(SCORE, {"_version": 8, "score_id": 10, "_deleted": 1}))
    # then each is found by its version and by no other
    assert target.written({5, high}) == [(CARD, "acme", 5), (CARD, "globex", high)]
    assert target.written([8, 6]) == target.written([]) == []


@pytest.mark.parametrize(
    "values",
    [
        {"score": 0.1 + 0.2, "submission_source": -32768, "comment": "x'\"\\\n\t\0ü🙂", "conversation_id": 2**128 - 1},
        {"score": None, "comment": "", "agent_user_id": 1, "scorecard_time": -2_208_988_800_000_000},
        {"comment": "ü" * (1 << 20), "submitted_at": 10_413_791_999_999_999, "is_process": False},
    ],
)
def test_every_value_comes_back_as_it_was(target: Any, values: dict[str, Any]) -> None:
    target.write(rows(SCORECARD, values | {"_version": (1 << 128) - 1}))
    (row,) = target.visible(SCORECARD)
    held = dict(zip((column.name for column in SCORECARD.all_columns), row, strict=True))
    assert {name: held[name] for name in values} == values


@pytest.fixture
def engine(stack_env: dict[str, str]) -> Iterator[RealTarget]:
    """ClickHouse itself, empty, with its own ReplacingMergeTree; merged at random moments by the histories."""
    logging.disable(logging.WARNING)
    try:
        with RealTarget(config.load().clickhouse, f"contract_{uuid4().hex[:12]}") as real:
            yield real
    finally:
        logging.disable(logging.NOTSET)


def play(engine: RealTarget, seed: int) -> None:
    """A history with all faults; it ends with a comparison, a merge of everything, and another comparison."""
    engine.empty()
    run_seed(seed, Faults(rounds=3, steps=40, rows=1 + seed % 3, places=2 + seed % 4), target=engine)


def play_all(engine: RealTarget, count: int) -> None:
    for seed in range(count):
        play(engine, seed)


@pytest.mark.stack
def test_random_histories_end_equal_to_postgres_on_the_real_engine(engine: RealTarget) -> None:
    for seed in range(HISTORIES):
        play(engine, seed)


@pytest.mark.stack
def test_readers_without_final_are_noticed(engine: RealTarget) -> None:
    engine.readers_without_final()
    with pytest.raises(Violation):
        play_all(engine, 20)
