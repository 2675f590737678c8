"""The chain of one installation: which systems are asked, which are compared, and what a worker's start logs."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from stream.commands import doctor_systems
from stream.commands.doctor_systems import Chain
from stream.config import MonitorSettings, Settings, WebSettings
from stream.doctor import postgres, tables
from stream.doctor.examine import Part
from stream.doctor.finding import SYSTEMS, DoctorFinding


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[DoctorFinding]]:
    """Names of the parts that were asked -> what they find; nothing unless a test says so."""
    found: dict[str, list[DoctorFinding]] = {}

    def examine(parts: list[Part], *, deadline_s: float) -> tuple[list[DoctorFinding], dict[str, float]]:
        return [each for part in parts for each in found.setdefault(part.name, [])], {part.name: 0.1 for part in parts}

    monkeypatch.setattr(doctor_systems, "examine", examine)
    return found


def the_chain(**sections: Any) -> Chain:
    return Chain(Settings(**sections), transaction_s=600, answer_s=1)


def test_every_system_and_every_shard_is_a_part_and_systems_are_compared(asked: dict[str, list[DoctorFinding]]) -> None:
    shards = {"shards": ["http://a:1", "http://b:2"]}
    _, took = the_chain(clickhouse=shards).examine(SYSTEMS, deadline_s=1)
    assert list(took) == [
        "Postgres", "Kafka", "Kafka Connect", "ClickHouse shard 0", "ClickHouse shard 1", "settings", "Kafka's group",
        "slot and offset", "versions", "cluster of Connect",
    ]  # fmt: skip


def test_only_what_was_asked_for_is_compared(asked: dict[str, list[DoctorFinding]]) -> None:
    _, took = the_chain().examine(["postgres", "connect"], deadline_s=1)
    assert list(took) == ["Postgres", "Kafka Connect", "slot and offset"]


def test_a_system_that_does_not_answer_is_not_compared(asked: dict[str, list[DoctorFinding]]) -> None:
    asked["Postgres"] = [postgres.SILENT.found("no answer")]
    _, took = the_chain().examine(["postgres", "connect", "clickhouse"], deadline_s=1)
    assert "slot and offset" not in took
    assert "versions" not in took


def test_the_start_of_a_worker_logs_errors_and_warnings(
    asked: dict[str, list[DoctorFinding]], caplog: pytest.LogCaptureFixture
) -> None:
    asked["Postgres"] = [
        postgres.WAL_UNLIMITED.found("no limit"),
        postgres.FAILOVER.found("a hint"),
        postgres.INACTIVE.found("the connector may start a moment later"),
    ]
    asked["ClickHouse shard 0"] = [tables.TABLE.found("missing")]
    doctor_systems.look_at_start(Settings(), after_s=0)
    for thread in threading.enumerate():
        if thread.name == "look-at-start":
            thread.join(10)
    own = [each for each in caplog.records if each.name == "stream.commands.doctor_systems"]
    assert [(record.levelno, record.__dict__["check"]) for record in own] == [
        (logging.WARNING, "wal-unlimited"),
        (logging.ERROR, "table-differs"),
    ]


def test_files_with_secrets_are_known_by_their_variable() -> None:
    assert doctor_systems._names_secrets("SCORESTREAM_POSTGRES_PASSWORD_FILE")
    assert doctor_systems._names_secrets("SCORESTREAM_CONFIG")
    assert not doctor_systems._names_secrets("SCORESTREAM_CONNECT_CONFIG")
    assert not doctor_systems._names_secrets("MY_FILE")


def test_processes_must_answer_where_an_operator_lists_them(tmp_path: Path) -> None:
    assert doctor_systems._urls(Settings()) == {"http://127.0.0.1:6066": False, "http://127.0.0.1:6067": False}
    web = WebSettings(host="0.0.0.0", port=0)
    assert doctor_systems._urls(Settings(web=web)) == {"http://127.0.0.1:6067": False}
    listed = MonitorSettings(processes="http://w1:6066,http://w2:6066")
    assert doctor_systems._urls(Settings(monitor=listed)) == {"http://w1:6066": True, "http://w2:6066": True}
