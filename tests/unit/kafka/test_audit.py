"""Records of commands -> runs."""

from __future__ import annotations

from typing import Any

from stream.kafka.audit import Outcome, Record, runs


def record(run: str, outcome: Outcome, at_ms: int, **more: Any) -> Record:
    return Record(run=run, at_ms=at_ms, who="ann@bastion", pid=1, command="schema apply", outcome=outcome, **more)


def test_a_run_is_its_beginning_and_its_end() -> None:
    # given two commands whose records lie between one another, and one that was killed
    records = [
        record("a", "started", 1),
        record("b", "started", 2),
        record("b", "succeeded", 3),
        record("a", "failed", 4, error="away"),
        record("c", "started", 5),
    ]
    # when they are put together
    a, b, c = runs(records)
    # then each has its outcome
    assert [each.outcome for each in (a, b, c)] == ["failed", "succeeded", "started"]
    assert a.ended is not None
    assert (a.ended.error, a.ended.at_ms - a.began.at_ms) == ("away", 3)
    assert c.ended is None


def test_an_end_whose_beginning_was_not_written_stands_for_both() -> None:
    (run,) = runs([record("a", "refused", 9)])
    assert (run.began.at_ms, run.outcome) == (9, "refused")
