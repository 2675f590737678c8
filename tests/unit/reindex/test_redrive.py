"""Dead letters applied: what they name is reindexed, and only what was applied is settled."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from stream.kafka.dead_letters import Kept
from stream.pipeline.dead_letter import DeadLetter, Message
from stream.pipeline.stored import Key, Standing
from stream.reindex.now import Reindexed
from stream.reindex.redrive import CHUNK, Redriven, apply, faulty_of

A, B, C = (f"00000000-0000-0000-0000-0000000000{end}" for end in ("0a", "0b", "0c"))
CHAT = "00000000-0000-0000-0000-0000000000ff"


class FakePostgres:
    def __init__(self, owners: dict[str, str]) -> None:
        self.known = owners

    def owners(self, ids: Sequence[str]) -> dict[str, str]:
        return {i: self.known[i] for i in ids if i in self.known}

    def scorecards_of(self, conversations: Sequence[str]) -> list[tuple[str, str, bool]]:
        return [(CHAT, scorecard, False) for scorecard in (A, B) if CHAT in conversations]


class FakeReindex:
    def __init__(self, standing: dict[str, str] | None = None) -> None:
        self.calls: list[tuple[list[str], set[str]]] = []
        self._standing = standing or {}

    def __call__(self, ids: Sequence[str], customers: Iterable[str]) -> Reindexed:
        self.calls.append((list(ids), set(customers)))
        return Reindexed({}, 0, 0)

    def standing(self, ids: Sequence[str], customers: Sequence[str] | None) -> list[Standing]:
        assert customers is None
        return [
            Standing(Key(0, "scorecard", self._standing[i], 1, 1, 1_777_593_600_000_000), 1)
            for i in ids
            if i in self._standing
        ]


def _kept(offset: int, table: str, key: object, value: bytes | None = b"{") -> Kept:
    raw = json.dumps(key).encode() if isinstance(key, dict) else b"k"
    return Kept(0, offset, DeadLetter(Message(f"s.app.{table}", 1, 9, 0, raw, value), "not_json", "no JSON", 0))


def _apply(
    letters: Sequence[Kept], reindex: FakeReindex, *, owners: dict[str, str], bad: set[str] | None = None
) -> tuple[Redriven, list[tuple[int, int]]]:
    settled: list[tuple[int, int]] = []
    done = apply(letters, FakePostgres(owners), reindex, lambda ids: set(ids) & (bad or set()), settled.extend)
    return done, settled


def test_rows_of_letters_are_reindexed_and_the_letters_settled() -> None:
    reindex = FakeReindex()
    letters = [_kept(4, "scores", {"scorecard_id": A, "score_id": C}), _kept(5, "scorecards", {"scorecard_id": B})]
    done, settled = _apply(letters, reindex, owners={A: "acme", B: "acme"})
    assert [ids for ids, _ in reindex.calls] == [[A, B]]
    assert settled == [(0, 4), (0, 5)]
    assert done == Redriven(matching=2, settled=2, scorecards=2)


def test_a_conversation_stands_for_its_scorecards() -> None:
    reindex = FakeReindex()
    done, settled = _apply([_kept(1, "chats", {"conversation_id": CHAT})], reindex, owners={A: "acme", B: "acme"})
    assert reindex.calls[0][0] == [A, B]
    assert settled == [(0, 1)]
    assert done.scorecards == 2


def test_a_deleted_scorecard_is_retired_where_its_rows_stand() -> None:
    reindex = FakeReindex({A: "gone-ltd"})
    _apply([_kept(1, "scores", {"scorecard_id": A, "score_id": C})], reindex, owners={})
    assert reindex.calls == [([A], {"gone-ltd"})]


def test_a_letter_that_names_no_row_stays_open() -> None:
    reindex = FakeReindex()
    done, settled = _apply([_kept(1, "scores", None), _kept(2, "other", {"scorecard_id": A})], reindex, owners={})
    assert (done.unnamed, settled, reindex.calls) == (2, [], [])


def test_a_letter_whose_row_cannot_be_held_stays_open() -> None:
    letters = [_kept(offset, "scorecards", {"scorecard_id": i}) for offset, i in ((1, A), (2, B))]
    done, settled = _apply(letters, FakeReindex(), owners={A: "acme", B: "acme"}, bad={A})
    assert settled == [(0, 2)]
    assert (done.settled, done.withheld) == (1, 1)


def test_many_letters_are_applied_in_chunks() -> None:
    reindex = FakeReindex()
    letters = (_kept(offset, "scorecards", {"scorecard_id": A}) for offset in range(2 * CHUNK + 1))
    done, settled = _apply(letters, reindex, owners={A: "acme"})  # type: ignore[arg-type]
    assert (len(reindex.calls), len(settled), done.settled) == (3, 2 * CHUNK + 1, 2 * CHUNK + 1)


def test_faulty_ids_are_found_by_halves() -> None:
    asked: list[int] = []

    def any_of(ids: Sequence[str]) -> bool:
        asked.append(len(ids))
        return "700" in ids

    assert faulty_of([str(number) for number in range(1_000)], any_of) == {"700"}
    assert len(asked) < 25
