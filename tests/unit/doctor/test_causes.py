"""An effect names the way out of its cause."""

from __future__ import annotations

import pytest

from stream.connect.connector import CREATE_FIRST
from stream.doctor import connect, postgres
from stream.doctor.causes import with_causes
from stream.doctor.finding import RECOVER, DoctorFinding

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


@pytest.mark.parametrize(
    ("slot", "way_out"),
    [
        (None, RECOVER),  # it goes on from its slot
        (postgres.LOST.found("slot qa is lost", RECOVER), RECOVER),
        (postgres.SLOT.found("no replication slot qa", RECOVER), RECOVER),
        (postgres.SLOT.found("no replication slot qa", CREATE_FIRST), CREATE_FIRST),  # nothing has streamed yet
    ],
)
def test_a_connector_that_is_gone_is_recovered_unless_it_was_never_there(
    slot: DoctorFinding | None, way_out: str
) -> None:
    missing = connect.MISSING.found("Kafka Connect has no connector qa")
    (found,) = [each for each in with_causes([*filter(None, [slot]), missing]) if each.id == "connector-missing"]
    assert found.way_out == way_out


def test_a_finding_without_a_cause_keeps_its_own_way_out() -> None:
    assert with_causes([INACTIVE]) == [INACTIVE]
    assert with_causes([FAILED]) == [FAILED]
