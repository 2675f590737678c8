"""What `scorestream audit` prints."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream.kafka import audit
from stream.kafka.audit import Record, Run

BEGAN = Record(
    run="a1",
    at_ms=1_795_000_000_000,
    who="ann@bastion",
    pid=7,
    command="replay start",
    options={"NAME": "june", "customer": ["7", "8"], "dry-run": True},
    dry_run=True,
    outcome="started",
    version="1",
)
ENDED = Record(
    run="a1", at_ms=1_795_000_002_500, who="ann@bastion", pid=7, command="replay start", outcome="failed", exit_code=1,
    error="Kafka is away",
)  # fmt: skip
KILLED = Record(run="b2", at_ms=1_795_000_009_000, who="bob@host", pid=8, command="cutover", outcome="started")


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The topic has two runs; the list gets the time that was asked for."""
    given: list[int] = []

    def read(_broker: Any, *, since_ms: int) -> list[Run]:
        given.append(since_ms)
        return [Run(began=BEGAN, ended=ENDED), Run(began=KILLED)]

    monkeypatch.setattr(audit, "read", read)
    return given


def test_each_call_is_a_line_with_the_command_as_it_was_typed(run) -> None:
    code, out, _ = run("audit")
    first, second = out.splitlines()[1:]
    assert code == 0
    assert first.startswith("2026-11-18T")
    assert "ann@bastion  replay start june --customer 7 --customer 8 --dry-run  failed (dry run)  2.5 s" in first
    assert first.endswith("Kafka is away")
    assert second.endswith("bob@host     cutover                                                started")


def test_json_has_all_of_it(run) -> None:
    first, second = json.loads(run("audit", "--json")[1])
    assert first["options"] == BEGAN.options
    assert (first["outcome"], first["exit_code"], first["dry_run"], first["error"]) == (
        "failed",
        1,
        True,
        "Kafka is away",
    )
    assert (second["outcome"], second["ended_at"]) == ("started", None)


def test_dry_runs_can_be_left_out_and_the_newest_are_shown(run) -> None:
    assert [each["run"] for each in json.loads(run("audit", "--changes-only", "--json")[1])] == ["b2"]
    code, out, err = run("audit", "--limit", "1")
    assert (code, len(out.splitlines())) == (0, 2)
    assert err.startswith("1 older calls")


@pytest.mark.parametrize(("since", "asked_ms"), [("2026-01-31T12:00", 1_769_860_800_000), ("7d", None)])
def test_since_is_a_time_or_a_duration(run, asked: list[int], since: str, asked_ms: int | None) -> None:
    assert run("audit", "--since", since)[0] == 0
    assert asked_ms is None or asked == [asked_ms]
    assert asked[0] > 1_700_000_000_000


def test_another_text_is_refused(run) -> None:
    assert run("audit", "--since", "yesterday")[0] == 2
