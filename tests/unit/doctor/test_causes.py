"""An effect names the way out of its cause."""

from __future__ import annotations

from stream.doctor import connect, postgres
from stream.doctor.causes import with_causes

INACTIVE = postgres.INACTIVE.found("no process reads slot qa")
PAUSED = connect.PAUSED.found("connector qa is PAUSED")
FAILED = connect.FAILED.found("connector qa: no slot")
MISSING = postgres.SLOT.found("no replication slot qa", "recover")


def test_an_inactive_slot_of_a_paused_connector_is_read_again_when_it_is_resumed() -> None:
    inactive, paused = with_causes([INACTIVE, PAUSED])
    assert inactive.way_out == "scorestream connectors resume"
    assert inactive.what == "no process reads slot qa (follows from connector-paused)"
    assert paused == PAUSED


def test_a_connector_that_failed_without_its_slot_is_recovered_with_it() -> None:
    _, failed = with_causes([MISSING, FAILED])
    assert failed.way_out == "recover"
    assert failed.what.endswith("(follows from slot-missing)")


def test_a_finding_without_a_cause_keeps_its_own_way_out() -> None:
    assert with_causes([INACTIVE]) == [INACTIVE]
    assert with_causes([FAILED]) == [FAILED]
