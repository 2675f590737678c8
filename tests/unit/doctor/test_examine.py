"""All parts at once, each with a deadline; a part that fails takes no other with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from stream.doctor import clickhouse, kafka, postgres
from stream.doctor.examine import Part, examine
from stream.doctor.finding import DoctorFinding
from stream.errors import ClickHouseUnavailable, PostgresRefused


def test_parts_are_asked_at_the_same_time_and_told_by_system_and_severity() -> None:
    both = threading.Barrier(2, timeout=5)

    def of_kafka() -> Iterator[DoctorFinding]:
        both.wait()
        yield kafka.TOPIC.found("no topic x")

    def of_postgres() -> Iterator[DoctorFinding]:
        both.wait()
        yield postgres.FAILOVER.found("hint")
        yield postgres.WAL_LEVEL.found("error")

    parts = [Part("Kafka", kafka.SILENT, of_kafka), Part("Postgres", postgres.SILENT, of_postgres)]
    found, took = examine(parts, deadline_s=5)
    assert [each.id for each in found] == ["wal-level", "slot-failover", "topic-missing"]
    assert took.keys() == {"Kafka", "Postgres"}


def test_a_part_that_hangs_is_a_finding_and_keeps_what_it_had_found() -> None:
    never = threading.Event()

    def hangs() -> Iterator[DoctorFinding]:
        yield kafka.TOPIC.found("no topic x")
        never.wait(30)

    began = time.monotonic()
    found, took = examine([Part("Kafka", kafka.SILENT, hangs)], deadline_s=0.2)
    assert time.monotonic() - began < 5
    assert [each.id for each in found] == ["topic-missing", "kafka-unreachable"]
    assert found[1].what == "Kafka has not answered within 0.2 s"
    assert took == {}
    never.set()


def test_a_part_that_fails_is_a_finding_and_the_others_go_on() -> None:
    def away() -> Iterator[DoctorFinding]:
        raise ClickHouseUnavailable("ClickHouse shard 1 (http://c1): no connection")
        yield

    def refused() -> Iterator[DoctorFinding]:
        raise PostgresRefused("permission denied for table x\nmore")
        yield

    def broken() -> Iterator[DoctorFinding]:
        raise KeyError("x")
        yield

    parts = [
        Part("ClickHouse shard 1", clickhouse.SILENT, away),
        Part("Postgres", postgres.SILENT, refused),
        Part("Kafka", kafka.SILENT, broken),
    ]
    found, _ = examine(parts, deadline_s=5)
    assert [(each.id, each.what) for each in found] == [
        ("postgres-unreachable", "Postgres: permission denied for table x (it was asked no further)"),
        ("kafka-unreachable", "Kafka: KeyError: 'x'"),
        ("shard-unreachable", "ClickHouse shard 1 (http://c1): no connection"),
    ]
