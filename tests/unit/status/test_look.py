"""One look: doctor and the monitor side by side, doctor more seldom, and either one alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from stream.doctor import kafka, postgres
from stream.doctor.finding import DoctorFinding
from stream.errors import KafkaUnavailable
from stream.status.look import EXAMINE_S, StatusLook
from tests.unit.status.test_steps import document

ERROR = postgres.WAL_LEVEL.found("wal_level is replica, not logical")
WARNING = kafka.SYNC.found("partitions 3 of x lack a replica in sync")


class Asked:
    """Stand-ins of a monitor and of doctor that count."""

    def __init__(self, *checked: DoctorFinding, away: str = "") -> None:
        self.checked, self.away = list(checked), away
        self.documents = self.examined = 0
        self.again = threading.Event()

    def document(self) -> dict[str, Any]:
        self.documents += 1
        if self.away:
            raise KafkaUnavailable(self.away)
        return document()

    def examine(self) -> list[DoctorFinding]:
        self.examined += 1
        if self.examined == 2:
            self.again.set()
        return self.checked

    def look(self, clock: Callable[[], float] = time.monotonic) -> StatusLook:
        return StatusLook(self.document, self.examine, clock=clock)


@pytest.mark.parametrize(
    ("checked", "verdict"), [((), "well"), ((WARNING,), "act soon"), ((WARNING, ERROR), "act now")]
)
def test_the_verdict_is_that_of_the_most_urgent_step(checked: Any, verdict: str) -> None:
    with Asked(*checked).look() as look:
        assert look.once().verdict == verdict


def test_doctor_is_asked_more_seldom_than_the_monitor() -> None:
    # given a watched screen
    asked, now = Asked(ERROR), [1_000.0]
    with asked.look(lambda: now[0]) as look:
        look.once()
        # when it is refreshed soon, then doctor's findings stay
        assert look.once().verdict == "act now"
        assert (asked.documents, asked.examined) == (2, 1)
        # and when a minute is over, then doctor is asked again
        now[0] += EXAMINE_S + 1
        look.once()
        assert asked.again.wait(5)


def test_without_kafka_the_reason_and_doctors_findings_are_left() -> None:
    with Asked(ERROR, away="k:9092 does not answer").look() as look:
        found = look.once()
    assert (found.document, found.verdict) == (None, "act now")
    assert found.as_json()["kafka"] == "k:9092 does not answer"


def test_another_error_is_not_taken_for_an_answer() -> None:
    def fail() -> list[DoctorFinding]:
        raise ZeroDivisionError

    with StatusLook(document, fail) as look, pytest.raises(ZeroDivisionError):
        look.once()
