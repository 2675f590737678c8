"""What a worker that died may have begun, in messages, and what commits say of it."""

from __future__ import annotations

from stream.kafka.marks import Mark
from stream.kafka.topic_partition import TP
from stream.live.doubt import Begun, Doubts
from tests.unit.live.batches import SCORES, batch_of


def doubts(*places: int, end: int = 1_000, most: int = 20) -> Doubts:
    found = Doubts()
    found.take_over({SCORES: Begun(places, end)}, most=most)
    return found


def test_doubt_ends_with_what_a_worker_can_have_under_way() -> None:
    # given a partition whose owner died, up to offset 1,000 at most and with 20 messages at most
    found = doubts(100)
    # then this number of messages is in doubt, at any offsets, and none of other partitions
    assert [found.meets(SCORES, batch_of(15, start=start)) for start in (100, 500, 900)] == [True, True, False]
    assert not found.meets(TP("other", 0), batch_of(15))
    # and nothing behind the end
    assert not doubts(100).meets(SCORES, batch_of(15, start=1_000))


def test_what_lies_behind_a_rewind_is_in_doubt_and_what_lies_before_it_is_not_counted() -> None:
    # given an owner that died at 500 before the offset was moved back to 100
    found = doubts(100, 500)
    # then its own messages are in doubt at both places, each with its own count
    assert [found.meets(SCORES, batch_of(15, start=start)) for start in (100, 200, 300)] == [True, True, False]
    assert [found.meets(SCORES, batch_of(15, start=start)) for start in (490, 505, 520)] == [True, True, False]


def test_commits_keep_the_place_until_they_have_passed_it() -> None:
    # given a place that lies ahead
    found = doubts(100, 500)
    # then every commit before it names it, so that another death loses nothing
    assert found.mark(SCORES, 120) == Mark(begun=(500,))
    assert found.at(SCORES, 120)
    # and no commit behind it
    assert found.mark(SCORES, 501) == Mark()
    # nor any of a log that began again
    found.forget([SCORES])
    assert (found.mark(SCORES, 120), found.at(SCORES, 120)) == (Mark(), False)


def test_commits_say_how_far_the_group_once_was_until_they_have_passed_it() -> None:
    found = Doubts()
    found.take_over({SCORES: Begun((), end=0, rewound=500)}, most=20)
    assert found.mark(SCORES, 120).rewound == 500
    assert found.mark(SCORES, 500).rewound == 0
    # and what lies before that is old
    assert [found.is_old(SCORES, offset) for offset in (120, 499, 500)] == [True, True, False]
    assert not found.is_old(TP("other", 0), 120)
