"""The monitor's conclusions: each trouble shows as itself, and only as itself."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from stream.kafka.offsets import TP
from stream.monitor.canary import Canary
from stream.monitor.diagnosis import findings, freshness, headline
from stream.monitor.document import state
from stream.monitor.exposition import samples
from stream.monitor.findings import NOTE
from stream.monitor.heartbeat import beats
from stream.monitor.history import History
from stream.monitor.lag import Limits, Look, Track, Verdict
from stream.monitor.readings import Source
from stream.monitor.sources.processes import Document, Process
from stream.times import duration
from stream.web.runbooks import RUNBOOKS
from tests.unit.monitor.situations import NOW, fresh, situations, worker

TROUBLE = [name for name in situations() if name not in ("fresh", "replaying", "lagging", "rewind")]


@pytest.mark.parametrize("name", TROUBLE)
def test_each_trouble_is_the_only_root(name: str) -> None:
    readings = situations()[name]
    roots = [each for each in findings(readings) if each.because is None and each.level != NOTE]
    assert [each.id for each in roots] == [name]
    head = headline(readings, findings(readings), freshness(readings))
    assert head.id == name
    assert head.level in ("stuck", "late", "unknown")


@pytest.mark.parametrize("name", ["fresh", "replaying", "rewind"])
def test_what_is_no_trouble_is_fresh(name: str) -> None:
    readings = situations()[name]
    how = freshness(readings)
    assert how.seconds == 0
    assert headline(readings, findings(readings), how).level == "fresh"


def test_catching_up_says_how_long_it_takes() -> None:
    readings = situations()["lagging"]
    head = headline(readings, findings(readings), freshness(readings))
    assert head.level == "busy"
    assert "caught up in about" in head.sentence


def test_a_stall_names_partition_worker_and_last_error() -> None:
    (found,) = [each for each in findings(situations()["stall"]) if each.id == "stall"]
    assert found.sentence.startswith("scores-7 stalled for 40 s: worker host-b (pid 4711) holds it")
    assert "timed out" in found.sentence


def test_a_killed_worker_is_named_before_kafka_notices() -> None:
    readings = situations()["process-silent"]
    head = headline(readings, findings(readings), freshness(readings))
    assert "host-b (pid 4711) does not answer for 40 s" in head.sentence


def test_every_finding_has_a_runbook() -> None:
    known = {each.id for each in RUNBOOKS}
    for readings in situations().values():
        assert {each.id for each in findings(readings)} <= known


def test_the_document_is_json_without_nan() -> None:
    for readings in situations().values():
        found, how = findings(readings), freshness(readings)
        json.dumps(state(readings, found, headline(readings, found, how), how), allow_nan=False)


def test_an_old_answer_of_kafka_is_not_freshness() -> None:
    assert freshness(fresh(kafka=situations()["kafka-unreachable"].kafka)).seconds is None


def test_an_age_grows_between_looks_only_where_the_same_message_waits() -> None:
    def told(*looks: Look, at: float) -> float | None:
        track = Track(Limits())
        lags = {TP("p.app.scores", 1): track.add(look) for look in looks}
        kafka = replace(situations()["fresh"].kafka.value, partitions=lags)
        return freshness(fresh(now=at, kafka=Source("kafka", kafka, looks[-1].at))).seconds

    first = Look(NOW, 0, 100, 50, True, NOW - 0.3, "w")
    # given messages that flow; then their age at the last look is told until the next look
    flow = Look(NOW + 2, 0, 120, 90, True, NOW + 1.5, "w")
    assert told(first, flow, at=NOW + 3.9) == pytest.approx(0.5)
    # and given the same message twice, then its age grows
    assert told(first, first._replace(at=NOW + 2), at=NOW + 3.9) == pytest.approx(4.2)


def test_a_replay_that_begins_is_not_stuck_and_one_that_nobody_works_on_is() -> None:
    (replay,) = situations()["replaying"].replays
    for created, stuck in ((NOW - 3, []), (NOW - 60, ["replay-stuck"])):
        readings = fresh(replays=(replace(replay, state="stopped", processes=0, created=created),))
        assert [each.id for each in findings(readings)] == stuck


def test_a_connector_that_starts_again_is_no_silent_canary() -> None:
    for ago, told in ((20, []), (30, ["canary"])):
        silent = Canary("silent", 0.0, NOW - ago, 0.08, 700, (700, 700))
        assert [each.id for each in findings(fresh(canary=silent))] == told


def test_a_late_canary_says_on_which_shard() -> None:
    late = fresh(canary=Canary("late", 40.0, NOW - 40, 0.08, 700, (700, 690)))
    (found,) = findings(late)
    assert (found.id, found.level) == ("canary", "page")
    assert "40 s ago is not on ClickHouse shard 1." in found.sentence


def test_two_services_that_verify_tell_the_newest_comparison_and_no_sum() -> None:
    def verifier(number: int, last: float) -> Process:
        samples: dict[str, list[tuple[dict[str, str], float | None]]] = {
            "scorestream_verify_last_run_timestamp_seconds": [({}, last)],
            "scorestream_verify_last_clean_timestamp_seconds": [({}, last - 5)],
        }
        return Process(f"http://10.0.0.{number}:6066", Document("verify", "host", number, NOW, NOW, samples), NOW)

    readings = fresh(processes=(verifier(1, NOW - 60), verifier(2, NOW - 10)))
    found, how = findings(readings), freshness(readings)
    told = state(readings, found, headline(readings, found, how), how)["verify"]
    assert (told["last_run"], told["last_clean"]) == (NOW - 10, NOW - 15)


def test_a_worker_that_ended_in_good_order_or_was_replaced_is_no_silent_process() -> None:
    told = {}
    for name, change in (("silent", {}), ("replaced", {"in_dns": False}), ("ended", {"ending": True})):
        process = worker(up=False)
        process.in_dns = change.get("in_dns", True)
        assert process.document is not None
        process.document.ending = change.get("ending", False)
        told[name] = [value for metric, _, value in samples(fresh(processes=(process,))) if "process_up" in metric]
    assert told == {"silent": [0.0], "replaced": [], "ended": []}


def test_an_offset_behind_the_end_is_a_page() -> None:
    readings = situations()["fresh"]
    assert readings.kafka.value is not None
    tp, lag = next(iter(readings.kafka.value.partitions.items()))
    ahead = replace(readings.kafka.value, partitions={tp: replace(lag, verdict=Verdict.AHEAD)})
    (found,) = findings(fresh(kafka=replace(readings.kafka, value=ahead)))
    assert (found.id, found.level) == ("offset-ahead", "page")


def test_newest_beat_of_each_id_and_no_other_message() -> None:
    def value(beat: int) -> bytes:
        return json.dumps({"op": "u", "after": {"id": 1, "beat": beat, "at": "2026-11-24T00:00:00.5Z"}}).encode()

    found = beats([value(3), None, b"{", b'{"after": {"id": 1}}', value(4), value(2)])
    assert [each.beat for each in found] == [4]
    assert found[0].at.microsecond == 500_000


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


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (0.25, "0.2 s"), (40, "40 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
