"""Findings: which faults the readings show, in which words."""

from __future__ import annotations

from dataclasses import replace

from stream.monitor.canary import Canary
from stream.monitor.diagnosis import findings
from stream.monitor.lag import Verdict
from stream.monitor.sources.slot import SlotReading
from stream.web.runbooks import RUNBOOKS
from tests.unit.monitor.situations import NOW, fresh, situations, source


def test_a_stall_names_partition_worker_and_last_error() -> None:
    (found,) = [each for each in findings(situations()["stall"]) if each.id == "stall"]
    assert found.sentence.startswith("scores-7 stalled for 40 s: worker host-b (pid 4711) holds it")
    assert "timed out" in found.sentence


def test_every_finding_has_a_runbook() -> None:
    known = {each.id for each in RUNBOOKS}
    for readings in situations().values():
        assert {each.id for each in findings(readings)} <= known


def test_a_replay_that_begins_is_not_stuck_and_one_that_nobody_works_on_is() -> None:
    (replay,) = situations()["replaying"].replays
    for created, stuck in ((NOW - 3, []), (NOW - 60, ["replay-stuck"])):
        readings = fresh(replays=(replace(replay, state="stopped", processes=0, created=created),))
        assert [each.id for each in findings(readings)] == stuck


def test_a_connector_that_starts_again_is_no_silent_canary() -> None:
    for ago, told in ((20, []), (30, ["canary"])):
        silent = Canary("silent", 0.0, NOW - ago, 0.08, 700, (700, 700))
        assert [each.id for each in findings(fresh(canary=silent))] == told


def test_a_connector_that_is_gone_names_the_command_of_its_state() -> None:
    gone = source("connect", None)
    never = Canary("absent", 0.0, None, None, None)
    lost = SlotReading(False, "lost", None, 0, 0, None, "wal_removed")
    for slot, canary, command in (
        (fresh().slot.value, fresh().canary, "scorestream recover"),
        (lost, fresh().canary, "scorestream recover"),
        (None, fresh().canary, "scorestream recover"),
        (None, never, "scorestream connectors apply"),
    ):
        readings = fresh(connect=gone, slot=source("postgres", slot), canary=canary)
        (found,) = [each for each in findings(readings) if each.id == "connector-missing"]
        assert f"`{command}` creates it" in found.sentence


def test_a_late_canary_says_on_which_shard() -> None:
    late = fresh(canary=Canary("late", 40.0, NOW - 40, 0.08, 700, (700, 690)))
    (found,) = findings(late)
    assert (found.id, found.level) == ("canary", "page")
    assert "40 s ago is not on ClickHouse shard 1." in found.sentence


def test_an_offset_behind_the_end_is_a_page() -> None:
    readings = situations()["fresh"]
    assert readings.kafka.value is not None
    tp, lag = next(iter(readings.kafka.value.partitions.items()))
    ahead = replace(readings.kafka.value, partitions={tp: replace(lag, verdict=Verdict.AHEAD)})
    (found,) = findings(fresh(kafka=replace(readings.kafka, value=ahead)))
    assert (found.id, found.level) == ("offset-ahead", "page")
