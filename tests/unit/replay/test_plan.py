"""A replay's plan: lanes, what is left, which pass comes next, and its filter."""

import msgspec
import pytest

from stream.kafka.topic_partition import TP
from stream.pipeline.placement import GONE, Place, State
from stream.replay.choose import keep
from stream.replay.plan import Pass, ReplayPlan, Span
from stream.scope import Scope

CARDS, SCORES, CHATS = "p.app.scorecards", "p.app.scores", "p.app.chats"


def plan(**options):
    main = Pass("main", (Span(CARDS, 0, 10, 20), Span(SCORES, 0, 0, 100), Span(SCORES, 1, 5, 5)))
    ends = (Span(CHATS, 0, 0, 7), Span(CARDS, 0, 0, 20), Span(SCORES, 0, 0, 100), Span(SCORES, 1, 0, 5))
    return ReplayPlan(
        name="r", group="g", created_ms=1, tables=("scorecards", "scores"), main=main, ends=ends, **options
    )


def test_equal_partition_numbers_are_one_lane_and_empty_spans_are_none():
    assert {lane: len(spans) for lane, spans in plan().main.lanes().items()} == {0: 2}
    assert plan().main.messages == 110


def test_what_is_left_starts_at_the_committed_offset():
    main = plan().main
    left = main.undone({TP(CARDS, 0): 20, TP(SCORES, 0): 40})
    assert left == {0: [Span(SCORES, 0, 40, 100)]}
    assert main.done({TP(CARDS, 0): 20, TP(SCORES, 0): 40}) == 50
    assert main.undone({TP(CARDS, 0): 20, TP(SCORES, 0): 100}) == {}
    # an offset of before the start, as a group may have, is no progress
    assert main.undone({TP(CARDS, 0): 3})[0][0] == Span(CARDS, 0, 10, 20)
    assert main.done({TP(CARDS, 0): 3}) == 0


def test_the_tail_reads_all_topics_from_where_the_main_pass_ended():
    made = plan()
    ends = {TP(CHATS, 0): 9, TP(CARDS, 0): 25, TP(SCORES, 0): 100, TP(SCORES, 1): 6}
    tail = made.next_pass([made.main], ends)
    assert tail is not None
    assert tail.kind == "tail"
    assert set(tail.spans) == {Span(CHATS, 0, 7, 9), Span(CARDS, 0, 20, 25), Span(SCORES, 1, 5, 6)}
    assert made.next_pass([made.main, tail], ends) is None


def test_a_shadow_follows_with_all_changes():
    made = plan(into="green")
    follow = made.next_pass([made.main], {TP(SCORES, 0): 101})
    assert follow == Pass("follow", (Span(SCORES, 0, 100, 101),))


def test_nothing_follows_when_nothing_came():
    made = plan()
    assert made.next_pass([made.main], {span.tp: span.end for span in made.ends}) is None


def test_a_plan_survives_the_topic():
    made = plan(scope=Scope(customers=("acme",), kind="process"), rate=5)
    kept = msgspec.json.encode(made)
    assert msgspec.json.decode(kept, type=ReplayPlan) == made
    assert msgspec.json.decode(kept)["filter"] == {"customers": ["acme"], "kind": "process"}


def test_a_plan_of_an_older_release_is_read():
    held = msgspec.json.decode(msgspec.json.encode(plan()))
    held["filter"] = {"customers": ["acme"], "start_us": None, "end_us": 5, "kind": "all"}
    assert msgspec.json.decode(msgspec.json.encode(held), type=ReplayPlan).scope == Scope(customers=("acme",), end_us=5)


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (Scope(customers=("acme",)), True),
        (Scope(customers=("other",)), False),
        (Scope(kind="process"), True),
        (Scope(kind="conversation"), False),
        (Scope(start_us=100), True),
        (Scope(start_us=101), False),
        (Scope(end_us=100), False),
        (Scope(end_us=101), True),
    ],
)
def test_the_filter_goes_by_place(wanted, kept):
    wants = keep(wanted)
    assert wants is not None
    assert wants(Place(State.VISIBLE, "acme", 100, True)) is kept
    assert wants(GONE)  # its delete must be applied


def test_no_filter_keeps_all():
    assert keep(Scope()) is None
    assert Scope(customers=("a",), start_us=1).of_customers() == Scope(customers=("a",))
