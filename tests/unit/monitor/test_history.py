"""The last hour of the monitor."""

from __future__ import annotations

from stream.monitor.history import History
from tests.unit.monitor.situations import NOW


def test_history_keeps_an_hour_and_says_when_it_was_not_fresh() -> None:
    history = History()
    for step in range(1000):
        level = "stuck" if 900 <= step < 910 else "fresh"
        history.add(NOW + 5 * step, {"freshness": float(step)}, level=level, title="scores-7 stalled")
    kept = history.since(0)
    assert len(kept["t"]) == 721
    assert kept["series"]["freshness"][-1] == 999
    assert [(event["from"], event["until"]) for event in kept["events"]] == [(NOW + 4500, NOW + 4550)]
    assert history.since(NOW + 4995)["t"] == []
