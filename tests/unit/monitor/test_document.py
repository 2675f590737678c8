"""The monitor's document: what the page and `scorestream lag` read."""

from __future__ import annotations

import json

from stream.monitor.diagnosis import findings, freshness, headline
from stream.monitor.document import state
from stream.monitor.sources.processes import Document, Process
from tests.unit.monitor.situations import NOW, fresh, situations


def test_the_document_is_json_without_nan() -> None:
    for readings in situations().values():
        found, how = findings(readings), freshness(readings)
        json.dumps(state(readings, found, headline(readings, found, how), how), allow_nan=False)


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
