"""Which offset may be committed: the lowest one whose message is not done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.committable import Held, Offsets
from stream.kafka.topic_partition import TP

SCORES = TP("scores", 3)


def fetch(offsets: Offsets, start: int, end: int, *, last: int | None = None, messages: int = 1, size: int = 0) -> int:
    last = end - 1 if last is None else last
    offsets.fetched(SCORES, start=start, end=end, last=last, messages=messages, size=size)
    return last


def test_nothing_is_committed_before_anything_is_done() -> None:
    offsets = Offsets()
    assert offsets.safe(SCORES) is None
    fetch(offsets, 100, 200)
    assert offsets.safe(SCORES) is None


def test_the_commit_waits_for_the_first_that_is_not_done() -> None:
    # given three stretches
    offsets = Offsets()
    first, second, third = fetch(offsets, 100, 200), fetch(offsets, 200, 250), fetch(offsets, 250, 260)
    # when they are done out of order
    offsets.done(SCORES, second)
    assert offsets.safe(SCORES) is None
    offsets.done(SCORES, first)
    # then the commit never passes what is not done
    assert offsets.safe(SCORES) == 250
    offsets.done(SCORES, third)
    assert offsets.safe(SCORES) == 260


def test_the_commit_passes_control_records() -> None:
    # given messages up to 110, then a transaction's marker, then a stretch without any message
    offsets = Offsets()
    last = fetch(offsets, 100, 112, last=110)
    offsets.fetched(SCORES, start=112, end=115, last=None)
    # when the messages are done
    offsets.done(SCORES, last)
    # then the commit is at the end of all stretches
    assert offsets.safe(SCORES) == 115


def test_stretches_without_messages_are_committed_by_themselves() -> None:
    offsets = Offsets()
    offsets.fetched(SCORES, start=0, end=4, last=None)
    assert offsets.safe(SCORES) == 4


def test_what_is_done_twice_or_forgotten_counts_for_nothing() -> None:
    # given a stretch that was done, and a partition that was taken away
    offsets = Offsets()
    last = fetch(offsets, 0, 10, messages=10, size=70)
    other = TP("scores", 4)
    offsets.fetched(other, start=0, end=5, last=4, messages=5, size=30)
    assert offsets.done(SCORES, last)
    offsets.forget([other])
    # then another word of either changes nothing
    assert not offsets.done(SCORES, last)
    assert not offsets.done(other, 4)
    assert offsets.safe(SCORES) == 10
    assert offsets.safe(other) is None
    assert offsets.held("scores") == Held(0, 0)


def test_a_partition_is_settled_when_nothing_of_it_is_under_way() -> None:
    # given a partition of which nothing was fetched, then a stretch and one without messages behind it
    offsets = Offsets()
    assert offsets.settled(SCORES) is None
    last = fetch(offsets, 100, 112, last=110)
    offsets.fetched(SCORES, start=112, end=115, last=None)
    # then it is settled when that is done, at the end of all
    assert offsets.settled(SCORES) is None
    offsets.done(SCORES, last)
    assert offsets.settled(SCORES) == 115
    # and not when it is not ours any more
    offsets.forget([SCORES])
    assert offsets.settled(SCORES) is None


def test_what_is_left_aside_is_held_no_more_and_still_keeps_the_commit() -> None:
    offsets = Offsets()
    first, second = fetch(offsets, 0, 10, messages=10, size=100), fetch(offsets, 10, 20, messages=10, size=100)
    offsets.leave_aside(SCORES, first)
    offsets.done(SCORES, second)
    assert offsets.held("scores") == Held(0, 0)
    assert (offsets.safe(SCORES), offsets.settled(SCORES)) == (None, None)
    offsets.done(SCORES, first)
    assert (offsets.safe(SCORES), offsets.held("scores")) == (20, Held(0, 0))
    offsets.leave_aside(SCORES, first)
    offsets.leave_aside(TP("other", 0), 9)


def test_letters_that_wait_keep_the_bytes_of_their_batch_held() -> None:
    # given a batch that is left aside, whose dead letters stay in memory
    offsets = Offsets()
    first = fetch(offsets, 0, 10, messages=10, size=100)
    offsets.leave_aside(SCORES, first, in_memory=True)
    # then its bytes count until it is done, and its messages do not
    assert offsets.held("scores") == Held(0, 100)
    offsets.done(SCORES, first)
    assert offsets.held("scores") == Held(0, 0)


def test_after_a_step_back_the_commit_steps_back_too() -> None:
    # given two stretches, fetched again with other bounds before the second is done
    offsets = Offsets()
    first, second = fetch(offsets, 0, 10, messages=10), fetch(offsets, 10, 20, messages=10)
    offsets.done(SCORES, first)
    again = fetch(offsets, 0, 20, messages=20)
    assert again == second
    # then nothing is safe until that is done as well
    assert offsets.safe(SCORES) is None
    offsets.done(SCORES, again)
    assert offsets.safe(SCORES) == 20
    assert offsets.held("scores") == Held(0, 0)


@given(st.data())
def test_the_commit_never_passes_an_undone_message(data: st.DataObject) -> None:
    # given any stretches, with holes, done in any order
    offsets = Offsets()
    position, undone = 0, {}
    for _ in range(data.draw(st.integers(1, 12))):
        start, length, hole = position, data.draw(st.integers(1, 5)), data.draw(st.integers(0, 3))
        position = start + length + hole
        offsets.fetched(SCORES, start=start, end=position, last=start + length - 1, messages=length)
        undone[start + length - 1] = start
    order = data.draw(st.permutations(sorted(undone)))
    for last in order:
        assert offsets.done(SCORES, last)
        del undone[last]
        safe = offsets.safe(SCORES) or 0
        # then the offset to commit is the start of the first that is not done, or the end
        assert safe == min(undone.values(), default=position)
    assert offsets.held("scores").messages == 0
