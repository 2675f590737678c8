"""A finished batch in the metrics."""

from __future__ import annotations

from stream import metrics
from stream.pipeline.ledger import Done, Ledger, Outcome
from stream.pipeline.record import record


def test_a_batch_is_counted_once_by_what_became_of_it() -> None:
    ledger = Ledger("t.record")
    ledger.add(0, [Outcome.WRITTEN, Outcome.DEAD_LETTER], consumed=2)
    done = Done(ledger=ledger, rows=5, reindexed=1, moved=1, late=3, ahead=2, refused={"bad_time": 1}, commit_ms=[1, 2])
    record(done, mode="replay")
    labels = "replay", "t.record"
    assert metrics.CONSUMED.labels(*labels)._value.get() == 2
    assert metrics.OUTCOME.labels(*labels, "written")._value.get() == 1
    assert metrics.DEAD_LETTERS.labels(*labels, "bad_time")._value.get() == 1
    assert metrics.ROWS.labels(*labels)._value.get() == 5
    assert metrics.LATE.labels(*labels)._value.get() == 3
    assert metrics.AHEAD.labels(*labels)._value.get() == 2
