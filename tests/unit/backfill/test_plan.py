"""Windows, conditions, signals, notifications, status: the pure part of a backfill."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from stream.backfill.notifications import News, parse
from stream.backfill.plan import (
    MAX_WINDOWS,
    Plan,
    Window,
    condition_of,
    count_query,
    execute_snapshot,
    signal_id,
    steps,
    stop_snapshot,
    windows,
)
from stream.backfill.state import Backfill, Control, Done, Driver, Result, Signal
from stream.backfill.status import status_of
from stream.errors import UsageError
from stream.postgres.defining_query import Source
from stream.times import DAY_US, parse_time

JAN = parse_time("2026-01-01")
SOURCE = Source("app", {("scorecards", "conversation_id"): "text", ("chats", "conversation_id"): "text"})
WINDOW = Window(1, JAN, JAN + 10 * DAY_US)


def test_windows_follow_one_another_without_a_gap() -> None:
    # given 52 days in windows of ten
    found = windows(JAN, parse_time("2026-02-21", end=True), size_s=10 * 86_400)
    # then each starts where the one before ends, and the last is shorter
    assert [w.number for w in found] == [1, 2, 3, 4, 5, 6]
    assert all(a.end_us == b.start_us for a, b in pairwise(found))
    assert (found[0].start_us, found[-1].end_us) == (JAN, parse_time("2026-02-22"))
    assert str(found[0]) == "2026-01-01 to 2026-01-11"


def test_one_window_needs_no_bounds_and_several_do() -> None:
    assert windows(None, None, size_s=None) == (Window(1, None, None),)
    assert str(Window(1, None, JAN)) == "any time to 2026-01-01"
    with pytest.raises(UsageError, match="--window none"):
        windows(None, JAN, size_s=60)
    with pytest.raises(UsageError, match="is not before"):
        windows(JAN, JAN, size_s=60)
    with pytest.raises(UsageError, match=f"at most {MAX_WINDOWS:,}"):
        windows(JAN, JAN + 365 * DAY_US, size_s=60)


def test_steps_are_windows_in_order_without_those_that_are_empty() -> None:
    of = windows(JAN, JAN + 30 * DAY_US, size_s=10 * 86_400)
    counts = {("scores", 1): 9, ("scorecards", 1): 1, ("scores", 3): 5, ("chats", 3): 2}
    found = steps(of, ("scores", "scorecards", "chats"), counts)
    assert [(s.number, s.window.number, s.table, s.rows) for s in found] == [
        (1, 1, "scorecards", 1), (2, 1, "scores", 9), (3, 3, "chats", 2), (4, 3, "scores", 5),
    ]  # fmt: skip


def test_a_signals_id_fits_its_column() -> None:
    step = steps((Window(MAX_WINDOWS, JAN, None),), ("scorecards",), {("scorecards", MAX_WINDOWS): 1})[0]
    assert len(signal_id("n" * 32, step, 10)) <= 64


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        ("chats", ["customer_id::text IN ('a''b')", "started_at >= timestamptz '2026-01-01T00:00:00+00:00'"]),
        ("scorecards", ["customer_id::text IN ('a''b')", "scorecard_time ELSE (SELECT c.started_at", " < timestamptz"]),
        ("scores", ["scorecard_id IN (SELECT s.scorecard_id FROM", "s.customer_id::text IN ('a''b')", "c.started_at"]),
    ],
)
def test_conditions_are_literals_over_the_parents_event_time(table: str, parts: list[str]) -> None:
    found = condition_of(SOURCE, table, WINDOW, ["a'b"])
    for part in parts:
        assert part in found
    assert "%s" not in found
    assert condition_of(SOURCE, table, Window(1, None, None), []) == ""


def test_a_customers_backslash_and_quote_stay_inside_the_literal() -> None:
    assert r"IN (E'x\\'' OR true --')" in condition_of(SOURCE, "chats", WINDOW, ["x\\' OR true --"])


def test_conversation_ids_of_another_type_are_cast_on_the_scorecards_side() -> None:
    source = Source("app", {("scorecards", "conversation_id"): "text", ("chats", "conversation_id"): "uuid"})
    for table in ("scorecards", "scores"):
        assert "::text::uuid END" in condition_of(source, table, WINDOW, [])


def test_counts_group_by_window() -> None:
    of = windows(JAN, JAN + 20 * DAY_US, size_s=10 * 86_400)
    query = count_query(SOURCE, "scores", of, ["acme"])
    assert "width_bucket" in query
    assert 'JOIN "app"."scores" r' in query
    assert "width_bucket" not in count_query(SOURCE, "scores", of[:1], [])
    assert "WHERE" not in count_query(SOURCE, "chats", (Window(1, None, None),), [])


def test_signals_name_their_table_as_a_pattern() -> None:
    step = steps((WINDOW,), ("scores",), {("scores", 1): 1})[0]
    body = json.loads(execute_snapshot(SOURCE, step, ["acme"]))
    assert (body["type"], body["data-collections"]) == ("incremental", [r"app\.scores"])
    assert body["additional-conditions"][0]["data-collection"] == r"app\.scores"
    assert body["surrogate-key"] == "score_id", "chunks must follow an index"
    whole = steps((Window(1, None, None),), ("scores",), {("scores", 1): 1})[0]
    assert "additional-conditions" not in json.loads(execute_snapshot(SOURCE, whole, []))
    assert json.loads(stop_snapshot("app", ["chats"])) == {"type": "incremental", "data-collections": [r"app\.chats"]}


def note(kind: str, *, at: int = 0, signal: str = "b/1/scores/1", **data: str) -> bytes:
    return json.dumps(
        {"id": signal, "aggregate_type": "Incremental Snapshot", "type": kind, "additional_data": data, "timestamp": at}
    ).encode()


def told(*values: bytes) -> News:
    news = News()
    for value in values:
        found = parse(value)
        assert found is not None
        news.add(found)
    return news


def test_notifications_of_other_kinds_are_passed_over() -> None:
    assert parse(None) is None
    assert parse(b"no json") is None
    assert parse(note("STARTED").replace(b"Incremental", b"Initial")) is None


def test_rows_are_whole_chunks_until_debezium_has_counted() -> None:
    begun = (note("STARTED", at=1_000), note("IN_PROGRESS", at=2_000), note("IN_PROGRESS", at=3_000))
    assert told(*begun).rows(chunk=100, expected=250) == 200
    assert told(*begun, note("IN_PROGRESS")).rows(chunk=100, expected=250) == 250
    ended = note("TABLE_SCAN_COMPLETED", at=4_000, total_rows_scanned="151", status="SUCCEEDED")
    news = told(*begun, ended, note("COMPLETED", at=4_000))
    assert (news.rows(chunk=100, expected=250), news.completed, news.seconds) == (151, True, 3.0)


def test_a_count_since_a_restart_of_connect_is_not_taken_for_the_whole() -> None:
    news = told(*[note("IN_PROGRESS")] * 5, note("TABLE_SCAN_COMPLETED", total_rows_scanned="100", status="SUCCEEDED"))
    assert news.rows(chunk=100, expected=450) == 450


def test_a_pause_ends_with_the_next_chunk_and_a_failed_scan_is_a_fault() -> None:
    assert told(note("PAUSED")).paused
    assert not told(note("PAUSED"), note("RESUMED")).paused
    assert not told(note("PAUSED"), note("IN_PROGRESS")).paused
    assert told(note("TABLE_SCAN_COMPLETED", status="SQL_EXCEPTION")).fault == "SQL_EXCEPTION"
    assert told(note("TABLE_SCAN_COMPLETED", total_rows_scanned="0", status="EMPTY")).fault == ""


def backfill() -> Backfill:
    of = windows(JAN, JAN + 20 * DAY_US, size_s=10 * 86_400)
    found = steps(of, ("scorecards", "scores"), {(t, n): 100 for t in ("scorecards", "scores") for n in (1, 2)})
    return Backfill(Plan("b", ("acme",), ("scorecards", "scores"), of, found, 50, 0))


def test_status_adds_finished_steps_and_what_is_told_of_the_one_under_way() -> None:
    # given three steps done, and one chunk of the fourth told
    held = backfill()
    held.done = {1: Done(100, 1.0, 0), 2: Done(100, 1.0, 0), 3: Done(100, 2.0, 0)}
    held.signal = Signal(4, 2, 0, 0)
    notes = [parse(n) for n in (note("STARTED", at=0, signal="b/4/scores/2"),
                                note("IN_PROGRESS", at=1_000, signal="b/4/scores/2"),
                                note("IN_PROGRESS", at=1_000, signal="b/4/scores/1"))]  # fmt: skip
    # when its status is asked
    found = status_of(held, [n for n in notes if n is not None])
    # then only the notifications of the last attempt count
    assert (found.rows, found.steps, found.windows) == (350, 3, 1)
    assert found.rate == pytest.approx(350 / 4.0, rel=0.3)
    assert found.eta_s is not None
    assert found.as_json()["current"]["table"] == "scores"


@pytest.mark.parametrize(
    ("control", "driver_ms", "result", "state"),
    [
        ("run", None, None, "interrupted"),
        ("run", 10**15, None, "running"),
        ("pause", 10**15, None, "paused"),
        ("stop", None, None, "stopped"),
        ("run", None, Result(1, 1), "done"),
    ],
)
def test_states(control: str, driver_ms: int | None, result: Result | None, state: str) -> None:
    held = backfill()
    held.control = Control(control, 1)  # type: ignore[arg-type]
    held.driver = None if driver_ms is None else Driver("host", 1, driver_ms)
    held.result = result
    assert status_of(held, []).state == state
