"""The Settler: scorecards stand in ClickHouse where Postgres has them, even if they move while it writes."""

from __future__ import annotations

from stream.pipeline.ledger import Counts
from stream.pipeline.ordering import above
from stream.pipeline.placement import GONE
from stream.pipeline.settle import Settler
from stream.pipeline.writes import Layout
from stream.tables import TARGETS
from tests.fakes import DAY_US, FakeClickHouse, FakePostgres

CARD = "5c000000-0000-4000-8000-000000000000"
SCORE = "50000000-0000-4000-8000-000000000000"
JANUARY = 1_767_225_600_000_000
FEBRUARY = JANUARY + 31 * DAY_US


class Bench:
    """A process scorecard with one score in Postgres, an empty ClickHouse, and steps between two calls."""

    def __init__(self) -> None:
        self.before: dict[str, list[object]] = {}
        self.postgres = FakePostgres(on_call=self._on_call)
        self.target = FakeClickHouse(on_call=self._on_call)
        self.settler = Settler(source=self.postgres, target=self.target, layout=Layout(shards=2, bucket_days=1))
        self.counts = Counts()
        with self.postgres.begin() as tx:
            tx.insert("scorecards", CARD, scorecard_time=JANUARY)
            tx.insert("scores", SCORE, scorecard_id=CARD)

    def _on_call(self, name: str) -> None:
        if steps := self.before.get(name):
            step = steps.pop(0)
            step()  # type: ignore[operator]

    def reindex(self, version: int) -> dict[str, object]:
        return self.settler.reindex({CARD: version}, set(), self.counts)  # type: ignore[return-value]

    def is_equal(self) -> bool:
        return all(self.target.visible(table) == self.postgres.expected(table) for table in TARGETS)


def test_a_reindex_writes_a_scorecard_with_its_scores() -> None:
    bench = Bench()
    places = bench.settler.reindex({CARD: 7}, set(), bench.counts)
    assert places[CARD].event_time_us == JANUARY
    assert (bench.counts.rows, bench.counts.reindexed, bench.counts.moved) == (2, 1, 0)
    assert bench.is_equal()


def test_what_moves_between_write_and_confirmation_is_written_again() -> None:
    # given a scorecard that moves to February once it was written to January
    bench = Bench()
    places = bench.settler.reindex({CARD: 7}, set(), bench.counts)
    bench.postgres.update("scorecards", CARD, scorecard_time=FEBRUARY)
    # when it is confirmed
    at_rest = bench.settler.confirm(places, {CARD: 8}, set(), bench.counts)
    # then it stands in February alone, and the places say so
    assert (at_rest, bench.counts.moved, places[CARD].event_time_us) == (True, 1, FEBRUARY)
    assert bench.is_equal()


def test_confirmation_ends_after_its_rounds_when_a_scorecard_never_rests() -> None:
    # given a scorecard that moves each time it was read
    bench = Bench()
    places = bench.settler.reindex({CARD: 7}, set(), bench.counts)
    times = iter(range(1, 100))
    bench.before["places"] = [
        lambda: bench.postgres.update("scorecards", CARD, scorecard_time=JANUARY + next(times) * DAY_US)
    ] * 50
    # when it is confirmed in three rounds
    at_rest = bench.settler.confirm(places, {CARD: 8}, set(), bench.counts, rounds=3)
    # then the caller learns that it still moves
    assert (at_rest, bench.counts.moved) == (False, 3)


def test_a_standing_row_raises_only_the_scorecards_whose_order_is_not_known() -> None:
    # given a scorecard that stands at version 70
    bench = Bench()
    bench.reindex(70)
    # when its message tells no order, then it goes above that row; when it does, its own version stays
    for ids, anywhere, wanted in (({CARD}, set(), above(70)), (set(), {CARD}, 8)):
        versions = {CARD: 8}
        bench.settler.raise_to_standing(versions, ids, set(), anywhere=anywhere)
        assert versions == {CARD: wanted}
    # and a version is never lowered
    versions = {CARD: 800}
    bench.settler.raise_to_standing(versions, {CARD}, set())
    assert versions == {CARD: 800}


def test_a_deleted_scorecard_is_retired() -> None:
    bench = Bench()
    bench.reindex(7)
    bench.postgres.delete("scores", SCORE)
    bench.postgres.delete("scorecards", CARD)
    places = bench.settler.reindex({CARD: 8}, {"acme"}, bench.counts)
    assert places == {CARD: GONE}
    assert bench.target.visible_keys() == []


def test_undo_reindexes_only_what_stands_where_it_does_not_belong() -> None:
    # given a scorecard whose rows a crashed worker left in January, after it had moved to February
    bench = Bench()
    bench.reindex(7)
    bench.settler.undo({CARD: 7}, set(), bench.counts)
    assert bench.counts.reindexed == 1
    bench.postgres.update("scorecards", CARD, scorecard_time=FEBRUARY)
    # when a worker takes its messages over
    bench.settler.undo({CARD: 8}, set(), bench.counts)
    # then the scorecard is in February alone
    assert bench.counts.reindexed == 2
    assert bench.is_equal()


def test_what_was_written_at_a_conversations_version_is_found_by_it() -> None:
    # given rows at version 7 of a scorecard that is gone since
    bench = Bench()
    bench.reindex(7)
    bench.postgres.delete("scores", SCORE)
    bench.postgres.delete("scorecards", CARD)
    # when only the version is known, and not the scorecard
    bench.settler.undo_left({7}, set(), bench.counts)
    # then its rows are retired; a scorecard that is known already is left alone
    assert bench.target.visible_keys() == []
    bench.settler.undo_left({7}, {CARD}, bench.counts)


def test_rows_of_a_crashed_worker_are_looked_up_as_postgres_spells_their_ids() -> None:
    # given text ids in upper case, and rows that a worker wrote for a conversation's change before it crashed
    bench = Bench()
    card, score = "5C000000-0000-4000-8000-00000000000F", "50000000-0000-4000-8000-00000000000F"
    with bench.postgres.begin() as tx:
        tx.insert("scorecards", card, scorecard_time=JANUARY)
        tx.insert("scores", score, scorecard_id=card)
    bench.settler.reindex({CARD: 7, card: 7}, set(), bench.counts)
    # when the next worker looks for them, whether or not the conversation still names the scorecard
    for known in ([card], []):
        bench.settler.undo_left({7}, known, bench.counts)
        # then the rows still stand
        assert bench.is_equal()
    # and only what the conversation does not name is reindexed
    bench.counts.reindexed = 0
    bench.settler.undo_left({7}, [CARD, card], bench.counts)
    assert bench.counts.reindexed == 0
