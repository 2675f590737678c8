"""What a replay may have left behind that ended before its tail pass."""

from __future__ import annotations

from typing import Any

import pytest

from stream.errors import UsageError
from stream.replay import control
from stream.replay.plan import MemberReport, Pass, ReplayControl, ReplayPlan, ReplayResult, Span
from stream.replay.state import Replay
from stream.scope import Scope

SPAN = Span("p.app.scores", 0, 0, 100)
KILLED = MemberReport(member="m", host="h", pid=7, at_ms=1, began_ms=1)
ENDED = MemberReport(member="m", host="h", pid=7, at_ms=1, began_ms=1, ended=True)


def _plan(**options: Any) -> ReplayPlan:
    main = Pass("main", (SPAN,))
    return ReplayPlan(name="r", group="g", created_ms=1, tables=("scores",), main=main, ends=(SPAN,), **options)


def _left(monkeypatch: pytest.MonkeyPatch, replay: Replay) -> control.Unconfirmed | None:
    class Topic:
        def __init__(self, _broker: object) -> None: ...
        def __enter__(self) -> Topic:
            return self

        def __exit__(self, *_: object) -> None: ...
        def get(self, _name: str) -> Replay:
            return replay

    monkeypatch.setattr(control, "ReplayTopic", Topic)
    broker: Any = None
    return control.unconfirmed(broker, "r")


@pytest.mark.parametrize("result", [None, ReplayResult("failed", 1)], ids=str)
def test_a_killed_process_may_have_left_rows_of_its_customers(
    result: ReplayResult | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = Replay(_plan(scope=Scope(customers=("acme",))), members={"m": KILLED}, result=result)
    left = _left(monkeypatch, replay)
    assert left is not None
    assert left.scope.customers == ("acme",)
    assert "h pid 7" in left.sentence
    assert "scorestream verify --customer acme --repair" in left.sentence


def test_without_its_tail_pass_rows_may_be_outdated_although_no_process_was_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replay = Replay(_plan(), members={"m": ENDED}, control=ReplayControl("cancelled"))
    left = _left(monkeypatch, replay)
    assert left is not None
    assert "ended before its last pass" in left.sentence


@pytest.mark.parametrize(
    "replay",
    [
        pytest.param(Replay(_plan(), control=ReplayControl("cancelled")), id="no process has worked on it"),
        pytest.param(Replay(_plan(), members={"m": KILLED}, result=ReplayResult("cancelled", 1)), id="it was repaired"),
        pytest.param(Replay(_plan(into="shadow"), members={"m": KILLED}), id="into a shadow, which nobody reads"),
        pytest.param(Replay(_plan(), members={"m": KILLED}, result=ReplayResult("done", 1)), id="its tail has looked"),
    ],
)
def test_otherwise_nothing_is_left(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _left(monkeypatch, replay) is None


def test_a_cancel_that_was_killed_may_be_given_again_until_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a replay that is cancelled, and of which rows may be outdated
    replay = Replay(_plan(), members={"m": ENDED}, control=ReplayControl("cancelled"))
    said: list[Any] = []

    class Topic:
        def __init__(self, _broker: object) -> None: ...
        def __enter__(self) -> Topic:
            return self

        def __exit__(self, *_: object) -> None: ...
        def get(self, _name: str) -> Replay:
            return replay

        def put(self, values: dict[str, Any]) -> None:
            said.extend(values)
            if "r/result" in values:
                replay.result = values["r/result"]

    monkeypatch.setattr(control, "ReplayTopic", Topic)
    broker: Any = None
    # when it is cancelled again, then that is no error
    assert control.want(broker, "r", "cancelled") == "cancelled"
    # and once nothing is left, it is
    control.cancelled(broker, "r")
    assert said == ["r/control", "r/result"]
    with pytest.raises(UsageError, match="replay r is cancelled"):
        control.want(broker, "r", "cancelled")
