"""Lag on the real stack, as the monitor tells it: what is 0 stays 0, and each trouble shows as itself alone.

The tests share one world and follow one another; each leaves it fresh, but the last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from confluent_kafka import Producer

from devstack.stack import Stack
from testbed import oracle
from testbed.universe import wait_for
from testbed.workload import Workload
from tests.site import Site, free_port, site

pytestmark = pytest.mark.stack

TOLD_WITHIN_S = 15.0
AGES = (
    "scorestream_freshness_seconds",
    "scorestream_consumer_lag_seconds",
    "kafka_consumergroup_group_lag_seconds",
    "scorestream_consumer_drain_seconds",
    "scorestream_canary_late_seconds",
    "scorestream_canary_age_seconds",
)


@pytest.fixture(scope="module")
def watched(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(stack.env(), tmp_path_factory.mktemp("lag")) as made:
        with made.universe.postgres() as connection:
            Workload(connection, seed=61).add(20)
        made.universe.wait_until_equal()
        yield made


def canary(watched: Site) -> dict[str, Any]:
    found: dict[str, Any] = watched.state()["canary"]
    return found


@pytest.mark.long
def test_a_canary_that_a_shard_refuses_is_told_and_holds_up_nothing(watched: Site) -> None:
    shard = oracle.client_of(watched.universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",")[1], watched.universe.env)
    table = f"{watched.universe.name}.heartbeat"
    wait_for("the canary came through", lambda: canary(watched)["state"] == "ok", deadline_s=20)
    # given a shard that shows its heartbeats and takes none: a view in the table's place
    shard.command(f"RENAME TABLE {table} TO {table}_kept")
    shard.command(f"CREATE VIEW {table} AS SELECT * FROM {table}_kept")
    try:
        late = wait_for("it is late", lambda: (c := canary(watched))["state"] == "late" and c, deadline_s=15)
        assert late["shards"][1] < late["shards"][0]
        failed = watched.metric("scorestream_heartbeat_writes_total", of=watched.worker_url)["failed", "1"]
        assert failed >= 1
        assert "heartbeat not written" in watched.worker.log.read_text("utf-8")
        # and the worker goes on with what it is there for
        with watched.universe.postgres() as connection:
            Workload(connection, seed=62).add(5)
        watched.universe.wait_until_equal(deadline_s=10)
        assert watched.worker.alive()
    finally:
        shard.command(f"DROP VIEW {table}")
        shard.command(f"RENAME TABLE {table}_kept TO {table}")
        shard.close()


def test_an_idle_system_shows_zero_and_no_age_grows(watched: Site) -> None:
    watched.wait_until_fresh()
    wait_for("the last commit is seen", lambda: watched.freshness() == 0, deadline_s=10)
    first = wait_for("the canary came through", lambda: (c := canary(watched))["state"] == "ok" and c)

    # given nothing but heartbeats; while one more comes through
    def came_through() -> bool:
        # then everything is 0 at every look, and nothing is absent or NaN
        for name in AGES:
            assert set(watched.metric(name).values()) == {0.0}, name
        return bool(canary(watched)["beat"] > first["beat"])

    wait_for("the next beat", came_through, deadline_s=12)
    last = canary(watched)
    assert last["state"] == "ok"
    assert 0 <= last["round_trip_s"] < 5
    assert watched.lag("--max-lag", "1s").returncode == 0
    # and a worker's own dashboard says so, too
    assert b"<title>scorestream" in urllib3.request("GET", watched.worker_url).data

    # once its own sources, which look seldom while nobody watches, have looked
    def state() -> dict[str, Any]:
        return dict(urllib3.request("GET", f"{watched.worker_url}/api/state").json())

    found = wait_for("it has seen a beat", lambda: (f := state())["canary"]["state"] != "absent" and f, deadline_s=15)
    assert (found["headline"]["level"], found["freshness"]["seconds"], found["canary"]["state"]) == ("fresh", 0, "ok")
    assert [each["pid"] for each in found["processes"]] == [watched.worker.pid]
    # which `scorestream lag` asks where there is no monitor
    told = json.loads(watched.lag("--json", SCORESTREAM_MONITOR_PORT=str(free_port())).stdout)
    assert told["from"] == f"{watched.worker_url}/api/state"


def test_a_rewound_group_is_rewind_and_not_late(watched: Site) -> None:
    assert watched.worker.stop() == 0
    watched.universe.run("rewind", "--to-earliest", "--yes")
    state = wait_for(
        "the rewind is seen",
        lambda: (found := watched.state()) and any(each["rewound"] for each in found["partitions"]) and found,
        deadline_s=10,
    )
    again = [each for each in state["partitions"] if each["rewound"]]
    assert {each["verdict"] for each in again} == {"REWIND"}
    assert {each["seconds"] for each in again} == {0.0}
    assert state["freshness"]["seconds"] == 0
    assert "REWIND" in watched.lag().stdout
    watched.worker = watched.universe.start_worker()
    wait_for("indexed again", lambda: set(watched.verdicts()) == {0.0}, deadline_s=30)
    watched.wait_until_fresh()


def test_dead_letters_show_as_themselves_and_only_as_themselves(watched: Site) -> None:
    env = watched.universe.env
    producer = Producer({"bootstrap.servers": env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]})
    for number in range(200):
        producer.produce(f"{watched.universe.name}.app.scores", key=str(number), value=b"{nonsense")
    assert producer.flush(10) == 0
    wait_for("it is shown", lambda: watched.roots() == ["dead-letters"], deadline_s=TOLD_WITHIN_S)
    wait_for("with why", lambda: "not_json 200" in watched.state()["headline"]["sentence"], deadline_s=10)
    state = watched.state()
    assert (state["headline"]["level"], state["freshness"]["seconds"]) == ("late", 0)
    assert watched.metric("scorestream_dead_letters_kept") == {(): 200.0}
    assert set(watched.verdicts()) == {0.0}
    assert json.loads(watched.lag("--json").stdout)["dead_letters"]["total"] == 200
    assert watched.worker.stop() == 0
