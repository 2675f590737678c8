"""The live mix: what each change says must be seen, and that sessions leave a sampled scorecard alone."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import nullcontext

import pytest

from stream.settings_sections import ClickHouseSettings
from testbed.traffic.changes import EVERYTHING, correct_start
from testbed.traffic.customers import AUTO, MANUAL
from testbed.traffic.seen import Seen
from testbed.traffic.session import Session
from testbed.traffic.workload import Card, Workload
from testbed.visibility.prober import Prober, _Row, is_visible


class FakeConnection:
    """Takes statements; keeps nothing but their first words."""

    def __init__(self):
        self.statements = Counter()

    def execute(self, statement, values):
        assert statement.count(b"%s") == len(values)
        self.statements[statement.split()[0].decode()] += 1

    def transaction(self):
        return nullcontext()


def workload(cards: int = 400) -> Workload:
    def card(number: int, conversation: str | None) -> Card:
        return Card(
            "c", f"card-{conversation}-{number}", conversation and f"{conversation}-{number}", [f"s{number}"] * 9, "t"
        )

    return Workload(
        ordinary=[card(n, "chat") for n in range(cards)],
        process=[card(n, None) for n in range(cards // 4)],
        appeals=[card(n, "appeal") for n in range(cards // 4)],
        waiting=[card(n, "late") for n in range(10)],
        templates={("c", AUTO): ["t"], ("c", MANUAL): ["m"]},
    )


def test_the_mix_has_every_kind_of_change():
    # given
    session = Session(FakeConnection(), workload(), share=0, of=1, seed=1, mix=EVERYTHING)
    # when
    written = [session.write(now_s=at / 50) for at in range(3_000)]
    # then
    kinds = Counter(each.seen.kind for each in written if each.seen is not None)
    moves = {"appeal filed", "appeal withdrawn", "process moved", "start corrected", "chat late"}
    assert set(kinds) == moves | {"update", "insert", "delete"}
    assert 4 < sum(each.changes for each in written) / len(written) < 9
    assert {"INSERT", "UPDATE", "DELETE"} <= set(session.connection.statements)


def test_sessions_share_no_scorecard():
    work = workload()
    shares = [Session(FakeConnection(), work, share=n, of=3, seed=1, mix=EVERYTHING) for n in range(3)]
    held = [card.scorecard_id for session in shares for card in (*session.ordinary, *session.process, *session.appeals)]
    assert len(held) == len(set(held)) == 400 + 100 + 100


def test_a_scorecard_that_was_set_aside_is_not_touched_again():
    # given
    session = Session(FakeConnection(), workload(), share=0, of=1, seed=2, mix=EVERYTHING)
    aside: set[str] = set()
    for at in range(2_000):
        # when
        written = session.write(now_s=at / 50)
        # then
        if written.seen is not None:
            assert written.seen.card.scorecard_id not in aside
            if random.Random(at).random() < 0.1:
                session.set_aside(written.seen.card)
                aside.add(written.seen.card.scorecard_id)
    left = {card.scorecard_id for held in (session.ordinary, session.process, session.appeals) for card in held}
    assert aside
    assert not aside & left


def test_a_start_of_a_shared_conversation_is_not_sampled():
    work = workload(cards=8)
    work.shared = {card.conversation_id for card in work.ordinary}
    session = Session(FakeConnection(), work, share=0, of=1, seed=3, mix=EVERYTHING)
    assert correct_start(session, 0).seen is None


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], False),
        ([_Row(event_us=5, updated_us=9)], False),  # the old state
        ([_Row(event_us=5, updated_us=10)], True),
        ([_Row(event_us=5, updated_us=11)], True),  # a later change hides the one that is looked for
        ([_Row(event_us=5, updated_us=10), _Row(event_us=6, updated_us=10)], False),  # seen twice is wrong
    ],
)
def test_an_update_is_visible_when_one_row_has_its_time(rows, expected):
    seen = Seen("update", Card("c", "s", None, [], "t"), updated_us=10)
    assert is_visible(seen, rows) is expected


def test_a_delete_is_visible_when_no_row_is_left_and_a_move_when_the_row_is_in_its_place():
    card = Card("c", "s", None, [], "t")
    assert is_visible(Seen("delete", card), [])
    assert not is_visible(Seen("delete", card), [_Row(1, 1)])
    assert is_visible(Seen("process moved", card, event_us=7), [_Row(7, 1)])
    assert not is_visible(Seen("process moved", card, event_us=7), [_Row(6, 1)])


def test_what_a_prober_has_not_seen_when_it_stops_was_never_seen(tmp_path):
    prober = Prober(ClickHouseSettings(), tmp_path / "worker.log")
    seen = Seen("delete", Card("c", "s", None, [], "t"))
    prober.add(seen, 0.0)
    assert prober.pending == 1
    prober.stop()
    assert prober.never == [seen]
    assert prober.pending == 0
