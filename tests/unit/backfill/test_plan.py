"""Windows, steps, conditions and signals: what a backfill reads, and in which order."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from stream.backfill.plan import (
    MAX_WINDOWS,
    Window,
    condition_of,
    count_query,
    execute_snapshot,
    signal_id,
    steps,
    stop_snapshot,
    windows,
)
from stream.errors import UsageError
from stream.postgres.defining_query import SourceSql
from stream.times import DAY_US, parse_time

JAN = parse_time("2026-01-01")
SOURCE = SourceSql("app", {("scorecards", "conversation_id"): "text", ("chats", "conversation_id"): "text"})
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
    source = SourceSql("app", {("scorecards", "conversation_id"): "text", ("chats", "conversation_id"): "uuid"})
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
