"""The worker's log lines: one for each topic every ten seconds."""

from __future__ import annotations

import logging

import pytest

from stream.live.summary import Summary
from stream.pipeline.ledger import Done, Ledger, Outcome
from tests.unit.live.batches import batch_of


def done(messages: int) -> Done:
    ledger = Ledger("scorestream.app.scores")
    ledger.add(3, [Outcome.WRITTEN] * messages, consumed=messages)
    return Done(ledger=ledger, rows=messages, late=1)


def test_batches_become_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    # given two lists of one topic
    summary = Summary()
    summary.add(done(3), [batch_of(3)], took_s=0.2)
    summary.add(done(4), [batch_of(4)], took_s=0.5)
    # when it is time
    summary.write()
    # then one line has their sums, and nothing is written for an idle time
    summary.write()
    (line,) = [each for each in caplog.records if each.name == "stream.live.summary"]
    told = vars(line)
    assert (told["topic"], told["batches"], told["messages"], told["rows"]) == ("scorestream.app.scores", 2, 7, 7)
    assert (told["written"], told["busy_ms"], told["slowest_ms"]) == (7, 700, 500)
    assert (told["late"], "ahead" in told) == (2, False)


def test_the_rest_is_written_at_the_end_and_each_batch_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Summary() as summary:
        summary.add(done(1), [batch_of(1)], took_s=0.01)
    assert [record.getMessage() for record in caplog.records if record.name.endswith("summary")] == ["batch", "indexed"]


def test_the_line_has_the_age_of_the_oldest_change_and_of_99_of_100(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("stream.live.summary.time.time", lambda: 1_000.0)
    # given 1,000 changes, 5 of them a minute old, the others 100 ms
    summary = Summary()
    for old in (0, 5):
        part = done(500)
        part.commit_ms = [940_000] * old + [999_900] * (500 - old)
        summary.add(part, [batch_of(1)], took_s=0.1)
    # when the line is written
    summary.write()
    # then the oldest does not hide how fresh the others were
    (line,) = [each for each in caplog.records if each.name == "stream.live.summary"]
    told = vars(line)
    assert (told["lag_ms"], told["p99_ms"]) == (60_000, 100)
