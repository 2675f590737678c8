"""Very many rows: in groups and pieces that memory can hold, and right though the scorecard moves meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from stream.pipeline import reindexer
from stream.pipeline.ledger import Counts
from stream.pipeline.placement import GONE, Place
from stream.pipeline.reindexer import in_order_of_target
from stream.pipeline.settle import Settler
from stream.pipeline.writes import Layout, Writes
from stream.tables import TARGETS
from tests.fakes import DAY_US, FakeClickHouse, FakePostgres

JANUARY = 1_767_225_600_000_000
FEBRUARY = JANUARY + 31 * DAY_US
AT_ONCE = 10
SCORES = 60


def card(number: int) -> str:
    return str(UUID(int=1 << 100 | number))


class Bench:
    """Scorecards with many scores each, and stores that say how many rows each look had."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, cards: int = 1, scores: int = SCORES) -> None:
        monkeypatch.setattr(reindexer, "ROWS_AT_ONCE", AT_ONCE)
        self.looks = 0
        self.before: dict[int, Callable[[], object]] = {}
        self.postgres = FakePostgres(on_call=self._on_call)
        self.target = FakeClickHouse(on_call=lambda _name: None)
        self.settler = Settler(source=self.postgres, target=self.target, layout=Layout(shards=2, bucket_days=1))
        self.counts = Counts()
        self.cards = [card(number) for number in range(cards)]
        with self.postgres.begin() as tx:
            for number, each in enumerate(self.cards):
                tx.insert("scorecards", each, scorecard_time=JANUARY)
                for score in range(scores):
                    tx.insert("scores", str(UUID(int=1 << 90 | number << 20 | score * 7)), scorecard_id=each)

    def _on_call(self, name: str) -> None:
        if name == "snapshot":
            self.looks += 1
            self.before.pop(self.looks, lambda: None)()

    def reindex(self, version: int) -> dict[str, Place]:
        return self.settler.reindex(dict.fromkeys(self.cards, version), set(), self.counts)

    def differences(self) -> list[str]:
        return [t.target for t in TARGETS if self.target.visible(t) != self.postgres.expected(t)]


def test_a_large_scorecard_moves_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a scorecard with more scores than one look may have, and its rows in January
    bench = Bench(monkeypatch)
    largest = 0
    write = bench.target.write

    def measured(writes: Writes) -> None:
        nonlocal largest
        largest = max(largest, writes.rows)
        write(writes)

    monkeypatch.setattr(bench.target, "write", measured)
    bench.reindex(7)
    bench.postgres.update("scorecards", bench.cards[0], scorecard_time=FEBRUARY)
    # when it is reindexed
    places = bench.reindex(8)
    # then all stands in February, and no insert had more than a piece and its markers
    assert bench.differences() == []
    assert places[bench.cards[0]].event_time_us == FEBRUARY
    assert largest <= 2 * (AT_ONCE + 1)


def test_scorecards_that_are_too_many_together_go_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, cards=8, scores=4)
    places = bench.reindex(7)
    assert bench.differences() == []
    assert list(places) == bench.cards
    assert bench.looks == 1 + 4, "all at once, which are too many; then two and two, of five rows each"


def test_a_large_one_among_small_ones_costs_them_no_look_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, cards=4, scores=2)
    for score in range(SCORES):
        bench.postgres.insert("scores", str(UUID(int=1 << 91 | score)), scorecard_id=bench.cards[1])
    left: dict[str, int] = {}
    places = bench.settler.reindex(dict.fromkeys(bench.cards, 7), set(), bench.counts, aside=left)
    assert (list(places), left) == ([card(0), card(2), card(3)], {card(1): 7})
    assert bench.looks == 1 + 2
    bench.settler.reindex(left, set(), bench.counts)
    assert bench.differences() == []


def test_many_are_looked_at_in_the_order_of_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reindexer, "CHUNK", 2)
    bench = Bench(monkeypatch, cards=5, scores=1)
    places = bench.settler.reindex(dict.fromkeys(reversed(bench.cards), 7), set(), bench.counts)
    assert list(places) == bench.cards
    ids = [str(UUID(int=high << 64 | low)) for high, low in ((9, 1), (2, 2), (1, 1), (1, 2**63))]
    assert in_order_of_target(ids) == [ids[2], ids[0], ids[1], ids[3]], "the second half decides, as in ClickHouse"


def test_a_large_scorecard_that_is_gone_is_retired(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.reindex(7)
    for score in list(bench.postgres.rows["scores"]):
        bench.postgres.delete("scores", score)
    bench.postgres.delete("scorecards", bench.cards[0])
    bench.settler.reindex({bench.cards[0]: 8}, {"customer-0", "spirit", *_customers(bench)}, bench.counts)
    assert bench.differences() == []


def test_scorecards_that_are_gone_cost_no_look_at_postgres_and_one_at_clickhouse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given five scorecards that are deleted, of two at once that exist, and of eight at once that do not
    monkeypatch.setattr(reindexer, "CHUNK", 2)
    monkeypatch.setattr(reindexer, "GONE_CHUNK", 8)
    bench = Bench(monkeypatch, cards=5, scores=1)
    bench.reindex(7)
    customers = _customers(bench)
    for each in bench.cards:
        bench.postgres.delete("scorecards", each)
    bench.postgres.calls.clear()
    bench.target.calls.clear()
    # when they are reindexed by one who knows that they are gone
    versions = dict.fromkeys(bench.cards, 8)
    places = bench.settler.reindex(versions, customers, bench.counts, gone=set(bench.cards))
    # then each shard is asked once for both tables, and each table of a shard has one insert
    assert set(places.values()) == {GONE}
    assert bench.postgres.calls.total() == 0
    assert bench.target.calls == {"standing": 2 * len(TARGETS), "write": len(TARGETS)}
    assert bench.differences() == []


def test_those_that_are_gone_and_left_many_scores_go_in_smaller_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reindexer, "CHUNK", 3)
    monkeypatch.setattr(reindexer, "GONE_CHUNK", 6)
    bench = Bench(monkeypatch, cards=6, scores=4)
    for score in range(SCORES):
        bench.postgres.insert("scores", str(UUID(int=1 << 91 | score)), scorecard_id=bench.cards[1])
    bench.reindex(7)
    customers = _customers(bench)
    for each in bench.cards:
        bench.postgres.delete("scorecards", each)
    left: dict[str, int] = {}
    places = bench.settler.reindex(
        dict.fromkeys(bench.cards, 8), customers, bench.counts, gone=set(bench.cards), aside=left
    )
    assert (set(places) | left.keys(), left) == (set(bench.cards), {card(1): 8})
    bench.settler.reindex(left, customers, bench.counts, gone=left.keys())
    assert bench.differences() == []


def _customers(bench: Bench) -> set[str]:
    return {key.customer_id for key in bench.target.states}


@pytest.mark.parametrize("looks", range(2, 12))
def test_a_scorecard_that_moves_between_two_pieces_stands_in_one_place(
    monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    # given a scorecard that moves away during a reindex, and back before it is confirmed
    bench = Bench(monkeypatch)
    move = bench.postgres.update
    bench.before[looks] = lambda: move("scorecards", bench.cards[0], scorecard_time=FEBRUARY)
    bench.before[looks + 2] = lambda: move("scorecards", bench.cards[0], scorecard_time=JANUARY)
    # when it is reindexed and confirmed
    places = bench.reindex(7)
    assert bench.settler.confirm(places, {bench.cards[0]: 7}, set(), bench.counts)
    # then no piece is left where it went in between
    assert bench.differences() == []


def test_pieces_that_are_too_large_are_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, scores=AT_ONCE * 10)
    bench.reindex(7)
    assert bench.differences() == []
    assert bench.counts.reindexed == 1
