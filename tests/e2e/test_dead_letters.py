"""Bad messages in the real topics: each is kept whole with its reason, and its neighbours are indexed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from testbed import oracle
from testbed.universe import Universe, wait_for
from testbed.workload import Workload

pytestmark = pytest.mark.stack
Body = dict[str, Any]


@pytest.fixture
def universe(stack_env: dict[str, str], tmp_path: Path) -> Iterator[Universe]:
    with Universe(stack_env, tmp_path) as made:
        made.set_up()
        yield made


def _edit(change: Callable[[Body], Any]) -> Callable[[Body], bytes]:
    def edited(body: Body) -> bytes:
        copy = json.loads(json.dumps(body))
        change(copy)
        return json.dumps(copy).encode()

    return edited


def _replace(old: str, new: str) -> Callable[[Body], bytes]:
    return lambda body: json.dumps(body).replace(old, new, 1).encode()


# name -> (what is done to a good envelope, the reason it must be refused for)
BAD: dict[str, tuple[Callable[[Body], bytes], str]] = {
    "truncated": (lambda body: json.dumps(body).encode()[:-20], "not_json"),
    "not json": (lambda _: b"hello \xff\xfe", "not_json"),
    "bare NaN": (_replace('"numeric_value": 0.5', '"numeric_value": NaN'), "not_json"),
    "quoted NaN": (_edit(lambda b: b["after"].update(numeric_value="NaN")), "not_finite"),
    "infinity": (_edit(lambda b: b["after"].update(numeric_value="-Infinity")), "not_finite"),
    "wrong type": (_edit(lambda b: b["after"].update(not_applicable="maybe")), "wrong_type"),
    "no after": (_edit(lambda b: b.update(after=None)), "no_after"),
    "delete without before": (_edit(lambda b: b.update(op="d", before=None, after=None)), "no_before"),
    "no source": (_edit(lambda b: b.pop("source")), "missing_field"),
    "no sequence": (_edit(lambda b: b["source"].pop("sequence")), "no_sequence"),
    "renamed column": (_edit(lambda b: b["after"].update(number=b["after"].pop("numeric_value"))), "missing_field"),
    "unknown op": (_edit(lambda b: b.update(op="x")), "unknown_op"),
    "unknown table": (_edit(lambda b: b["source"].update(table="other")), "unknown_table"),
    "bad uuid": (_edit(lambda b: b["after"].update(scorecard_id="not-a-uuid")), "bad_uuid"),
    "time out of range": (_edit(lambda b: b["after"].update(updated_at="9999-01-01T00:00:00Z")), "bad_time"),
}


def test_bad_messages_are_kept_and_neighbours_indexed(universe: Universe) -> None:
    with universe.postgres() as connection:
        # given a good score in the topic, as Debezium wrote it
        workload = Workload(connection, seed=11)
        workload.add(30)
        topic = f"{universe.name}.app.scores"
        key, good, partition = wait_for("a score in Kafka", lambda: _visible_score(universe, topic), deadline_s=60)
        good["after"]["numeric_value"] = 0.5
        sent: dict[bytes, str] = {}
        producer = _producer(universe)
        headers = [("trace", b"\x00\xff"), ("empty", b""), ("none", None)]
        for spoil, reason in BAD.values():
            value = spoil(good)
            sent[value] = reason
            producer.produce(topic, key=key, value=value, headers=headers, partition=partition)
        # and some that are unusual, and good
        wrapped = json.dumps({"schema": {"type": "struct"}, "payload": good | {"more": 1}}).encode()
        extra = _edit(lambda b: b["after"].update(a_new_column={"x": 1}))(good)
        # The scorecard of refused messages is read from Postgres again, so the huge one is of another scorecard.
        found = _visible_score(universe, topic, but=good["after"]["scorecard_id"])
        assert found is not None
        _, other, _ = found
        huge = "UPDATE app.scores SET comment = repeat('x', 1000000) WHERE score_id = %s"
        connection.execute(huge, (other["after"]["score_id"],))
        for value in (wrapped, extra, None):
            producer.produce(topic, key=key, value=value, partition=partition)
        assert producer.flush(30) == 0
        # when a worker runs
        with universe.worker():
            wait_for("all dead letters", lambda: len(_letters(universe)) >= len(BAD), deadline_s=60)
            universe.run("dead-letters", "list")
            # then each is kept byte for byte, with its reason, and the rest is indexed
            letters = _letters(universe)
            assert {value: found["reason"] for value, (_, found, _) in letters.items()} == sent
            for letter_key, found, kept in letters.values():
                assert letter_key == key
                assert kept == headers
                assert found["topic"] == topic
                assert found["partition"] == str(partition)
                assert int(found["offset"]) >= 0
                assert found["error"]
            wait_for("the huge comment", lambda: _longest_comment(universe) == 1_000_000, deadline_s=30)
            # the injected versions hide the row's true state: its next change shows it again
            injected = [good["after"]["score_id"], other["after"]["score_id"]]
            connection.execute("UPDATE app.scores SET comment = 'again' WHERE score_id = ANY(%s)", (injected,))
            universe.wait_until_equal()


def test_a_topic_is_not_drained_into_the_dead_letters(universe: Universe) -> None:
    with universe.postgres() as connection:
        # given a topic of nothing but bad messages
        Workload(connection, seed=12).add(1)
        producer = _producer(universe)
        for number in range(300):
            producer.produce(f"{universe.name}.app.scores", key=b"k%d" % number, value=b"{", partition=0)
        assert producer.flush(30) == 0
        # when a worker runs that allows a tenth
        worker = universe.start_worker(
            SCORESTREAM_BATCH_DEAD_LETTER_SHARE="0.1",
            SCORESTREAM_BATCH_DEAD_LETTER_WINDOW="100",
            SCORESTREAM_BATCH_MAX_MESSAGES="50",
        )
        # then it stops with one clear line
        code = worker.process.wait(timeout=60)
        assert code == 1, worker.log_tail()
        assert "were refused" in worker.log_tail()
        assert "dead-letters list" in worker.log_tail()


def test_redrive_reindexes_what_a_letter_names(universe: Universe) -> None:
    with universe.postgres() as connection:
        # given a letter that names a score, and one that names nothing
        Workload(connection, seed=13).add(20)
        topic = f"{universe.name}.app.scores"
        key, _, partition = wait_for("a score in Kafka", lambda: _visible_score(universe, topic), deadline_s=60)
        producer = _producer(universe)
        for letter_key in (key, b"k"):
            producer.produce(topic, key=letter_key, value=b"{", partition=partition)
        assert producer.flush(30) == 0
        with universe.worker():
            wait_for("two dead letters", lambda: len(_records(universe, f"{universe.name}.dead-letters")) == 2)
            universe.wait_until_equal()
            before = len(_records(universe, topic))
            # when they are redriven, first dry
            assert _redriven(universe, "--dry-run") == (2, 0, 0)
            # then the row is reindexed from Postgres, nothing is sent, and the letter that names no row is open
            assert _redriven(universe) == (2, 1, 1)
            assert _redriven(universe) == (1, 0, 1)
            assert len(_records(universe, topic)) == before
            universe.wait_until_equal()
        # and once it is acknowledged, none is open
        assert json.loads(universe.run("dead-letters", "ack", "--reason", "not_json", "--json").stdout)["settled"] == 1
        shown = json.loads(universe.done("dead-letters", "list", "--all", "--json"))
        assert shown["by_state"] == {"reindexed": 1, "acked": 1}
        # nor for the monitor, which still counts what came
        _, told, _ = universe.call("lag", "--json", "--no-monitor")
        counted = json.loads(told)["dead_letters"]
        assert (counted["total"], counted["open"]) == (2, 0)


def _redriven(universe: Universe, *options: str) -> tuple[int, int, int]:
    done = json.loads(universe.run("dead-letters", "redrive", "--json", *options).stdout)
    return done["matching"], done["settled"], done["unnamed"]


def _visible_score(universe: Universe, topic: str, *, but: str = "") -> tuple[bytes, Body, int] | None:
    """Key, body and partition of a score that is shown, of another scorecard than `but`."""
    with universe.postgres() as connection:
        shown = {row[4] for row in oracle.expected(connection)["score_current"]}
    for record in _records(universe, topic):
        if record.value() is not None:
            body = json.loads(record.value())
            after = body["after"]
            if after and after["score_id"] in shown and "-" in after["score_id"] and after["scorecard_id"] != but:
                return record.key(), body, record.partition()
    return None


def _letters(universe: Universe) -> dict[bytes, tuple[bytes, dict[str, str], list[tuple[str, bytes | None]]]]:
    found = {}
    for record in _records(universe, f"{universe.name}.dead-letters"):
        headers = record.headers() or []
        own = {
            name.removeprefix("scorestream."): value.decode()
            for name, value in headers
            if name.startswith("scorestream.") and value is not None
        }
        rest = [(name, value) for name, value in headers if not name.startswith("scorestream.")]
        found[record.value()] = (record.key(), own, rest)
    return found


def _records(universe: Universe, topic: str) -> list[Any]:
    consumer = Consumer(
        {
            "bootstrap.servers": universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": f"{universe.name}-look",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    try:
        partitions = list(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        records, ends = [], 0
        while ends < len(partitions):
            record = consumer.poll(10)
            assert record is not None, "the broker does not answer"
            if record.error():
                ends += 1
            else:
                records.append(record)
        return records
    finally:
        consumer.close()


def _longest_comment(universe: Universe) -> int:
    longest = 0
    for url in universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(","):
        client = oracle.client_of(url, universe.env)
        row = client.query(f"SELECT max(length(comment)) FROM {universe.name}.score_current").result_rows[0]
        client.close()
        longest = max(longest, row[0] or 0)
    return longest


def _producer(universe: Universe) -> Producer:
    return Producer(
        {"bootstrap.servers": universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"], "message.max.bytes": 4 << 20}
    )
