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


def test_a_day_is_kept_by_the_minute_and_loses_no_peak() -> None:
    # given two days, in which one row of 5 s was late
    history = History()
    for step in range(2 * 86_400 // 5):
        peak = step == 30_000
        values = {"freshness": 40.0 if peak else 0.2, "produced": 100.0 + step % 2, "lag:scores": None}
        history.add(NOW + 5 * step, values, level="late" if peak else "fresh", title="late")
    # when the last day is asked for
    day = history.since(0, day=True)
    # then it has a row for each minute, with the greatest age and the mean rate
    assert 1_438 <= len(day["t"]) <= 1_441
    assert all(abs(after - before - 60) < 0.1 for before, after in zip(day["t"], day["t"][1:], strict=False))
    assert sorted(set(day["series"]["freshness"])) == [0.2, 40.0]
    assert set(day["series"]["produced"]) == {100.5}
    assert set(day["series"]["lag:scores"]) == {None}
    # and the event, which the last hour has not any more
    assert [each["title"] for each in day["events"]] == ["late"]
    assert history.since(0)["events"] == []
    assert len(history.since(0)["t"]) <= 721


def test_events_are_told_also_when_no_row_is_new() -> None:
    history = History()
    history.add(NOW, {}, level="late", title="late")
    history.add(NOW + 5, {}, level="fresh", title="")
    assert [each["until"] for each in history.since(NOW + 5)["events"]] == [NOW + 5]
