"""The rate at which the newest replay ran, for the estimate of the next one."""

from __future__ import annotations

from stream.replay.plan import Heartbeat, Pass, ReplayPlan
from stream.replay.state import Replay
from stream.replay.status import last_rate


def replay(*members: Heartbeat) -> Replay:
    plan = ReplayPlan(name="r", group="g", created_ms=0, tables=(), main=Pass("main", ()), ends=())
    return Replay(plan, members={each.member: each for each in members})


def beat(member: str, *, began_s: float, at_s: float, done: int) -> Heartbeat:
    return Heartbeat(
        member=member, host="h", pid=1, began_ms=int(1000 * began_s), at_ms=int(1000 * at_s), reindexed=done
    )


def test_the_rate_is_that_of_all_processes_of_the_newest_replay() -> None:
    # given an old replay, and a newer one whose second process began later
    old = replay(beat("a", began_s=0, at_s=10, done=1_000_000))
    new = replay(beat("a", began_s=20, at_s=40, done=300_000), beat("b", began_s=25, at_s=40, done=100_000))
    # when the rate is asked for, then it is what the newer one did from its first start to its end
    assert last_rate([new, old]) == 20_000


def test_a_replay_that_was_too_short_tells_nothing() -> None:
    assert last_rate([]) is None
    assert last_rate([replay(), replay(beat("a", began_s=0, at_s=1, done=50_000))]) is None
    assert last_rate([replay(beat("a", began_s=0, at_s=9, done=10))]) is None
