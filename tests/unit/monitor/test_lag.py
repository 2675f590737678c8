"""stream/monitor/lag.py: seconds, rates and verdicts of one partition."""

from __future__ import annotations

from stream.monitor.lag import LagLimits, PartitionLag, PartitionLook, Track, Verdict

HELD = "10.0.0.1 (scorestream)"


def look(
    at: float, committed: int | None, end: int, *, next_at: float | None = None, holder: str | None = HELD
) -> PartitionLook:
    waiting = next_at is not None
    return PartitionLook(at, 0, end, committed, waiting, next_at, holder)


def follow(looks: list[PartitionLook], *, reached: int | None = None) -> list[PartitionLag]:
    track = Track(LagLimits(), reached=reached)
    return [track.add(each) for each in looks]


def test_an_idle_partition_is_ok_and_zero_however_long() -> None:
    for lag in follow([look(at, 100, 100) for at in range(0, 4000, 100)]):
        assert (lag.messages, lag.seconds, lag.drain_s, lag.verdict) == (0, 0.0, 0.0, Verdict.OK)


def test_a_transaction_marker_at_the_end_is_no_lag() -> None:
    # given an end that is one past the committed offset, and no message there
    (lag,) = follow([look(0, 100, 101)])
    assert (lag.messages, lag.seconds, lag.raw) == (0, 0.0, 1)


def test_seconds_grow_by_one_each_second_while_nothing_moves() -> None:
    lags = follow([look(at, 100, 150, next_at=5.0) for at in range(6, 20)])
    assert [lag.seconds for lag in lags] == [float(at - 5) for at in range(6, 20)]


def test_stall_is_told_with_the_time_since_when() -> None:
    # given a partition that moved until 10, and a message of 11 that is not taken
    looks = [look(at, at * 10, at * 10) for at in range(0, 11, 2)]
    looks += [look(at, 100, 150, next_at=11.0) for at in range(12, 26, 2)]
    lags = follow(looks)
    assert [lag.verdict for lag in lags[-7:-2]] == [Verdict.OK] * 5
    assert (lags[-2].verdict, lags[-1].verdict) == (Verdict.STALL, Verdict.STALL)
    assert lags[-1].since == 11.0


def test_stop_needs_no_past_when_nobody_holds_it() -> None:
    (lag,) = follow([look(100, 10, 20, next_at=60.0, holder="")])
    assert (lag.verdict, lag.since) == (Verdict.STOP, 60.0)


def test_a_slow_worker_is_not_stuck_at_the_first_look() -> None:
    (lag,) = follow([look(100, 10, 20, next_at=0.0)])
    assert lag.verdict is Verdict.OK
    assert lag.seconds == 100


def test_warn_when_late_and_not_getting_less() -> None:
    # given a backlog whose head is always 20 s old, and a committed offset that moves
    lags = follow([look(at, at * 10, at * 10 + 200, next_at=at - 20.0) for at in range(100, 140, 2)])
    assert lags[10].verdict is Verdict.OK
    assert lags[-1].verdict is Verdict.WARN


def test_catching_up_is_ok_and_says_when_it_is_done() -> None:
    lags = follow([look(at, at * 100, 10_000 + at, next_at=at - 60.0 + at / 10) for at in range(0, 40, 2)])
    last = lags[-1]
    assert last.verdict is Verdict.OK
    assert last.velocity is not None
    assert round(last.velocity) == -99
    assert last.drain_s is not None
    assert abs(last.drain_s - last.messages / 99) < 0.1


def test_a_rewind_is_no_lag_and_ends_where_it_was() -> None:
    # given a group that had everything, and goes back by 800
    track = Track(LagLimits())
    track.add(look(0, 1000, 1000))
    assert track.next_offset(start=0, end=1000, committed=200) == 1000
    back = track.add(look(2, 200, 1000))
    assert (back.verdict, back.rewound, back.messages, back.seconds) == (Verdict.REWIND, 800, 0, 0.0)
    again = track.add(look(4, 1000, 1000))
    assert (again.verdict, again.rewound) == (Verdict.OK, 0)


def test_a_rewind_is_known_to_a_monitor_that_started_later() -> None:
    (lag,) = follow([look(0, 200, 1000)], reached=1000)
    assert lag.verdict is Verdict.REWIND


def test_a_topic_made_anew_begins_anew() -> None:
    lags = follow([look(0, 1000, 1000), look(2, None, 10, next_at=1.0), look(4, 10, 10)])
    assert lags[1].rewound == 0
    assert (lags[2].verdict, lags[2].messages) == (Verdict.OK, 0)


def test_a_group_without_commits_is_behind_from_the_start_of_the_log() -> None:
    (lag,) = follow([PartitionLook(50, 30, 40, None, True, 45.0, HELD)])
    assert (lag.messages, lag.seconds) == (10, 5.0)


def test_messages_that_left_the_log_are_lost() -> None:
    (lag,) = follow([PartitionLook(50, 30, 40, 10, True, 45.0, HELD)])
    assert lag.lost == 20


def test_the_first_commits_of_a_new_group_count_in_its_rate() -> None:
    assert follow([look(0, None, 100, next_at=0), look(10, 50, 100, next_at=0)])[-1].consumed_per_s == 5


def test_a_committed_offset_behind_the_end_is_told() -> None:
    # given a topic that was created again while the group's offset stayed
    lags = follow([look(0, 100, 100), look(2, 100, 3), look(4, 100, 3), look(6, 100, 40)])
    # then one look proves nothing, for ends and offsets are not read at one moment
    assert [lag.verdict for lag in lags] == [Verdict.OK, Verdict.OK, Verdict.AHEAD, Verdict.AHEAD]
    assert lags[-1].since == 2
    # and it ends when the log has passed the offset, or the offset was moved
    assert follow([look(0, 100, 3), look(2, 100, 3), look(4, 2, 3)])[-1].verdict is not Verdict.AHEAD


def test_a_commit_between_the_two_questions_is_no_fault() -> None:
    # given ends that were read just before the group committed further, at each look
    lags = follow([look(at, 100 + 10 * at, 95 + 10 * at) for at in range(0, 10, 2)])
    assert {lag.verdict for lag in lags} == {Verdict.OK}
