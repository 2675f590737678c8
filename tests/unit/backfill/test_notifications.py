"""Debezium's notifications: how far one signal's snapshot is."""

from __future__ import annotations

import json

from stream.backfill.notifications import News, parse


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
