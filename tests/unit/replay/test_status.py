"""The rate at which the newest replay ran, for the estimate of the next one."""

from __future__ import annotations

from stream.replay.plan import MemberReport, Pass, ReplayPlan
from stream.replay.state import Replay
from stream.replay.status import last_rate


def replay(*members: MemberReport) -> Replay:
    plan = ReplayPlan(name="r", group="g", created_ms=0, tables=(), main=Pass("main", ()), ends=())
    return Replay(plan, members={each.member: each for each in members})


def report(member: str, *, began_s: float, at_s: float, done: int) -> MemberReport:
    return MemberReport(
        member=member, host="h", pid=1, began_ms=int(1000 * began_s), at_ms=int(1000 * at_s), reindexed=done
    )


def test_the_rate_is_that_of_all_processes_of_the_newest_replay() -> None:
    # given an old replay, and a newer one whose second process began later
    old = replay(report("a", began_s=0, at_s=10, done=1_000_000))
    new = replay(report("a", began_s=20, at_s=40, done=300_000), report("b", began_s=25, at_s=40, done=100_000))
    # when the rate is asked for, then it is what the newer one did from its first start to its end
    assert last_rate([new, old]) == 20_000


def test_a_replay_that_was_too_short_tells_nothing() -> None:
    assert last_rate([]) is None
    assert last_rate([replay(), replay(report("a", began_s=0, at_s=1, done=50_000))]) is None
    assert last_rate([replay(report("a", began_s=0, at_s=9, done=10))]) is None
