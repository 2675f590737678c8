"""A replay's plan: lanes, what is left, which pass comes next, and its filter."""

import msgspec
import pytest

from stream.kafka.offsets import TP
from stream.pipeline.placement import GONE, Place, State
from stream.replay.plan import Filter, Pass, Plan, Span

CARDS, SCORES, CHATS = "p.app.scorecards", "p.app.scores", "p.app.chats"


def plan(**options):
    main = Pass("main", (Span(CARDS, 0, 10, 20), Span(SCORES, 0, 0, 100), Span(SCORES, 1, 5, 5)))
    ends = (Span(CHATS, 0, 0, 7), Span(CARDS, 0, 0, 20), Span(SCORES, 0, 0, 100), Span(SCORES, 1, 0, 5))
    return Plan(name="r", group="g", created_ms=1, tables=("scorecards", "scores"), main=main, ends=ends, **options)


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
    made = plan(filter=Filter(customers=("acme",), kind="process"), rate=5)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Plan) == made


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (Filter(customers=("acme",)), True),
        (Filter(customers=("other",)), False),
        (Filter(kind="process"), True),
        (Filter(kind="conversation"), False),
        (Filter(start_us=100), True),
        (Filter(start_us=101), False),
        (Filter(end_us=100), False),
        (Filter(end_us=101), True),
    ],
)
def test_the_filter_goes_by_place(wanted, kept):
    keep = wanted.keep()
    assert keep is not None
    assert keep(Place(State.VISIBLE, "acme", 100, True)) is kept
    assert keep(GONE)  # its delete must be applied


def test_no_filter_keeps_all():
    assert Filter().keep() is None
    assert Filter(customers=("a",), start_us=1).of_customers() == Filter(customers=("a",))
