"""A source table that a session locks against readers."""

from __future__ import annotations

from dataclasses import replace

from stream.monitor.canary import Canary
from stream.monitor.diagnosis import findings
from stream.monitor.readings import Readings
from stream.postgres.table_locks import TableLock
from tests.unit.monitor.situations import NOW, fresh, kafka, source

LOCK = TableLock("app.scorecards", 41, "psql", "dba", 12.0)


def readings(lock: TableLock, *, seen_s: float) -> Readings:
    return fresh(locks=(lock,), extra={"locked_since": NOW - seen_s})


def test_a_lock_is_named_with_its_session_and_look_ups_wait() -> None:
    (found,) = findings(readings(LOCK, seen_s=30))
    assert (found.id, found.level, found.since) == ("table-locked", "page", NOW - 30)
    assert found.sentence == (
        "For 30 s: app.scorecards is locked by pid 41 (psql, role dba); look-ups have waited for 12 s, and the workers "
        "commit nothing. `SELECT pg_terminate_backend(41);`"
    )


def test_a_lock_of_a_moment_is_no_finding_and_one_look_is_enough_where_a_reader_has_waited() -> None:
    brief = replace(LOCK, waits_s=1.0)
    for lock, seen_s, told in ((brief, 2, []), (brief, 6, ["table-locked"]), (LOCK, 0, ["table-locked"])):
        assert [each.id for each in findings(readings(lock, seen_s=seen_s))] == told


def test_what_stands_still_because_of_a_lock_follows_from_it() -> None:
    stuck = replace(
        readings(LOCK, seen_s=60),
        kafka=source("kafka", kafka(stuck=(7,))),
        canary=Canary("late", 40.0, NOW - 40, 0.08, 700, (690, 690)),
    )
    found = {each.id: each.because for each in findings(stuck)}
    assert found == {"table-locked": None, "stall": "table-locked", "canary": "table-locked"}


def test_a_question_that_takes_too_long_is_not_a_silent_server() -> None:
    for slow, title in ((True, "Postgres does not answer in time"), (False, "Postgres does not answer")):
        answer = replace(source("postgres", None, error="canceling statement"), slow=slow)
        assert [each.title for each in findings(fresh(slot=answer))] == [title]
