"""Replays of a real log: whole, filtered, killed and resumed, into a shadow; and what is refused."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from stream.kafka.broker import Broker
from testbed import oracle
from testbed.replays import (
    Running,
    differences,
    done,
    drop,
    facts,
    progress,
    refused,
    settings_of,
    wait_until_published,
)
from testbed.universe import Universe, wait_for
from testbed.workload import Workload

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def universe(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Universe]:
    """A log with every kind of change in it, and no live worker."""
    with Universe(stack.env(), tmp_path_factory.mktemp("replay")) as made:
        made.set_up()
        with made.postgres() as connection:
            workload = Workload(connection, seed=31)
            workload.add(400)
            for _ in range(400):
                workload.change()
        wait_until_published(made)
        yield made


def live_offsets(universe: Universe) -> dict[Any, int]:
    settings = settings_of(universe)
    with Broker(settings.kafka, settings.topics) as broker:
        return broker.committed(broker.live_group, broker.source_partitions())


def balances(found: dict[str, Any]) -> bool:
    return bool(sum(found["outcomes"].values()) == found["reindexed"] + found["failed"])


def test_a_replay_from_earliest_makes_clickhouse_equal(universe: Universe) -> None:
    # given a log that no live worker has read; when all of it is replayed by two processes
    found = json.loads(universe.run("replay", "start", "whole", "--processes", "2", "--json").stdout)
    # then ClickHouse is equal to Postgres, every message is accounted for, and live's offsets are untouched
    assert found["state"] == "done", found
    assert found["done"] == found["total"]
    assert balances(found)
    assert found["dead_letters"] == 0
    assert differences(universe, universe.name) == []
    assert live_offsets(universe) == {}
    # and when it is replayed again, no row changes
    done(universe, "replay", "start", "again")
    assert differences(universe, universe.name) == []
    assert {each["name"] for each in json.loads(done(universe, "replay", "list", "--json"))} >= {"whole", "again"}


def test_killed_at_any_point_it_resumes(universe: Universe) -> None:
    try:
        # given a slow replay into a shadow
        running = Running(universe, "start", "killed", "--into", "shadow_killed", "--rate", "300", "--processes", "2")
        wait_for("it has committed something", lambda: progress(universe, "killed") > 100)
        # when all of it is killed at once
        running.kill_all()
        before = facts(universe, "killed")
        assert 0 < before["done"] < before["total"]
        # then it goes on from the committed offsets, also with a process of another command joining
        resumed = Running(universe, "resume", "killed", "--rate", "0")
        joined = Running(universe, "join", "killed")
        assert resumed.wait() == 0, resumed.tail()
        joined.wait()
        assert facts(universe, "killed")["state"] == "done"
        assert differences(universe, "shadow_killed") == []
    finally:
        drop(universe, "shadow_killed")


@pytest.mark.long
def test_one_customer_touches_no_other(universe: Universe) -> None:
    try:
        # when one customer's log is replayed into a shadow
        done(universe, "replay", "start", "one", "--customer", "propel", "--into", "shadow_one")
        shown = oracle.visible(universe.env, "shadow_one")
        with universe.postgres() as connection:
            want = oracle.expected(connection)
        # then exactly its rows are there
        for view, rows in want.items():
            wanted = {row: n for row, n in rows.items() if row[0] == "propel"}
            assert wanted
            assert dict(shown[view]) == wanted
        # and a kind and a window select within it
        done(
            universe, "replay", "start", "window", "--kind", "process", "--from", "2026-01-10", "--to", "2026-01-20",
            "--into", "shadow_window",
        )  # fmt: skip
        kept = oracle.visible(universe.env, "shadow_window")["scorecard_current"]
        assert set(kept) == {
            row
            for row in want["scorecard_current"]
            if row[3] and "2026-01-10" <= row[2].isoformat()[:10] <= "2026-01-20"
        }
    finally:
        drop(universe, "shadow_one")
        drop(universe, "shadow_window")


def test_sigterm_commits_and_pause_and_cancel_end_it(universe: Universe) -> None:
    # given a replay that would take long
    running = Running(universe, "start", "slow", "--rate", "150")
    wait_for("it has committed something", lambda: progress(universe, "slow") > 100)
    # when it is asked to end
    running.process.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0, running.tail()
    assert "scorestream replay resume slow" in running.tail()
    # then its processes are gone, and it can be resumed, paused, cancelled and deleted
    assert facts(universe, "slow")["state"] == "stopped"
    assert "slow" in refused(universe, "replay", "start", "slow")
    again = Running(universe, "resume", "slow")
    wait_for("it runs", lambda: facts(universe, "slow")["processes"])
    assert "running" in refused(universe, "replay", "delete", "slow")
    assert "paused" in done(universe, "replay", "pause", "slow")
    assert again.wait(20) == 0, again.tail()
    assert "cancelled" in done(universe, "replay", "cancel", "slow", "--no-repair")  # no worker runs to wait for
    assert "cancelled" in refused(universe, "replay", "resume", "slow")
    done(universe, "replay", "delete", "slow")
    assert "no replay 'slow'" in refused(universe, "replay", "status", "slow")


def test_an_empty_range_ends_at_once(universe: Universe) -> None:
    began = time.monotonic()
    found = json.loads(done(universe, "replay", "start", "empty", "--since", "now", "--json"))
    assert time.monotonic() - began < 30
    assert (found["state"], found["total"], found["done"]) == ("done", 0, 0)


def test_a_dry_run_starts_nothing(universe: Universe) -> None:
    found = json.loads(done(universe, "replay", "start", "dry", "--customer", "spirit", "--dry-run", "--json"))
    assert found["messages"] > 400
    assert found["bytes"] > 400 * 500
    assert 0.1 < found["sample"]["share"] < 0.7
    assert len(found["partitions"]) == 8
    assert "no replay 'dry'" in refused(universe, "replay", "status", "dry")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--customer", "propell"), "no customer 'propell' in Postgres"),
        (("--since", "yesterday"), "neither a date"),
        (("--since", "2999-01-01"), "in the future"),
        (("--since", "2026-02-02", "--until", "2026-02-01"), "is not before the end"),
        (("--to-offset", "99999999"), "after the end of"),
        (("--to-offset", "scores:77=1"), "no such partition"),
        (("--to-earliest", "--shift-by", "-5"), "only one of"),
        (("--event-from", "2026-02-02", "--event-to", "2026-01-01"), "is not before --event-to"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(universe: Universe, options: tuple[str, ...], says: str) -> None:
    assert says in refused(universe, "replay", "start", "refused", *options)
    assert "no replay 'refused'" in refused(universe, "replay", "resume", "refused")


def test_the_live_database_is_no_shadow(universe: Universe) -> None:
    assert "live database" in refused(universe, "replay", "start", "wrong", "--into", universe.name)
    assert "no replay 'nobody'" in refused(universe, "replay", "join", "nobody")


def test_a_start_that_retention_took_names_the_backfill(universe: Universe, tmp_path: Path) -> None:
    # given a log whose first messages are deleted
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]})
    topic = f"{universe.name}.app.chats"
    cut = TopicPartition(topic, 0, 5)
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    (altered,) = admin.incremental_alter_configs(
        [
            ConfigResource(
                ResourceType.TOPIC,
                topic,
                incremental_configs=[
                    ConfigEntry("cleanup.policy", "compact,delete", incremental_operation=AlterConfigOpType.SET)
                ],
            )
        ]
    ).values()
    altered.result()
    for future in admin.delete_records([cut]).values():
        future.result()
    # when a replay is to start before them
    line = refused(universe, "replay", "start", "gone", "--table", "chats", "--to-offset", "chats:0=2")
    # then it says so, and what to run instead
    assert "gone by retention" in line
    assert "scorestream backfill" in line
    line = refused(universe, "replay", "start", "gone", "--table", "chats", "--since", "2020-01-01")
    assert "scorestream backfill" in line
