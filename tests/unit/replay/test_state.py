"""What a replay's state is, from what its topic says."""

import time
from types import SimpleNamespace

import msgspec
import pytest

from stream.errors import UsageError
from stream.kafka.log_reader import Stretch
from stream.kafka.topic_partition import TP
from stream.replay.make_plan import check_name
from stream.replay.plan import MemberReport, Pass, ReplayControl, ReplayPlan, ReplayResult, Span
from stream.replay.state import Replay, _replays, check_kept
from stream.replay.status import line, summary
from stream.replay.work import subset

SPAN = Span("p.app.scores", 0, 0, 100)
PLAN = ReplayPlan(name="r", group="g", created_ms=1, tables=("scores",), main=Pass("main", (SPAN,)), ends=(SPAN,))


def report(**options):
    # Parameters are made at collection, and used so much later that a report of then would be stale.
    now = int(time.time() * 1000) + 3_600_000
    return MemberReport(**({"member": "m", "host": "h", "pid": 1, "at_ms": now, "began_ms": now} | options))


@pytest.mark.parametrize(
    ("replay", "state"),
    [
        (Replay(PLAN), "stopped"),
        (Replay(PLAN, members={"m": report()}), "running"),
        (Replay(PLAN, members={"m": report(at_ms=1)}), "stopped"),
        (Replay(PLAN, members={"m": report(ended=True)}), "stopped"),
        (Replay(PLAN, control=ReplayControl("paused")), "paused"),
        (Replay(PLAN, control=ReplayControl("paused"), members={"m": report()}), "pausing"),
        (Replay(PLAN, control=ReplayControl("cancelled")), "cancelled"),
        (Replay(PLAN, result=ReplayResult("done", 1), members={"m": report()}), "done"),
    ],
)
def test_state(replay, state):
    assert replay.state == state


def test_the_topics_values_become_replays_and_strangers_are_left_out():
    encode = msgspec.json.encode
    found = _replays(
        {
            "r/plan": encode(PLAN),
            "r/pass/1": encode(Pass("tail", ())),
            "r/control": encode(ReplayControl("paused", rate=7)),
            "r/member/m": encode(report(failed=2)),
            "r/note/cutover": b'{"state":"done"}',
            "other/control": encode(ReplayControl()),
        }
    )
    assert set(found) == {"r"}
    replay = found["r"]
    assert [each.kind for each in replay.passes] == ["tail"]
    assert replay.rate == 7
    assert replay.members["m"].failed == 2
    assert replay.notes["cutover"] == {"state": "done"}


def test_summary_counts_by_committed_offsets():
    replay = Replay(
        PLAN, members={"m": report(reindexed=30, failed=1, matched=31, outcomes={"dropped": 4}, per_s=10.0)}
    )
    facts = summary(replay, {SPAN.tp: 40})
    assert (facts["done"], facts["total"], facts["dropped"], facts["dead_letters"]) == (40, 100, 4, 1)
    assert facts["eta_s"] == 6.0
    assert line(facts) == "main 40/100 40% 10/s eta 0:00:06 matched 31 dropped 4 dead letters 1"


class Fake:
    """A message with a value only."""

    def __init__(self, value):
        self._value = value

    def value(self):
        return self._value


def test_a_subset_keeps_stretches_apart():
    stretches = [
        Stretch(TP("t", 0), [Fake(b"a"), Fake(b"b")], start=0, end=2),
        Stretch(TP("t", 1), [Fake(b"c")], start=5, end=6),
        Stretch(TP("t", 2), [Fake(b"d"), Fake(b"e")], start=0, end=2),
    ]
    chosen = subset(stretches, [1, 3, 4])
    assert [(each.partition, each.values) for each in chosen] == [(0, [b"b"]), (2, [b"d", b"e"])]


@pytest.mark.parametrize(
    ("held", "ways"),
    [
        (Replay(PLAN), ["another name", "replay resume r", "replay delete r"]),
        (Replay(PLAN, result=ReplayResult("done", 1)), ["another name", "replay delete r"]),
        (Replay(PLAN, control=ReplayControl("cancelled")), ["another name", "replay delete r"]),
    ],
)
def test_a_name_that_is_taken_is_refused_with_the_ways_out_that_there_are(held, ways):
    with pytest.raises(UsageError) as refused:
        check_name(SimpleNamespace(refresh=lambda: {"r": held}), "r")
    assert [way for way in ("another name", "replay resume r", "replay delete r") if way in str(refused.value)] == ways


def test_a_replay_whose_offsets_expired_is_not_begun_again():
    # the group rested for longer than offsets.retention.minutes
    other = TP("p.app.scores", 1)
    check_kept(PLAN, [SPAN.tp], {SPAN.tp: 0, other: 5})
    with pytest.raises(UsageError, match=r"group g: 1 partitions have none \(p\.app\.scores-1 for one\)"):
        check_kept(PLAN, [SPAN.tp, other], {SPAN.tp: 40})


@pytest.mark.parametrize(("options", "killed"), [({}, 0), ({"at_ms": 1}, 1), ({"at_ms": 1, "ended": True}, 0)])
def test_a_process_without_a_last_word_was_killed(options, killed):
    assert len(Replay(PLAN, members={"m": report(**options)}).killed()) == killed
