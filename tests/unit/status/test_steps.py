"""The steps of an operator, in made-up situations."""

from __future__ import annotations

from typing import Any

import pytest

from stream.doctor import clickhouse, kafka, postgres, processes
from stream.doctor.finding import DoctorFinding
from stream.monitor.diagnosis import findings, freshness, headline
from stream.monitor.document import state
from stream.status.steps import LATER, NOW, SOON, Step, steps
from stream.web.runbooks import RUNBOOKS
from tests.unit.monitor.situations import NOW as AT
from tests.unit.monitor.situations import situations

SITUATIONS = situations()
CLEAN = {"last_run": AT - 60, "last_clean": AT - 60, "cells": {}, "appeals": 0}


def document(name: str = "fresh", **changes: Any) -> dict[str, Any]:
    readings = SITUATIONS[name]
    found, how = findings(readings), freshness(readings)
    return state(readings, found, headline(readings, found, how), how) | {"verify": CLEAN, "from": "here"} | changes


def found(name: str = "fresh", *checked: DoctorFinding, **changes: Any) -> list[Step]:
    return steps(document(name, **changes), checked)


def letters(count: int) -> dict[str, Any]:
    return {"total": 9, "last_hour": 0, "newest_at": None, "open": count}


def test_nothing_is_to_be_done_while_all_is_well() -> None:
    assert found() == []


@pytest.mark.parametrize("name", sorted(SITUATIONS.keys() - {"fresh", "replaying", "lagging"}))
def test_the_first_step_is_that_of_the_fault_that_leads(name: str) -> None:
    first = found(name)[0]
    assert first.id == document(name)["headline"]["id"] or first.id == name
    assert first.what
    assert first.stays.startswith("Is data lost? ")
    assert first.act or first.run


def test_a_fault_that_both_see_is_one_step() -> None:
    # given a group without workers, which doctor reports under another name, and a fault that doctor alone sees
    both = processes.EMPTY.found("no worker is a member of group scorestream-live")
    alone = postgres.WAL_LEVEL.found("wal_level is replica, not logical")
    # when the steps are made
    told = found("worker-absent", both, alone)
    # then the first is there once, and the pages stand before the rest
    assert [step.id for step in told] == ["worker-absent", "wal-level"]
    assert told[1].run == ("ALTER SYSTEM SET wal_level = 'logical'; -- and restart Postgres",)


def test_an_effect_is_no_step_of_its_own() -> None:
    assert [step.id for step in found("shard-down", clickhouse.SILENT.found("shard 1 does not answer"))] == [
        "shard-down"
    ]


def test_warnings_come_after_errors_and_hints_are_left_out() -> None:
    warning = kafka.SYNC.found("partitions 3 of x lack a replica in sync")
    error = postgres.WAL_LEVEL.found("wal_level is replica, not logical")
    hint = postgres.FAILOVER.found("slot qa is not a failover slot", "psql ..")
    assert [(step.when, step.id) for step in found("fresh", warning, hint, error)] == [
        (NOW, "wal-level"),
        (SOON, warning.id),
    ]


def test_without_kafka_doctor_alone_says_what_to_do() -> None:
    silent = kafka.SILENT.found("no broker answers at k:9092")
    assert [step.id for step in steps(None, [silent])] == [silent.id]


def test_open_dead_letters_are_a_step_until_they_are_settled() -> None:
    (step,) = found(dead_letters=letters(3))
    assert (step.when, step.id) == (SOON, "dead-letters")
    assert "3 dead letters are open" in step.what
    assert [each.id for each in found("dead-letters", dead_letters=letters(3))] == ["dead-letters"]
    assert found(dead_letters=letters(0)) == []


def test_a_stuck_replay_is_named_in_the_lines_to_paste() -> None:
    stuck = {"id": "replay-stuck", "level": "ticket", "sentence": "x", "because": None, "what": "june"}
    (step,) = found(findings=[stuck])
    assert "scorestream replay resume june" in step.run


def test_a_paused_replay_and_a_comparison_that_is_not_known_wait_for_an_operator() -> None:
    paused = {"name": "june", "state": "paused", "done": 1, "total": 2}
    told = found(replays=[paused], verify=None)
    assert [(step.when, step.id) for step in told] == [(LATER, "replay-paused"), (LATER, "verify-absent")]
    assert told[0].run[0] == "scorestream replay resume june"


@pytest.mark.parametrize(("last_clean", "what"), [(AT - 2 * 86_400, "clean for 2 d"), (None, "clean yet")])
def test_an_old_comparison_is_a_step(last_clean: float | None, what: str) -> None:
    (step,) = found(verify=CLEAN | {"last_clean": last_clean})
    assert (step.when, step.id) == (SOON, "verify")
    assert what in step.what


def test_every_finding_of_the_monitor_has_a_runbook() -> None:
    ids = {each.id for each in RUNBOOKS}
    assert {each["id"] for name in SITUATIONS for each in document(name)["findings"]} <= ids
