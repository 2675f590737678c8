"""When a cutover makes sense, and when it is refused."""

import pytest

from stream.cutover.checks import check
from stream.errors import UsageError
from stream.replay.plan import Pass, ReplayPlan, ReplayResult
from stream.replay.state import Replay


def replay(*, into="green", whole=True, state="done", note=None, back=False):
    plan = ReplayPlan(
        name="r", group="g", created_ms=1, tables=("scores",), main=Pass("main", ()), ends=(), into=into, whole=whole
    )
    result = ReplayResult("done", 1) if state == "done" else None
    notes = {} if note is None else {"cutover": {"state": note, "back": back}}
    return Replay(plan, result=result, notes=notes)


def test_a_whole_finished_shadow_can_be_cut_over():
    assert check(replay(), back=False) == "green"
    assert check(replay(note="back"), back=False) == "green"
    assert check(replay(note="begun"), back=False) == "green"  # the one before died
    assert check(replay(note="done"), back=True) == "green"
    assert check(replay(note="begun", back=True), back=True) == "green"


@pytest.mark.parametrize(
    ("held", "back", "says"),
    [
        (replay(into=None), False, "only one with --into"),
        (replay(state="stopped"), False, "is stopped, not done"),
        (replay(whole=False), False, "only a part"),
        (replay(note="done"), False, "cut over already"),
        (replay(note="dropped"), False, "were dropped"),
        (replay(note="dropped"), True, "were dropped"),
        (replay(), True, "was not cut over"),
        (replay(note="back"), True, "was not cut over"),
        (replay(note="begun"), True, "was not cut over"),
    ],
)
def test_what_is_refused_says_why(held, back, says):
    with pytest.raises(UsageError, match=says):
        check(held, back=back)
