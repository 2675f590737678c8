"""The states that runbooks are for, made on a real stack.

`STATES` has for each runbook what breaks the stack, and what its page tells an operator to do by hand in between.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition

from testbed.replays import Running, done, progress
from testbed.universe import wait_for
from tests import broken
from tests.damage import Damage, deleted
from tests.stage import Stage

Step = Callable[[Stage], None]


def nothing(_: Stage) -> None:
    """No step."""


class State(NamedTuple):
    """`enter` makes the state; `between` is done by hand after the look; `leave` undoes what no page undoes."""

    enter: Step = nothing
    between: Step = nothing
    leave: Step = nothing


def finds(stage: Stage, finding: str) -> None:
    """Wait until the monitor says so."""
    wait_for(f"the monitor finds {finding}", lambda: finding in stage.findings(), deadline_s=90)


# --- workers ----------------------------------------------------------------------------------------------------------


def asleep(stage: Stage) -> None:
    """The worker holds its partitions and does nothing."""
    stage.words["PID"] = str(stage.worker.pid)
    stage.worker.signal(signal.SIGSTOP)
    stage.change()


def wakes(stage: Stage) -> None:
    stage.worker.signal(signal.SIGCONT)


def late(stage: Stage) -> None:
    asleep(stage)
    wait_for("it is late", lambda: stage.state()["headline"]["level"] in ("late", "stuck"), deadline_s=30)


def waiting(stage: Stage) -> None:
    late(stage)
    stage.words["BROKER"] = stage.universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]
    stage.words["TOPIC"] = f"{stage.universe.name}.app.scores"


def killed_worker(stage: Stage) -> None:
    stage.worker.kill()
    stage.change()


def without_worker(stage: Stage) -> None:
    killed_worker(stage)
    finds(stage, "worker-absent")


def silent(stage: Stage) -> None:
    killed_worker(stage)
    finds(stage, "process-silent")


def stopped_worker(stage: Stage) -> None:
    assert stage.worker.stop() == 0


def rewound(stage: Stage) -> None:
    stopped_worker(stage)
    done(stage.universe, "rewind", "--to-earliest", "--yes")
    finds(stage, "rewind")


def ahead(stage: Stage) -> None:
    """The group has committed offsets that the log does not have, as after an unclean election of a leader."""
    stopped_worker(stage)
    env, topic = stage.universe.env, f"{stage.universe.name}.app.scores"
    group = {
        "bootstrap.servers": env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"],
        "group.id": env["SCORESTREAM_KAFKA_GROUP"],
    }
    with closing(Consumer(group)) as committing:
        ends = [committing.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1] for number in range(4)]
        beyond = [TopicPartition(topic, number, end + 50) for number, end in enumerate(ends)]
        committing.commit(offsets=beyond, asynchronous=False)
    finds(stage, "offset-ahead")


# --- slot and connector -----------------------------------------------------------------------------------------------


def paused(stage: Stage) -> None:
    done(stage.universe, "connectors", "pause")
    stage.change()


def without_connector(stage: Stage) -> None:
    done(stage.universe, "connectors", "delete")
    stage.change()


def without_slot(stage: Stage) -> None:
    broken.stop(stage.universe)
    broken.drop_slot(stage.universe)
    stage.change()


def failed_connector(stage: Stage) -> None:
    without_slot(stage)
    broken.start_by_connect(stage.universe)
    wait_for("the task fails", lambda: "FAILED" in stage.universe.call("connectors", "status")[1])


def lost_slot(stage: Stage) -> None:
    broken.stop(stage.universe)
    broken.lost_slot(stage.universe)
    stage.change()


def unpublished(stage: Stage) -> None:
    stage.sql("ALTER PUBLICATION scorestream DROP TABLE app.scores")
    stage.change()


def lock(stage: Stage, table: str, mode: str) -> None:
    """A transaction that is left open holds a lock."""
    connection = psycopg.connect(stage.universe.url)
    stage.locks.append(connection)
    connection.execute(f"LOCK TABLE app.{table} IN {mode} MODE".encode())


def unlock(stage: Stage) -> None:
    while stage.locks:
        stage.locks.pop().close()


def without_heartbeats(stage: Stage) -> None:
    lock(stage, "scorestream_heartbeat", "EXCLUSIVE")
    finds(stage, "canary")


def locked(stage: Stage) -> None:
    """A session with ACCESS EXCLUSIVE on the scorecards is left open."""
    stage.change()
    lock(stage, "scorecards", "ACCESS EXCLUSIVE")
    finds(stage, "table-locked")
    stage.words["PID"] = str(stage.locks[-1].info.backend_pid)


def hanging(stage: Stage) -> None:
    """The worker waits for a look-up that does not come."""
    stage.words["PID"] = str(stage.worker.pid)
    stage.change()
    lock(stage, "scorecards", "ACCESS EXCLUSIVE")
    finds(stage, "stall")


# --- rows and messages ------------------------------------------------------------------------------------------------


def damaged(stage: Stage) -> None:
    """A score that is shown, removed from ClickHouse."""
    damage = Damage(stage.universe.env, stage.universe.name)
    with stage.universe.postgres() as connection:
        query = (
            "SELECT s.scorecard_id::text FROM app.scorecards s JOIN app.scores USING (scorecard_id) "
            "WHERE coalesce(scorecard_type, 0) = 0 AND coalesce(conversation_id, '') = '' AND scorecard_time < now()"
        )
        row = connection.execute(query).fetchone()
    assert row is not None
    stage.words["ID"] = row[0]
    deleted(damage, row[0])
    damage.close()


def refused_message(stage: Stage) -> None:
    producer = Producer({"bootstrap.servers": stage.universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]})
    producer.produce(f"{stage.universe.name}.app.scores", key=b"k", value=b"{nonsense")
    assert producer.flush(30) == 0
    stage.words["OFFSET"] = "0"
    finds(stage, "dead-letters")


# --- replays ----------------------------------------------------------------------------------------------------------


def slow_replay(stage: Stage) -> None:
    stage.words["NAME"] = name = f"slow{len(stage.replays)}"
    into = f"{stage.universe.name}{name}"  # live has rows that no message names: the pages before have repaired them
    stage.replays.append(Running(stage.universe, "start", name, "--into", into, "--rate", "5"))
    wait_for("it moves", lambda: progress(stage.universe, name) > 0)


def killed_replay(stage: Stage) -> None:
    slow_replay(stage)
    stage.replays[-1].kill_all()
    finds(stage, "replay-stuck")


# --- parts ------------------------------------------------------------------------------------------------------------


def killed(part: str) -> State:
    """A part that is away until the operator brings it back."""
    return State(lambda stage: stage.stack.kill(part), lambda stage: stage.stack.start(part))


def postgres_back(stage: Stage) -> None:
    stage.stack.start("postgres")
    stage.connect_again()


def connect_back(stage: Stage) -> None:
    """Connect answers before it has started its connectors."""
    stage.stack.start("connect")
    wait_for("the connector runs", lambda: stage.universe.call("connectors", "status")[0] == 0, deadline_s=60)


def without_monitor(stage: Stage) -> None:
    stage.monitor.kill_all()


STATES: dict[str, State] = {
    "freshness": State(late, leave=wakes),
    "kafka-unreachable": killed("kafka"),
    "postgres-unreachable": State(lambda stage: stage.stack.kill("postgres"), postgres_back),
    "table-locked": State(locked, leave=unlock),
    "connect-unreachable": State(lambda stage: stage.stack.kill("connect"), connect_back),
    "connector-missing": State(without_connector),
    "connector-failed": State(failed_connector),
    "connector-paused": State(paused),
    "slot-missing": State(without_slot),
    "slot-wal": State(lost_slot, leave=lambda stage: broken.restore_wal_limit(stage.universe)),
    "publication": State(unpublished),
    "shard-down": killed("clickhouse-1"),
    "parts": State(slow_replay),
    "worker-absent": State(without_worker),
    "stall": State(hanging, leave=unlock),
    "process-silent": State(silent),
    "lag-growing": State(late, leave=wakes),
    "retention": State(waiting, wakes),
    "rewind": State(rewound),
    "offset-ahead": State(ahead),
    "canary": State(without_heartbeats, unlock),
    "dead-letters": State(refused_message),
    "late-messages": State(),
    "verify": State(damaged),
    "replay-stuck": State(killed_replay),
    "monitor-absent": State(without_monitor),
}
