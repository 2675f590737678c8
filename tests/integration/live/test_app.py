"""Faust over record batches against a real broker: completeness, order, commits, rebalance, SIGTERM, transactions.

Workers run as processes of their own: this file is also their program. Each keeps a journal, a line for each batch that
was processed, written before the batch is acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stream.kafka.marks import Mark, after_rewind
from testbed.universe import wait_for

pytestmark = pytest.mark.stack

TABLES = {"chats": 3, "scorecards": 4, "scores": 4}  # partitions of each topic
SESSION_TIMEOUT_S = 6.0  # the least that brokers allow
Key = tuple[str, int]


def work(journal_path: Path, *, delay_s: float, fail_at: int | None) -> int:
    """The worker's program: keeps a journal of batches, and takes `delay_s` for each list of them."""
    from stream.config import load
    from stream.live.build import build_app
    from stream.live.record_batch import RecordBatch
    from stream.logs import configure

    configure("warning")
    settings = load()
    live = build_app(settings.kafka, settings.batch, settings.retry, state_dir=settings.state_dir)
    journal = journal_path.open("a", encoding="utf-8", buffering=1)
    seen = 0

    def note(**fields: object) -> None:
        journal.write(json.dumps(fields) + "\n")

    async def index(batches: list[RecordBatch], _prepared: None) -> None:
        nonlocal seen
        note(event="began", messages=sum(map(len, batches)), waited_s=time.monotonic() - batches[0].fetched_at)
        await asyncio.sleep(delay_s)
        for batch in batches:
            seen += len(batch)
            if fail_at is not None and seen > fail_at:
                raise RuntimeError("the agent failed")
            note(event="ours", ours=live.still_ours(batch))
            offsets = [record.offset for record in batch.records]
            assert offsets == sorted(offsets)
            assert batch.start <= offsets[0]
            assert offsets[-1] < batch.end
            done = {"topic": batch.topic, "partition": batch.partition, "offsets": offsets}
            note(event="done", **done, doubt=batch.in_doubt, old=batch.old)

    live.on_assigned(lambda tps: note(event="assigned", tps=sorted(tps)))
    live.on_stopping(lambda: note(event="stopping"))
    settings = load()
    for table in TABLES:
        live.add_agent(settings.topics.of(table), index)
    return live.run()


@dataclass
class Worker:
    process: subprocess.Popen[bytes]
    journal: Path
    log: Path

    def events(self, kind: str) -> list[dict]:
        if not self.journal.exists():
            return []
        lines = self.journal.read_text("utf-8").split("\n")[:-1]  # the last may be half a line
        return [event for line in lines if (event := json.loads(line))["event"] == kind]

    def done(self) -> dict[Key, list[int]]:
        offsets: dict[Key, list[int]] = defaultdict(list)
        for event in self.events("done"):
            offsets[event["topic"], event["partition"]] += event["offsets"]
        return offsets

    def assigned(self) -> dict[str, set[int]]:
        events = self.events("assigned")
        found: dict[str, set[int]] = defaultdict(set)
        for topic, partition in events[-1]["tps"] if events else []:
            found[topic.rsplit(".", 1)[1]].add(partition)
        return found

    def wait(self, timeout_s: float) -> int:
        return self.process.wait(timeout_s)


@dataclass
class Bench:
    """Topics and a consumer group of their own for one test."""

    env: dict[str, str]
    folder: Path
    prefix: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:8]}")
    workers: list[Worker] = field(default_factory=list)

    @property
    def servers(self) -> str:
        return self.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]

    def topic(self, table: str) -> str:
        return f"{self.prefix}.app.{table}"

    def create_topics(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.servers})
        topics = [NewTopic(self.topic(table), num_partitions=n, replication_factor=1) for table, n in TABLES.items()]
        for made in admin.create_topics(topics).values():
            made.result(30)
        wait_for("each new partition has a leader", self._have_leaders, deadline_s=30)

    def _have_leaders(self) -> bool:
        with contextlib.suppress(KafkaException):
            return bool(self.offsets())
        return False

    def delete_topics(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.servers})
        for gone in admin.delete_topics([self.topic(table) for table in TABLES]).values():
            with contextlib.suppress(Exception):
                gone.result(30)

    def produce(self, messages: int, *, table: str = "scores", size: int = 200, compression: str = "lz4") -> None:
        producer = Producer({"bootstrap.servers": self.servers, "compression.type": compression, "linger.ms": 20})
        for number in range(messages):
            value = str(number).encode().ljust(size, b"x")
            producer.produce(self.topic(table), value, key=b"k", partition=number % TABLES[table])
            producer.poll(0)
        assert producer.flush(60) == 0

    def start(
        self,
        *,
        delay_s: float = 0.0,
        session_s: float = SESSION_TIMEOUT_S,
        fail_at: int | None = None,
        max_messages: int = 500,
    ) -> Worker:
        number = len(self.workers)
        journal, log = self.folder / f"journal-{number}", self.folder / f"log-{number}"
        env = os.environ | self.env
        env |= {
            "SCORESTREAM_KAFKA_TOPIC_PREFIX": self.prefix,
            "SCORESTREAM_KAFKA_GROUP": self.prefix,
            "SCORESTREAM_KAFKA_SESSION_TIMEOUT_S": str(session_s),
            "SCORESTREAM_STATE_DIR": str(self.folder / f"state-{number}"),
            "SCORESTREAM_BATCH_MAX_MESSAGES": str(max_messages),
            "PYTHONPATH": str(Path(__file__).parents[3]),
        }
        options = [str(journal), str(delay_s), "" if fail_at is None else str(fail_at)]
        with log.open("wb") as out:
            process = subprocess.Popen([sys.executable, __file__, *options], env=env, stdout=out, stderr=out)
        self.workers.append(Worker(process, journal, log))
        return self.workers[-1]

    def ends(self) -> dict[Key, int]:
        return {key: end for key, (_committed, end) in self.offsets().items()}

    def committed(self) -> dict[Key, int]:
        return {key: committed for key, (committed, _end) in self.offsets().items()}

    def rewind(self) -> None:
        """Move the group back to the start, as `scorestream rewind` does."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": self.prefix, "enable.auto.commit": False})
        try:
            moved = [
                TopicPartition(topic, partition, 0, metadata=str(after_rewind(end, Mark(clean=True), to=0)))
                for (topic, partition), end in self.ends().items()
            ]
            consumer.commit(offsets=moved, asynchronous=False)
        finally:
            consumer.close()

    def offsets(self) -> dict[Key, tuple[int, int]]:
        """(committed, end) of each partition; committed is 0 where nothing is."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": self.prefix, "enable.auto.commit": False})
        try:
            tps = [TopicPartition(self.topic(table), p) for table, n in TABLES.items() for p in range(n)]
            ends = [consumer.get_watermark_offsets(tp, timeout=10)[1] for tp in tps]
            found = consumer.committed(tps, timeout=10)
            return {(tp.topic, tp.partition): (max(0, tp.offset), end) for tp, end in zip(found, ends, strict=True)}
        finally:
            consumer.close()


def until(condition: Callable[[], object], *, within_s: float, bench: Bench) -> None:
    try:
        wait_for("the workers are that far", condition, deadline_s=within_s, every_s=0.05)
    except AssertionError as error:
        logs = "\n".join(worker.log.read_text("utf-8", "replace")[-4000:] for worker in bench.workers)
        raise AssertionError(f"{error}; offsets {bench.offsets()}\n{logs}") from error


@pytest.fixture
def bench(stack_env: dict[str, str], tmp_path: Path) -> Iterator[Bench]:
    bench = Bench({k: v for k, v in stack_env.items() if k.startswith("SCORESTREAM_")}, tmp_path)
    bench.create_topics()
    yield bench
    for worker in bench.workers:
        worker.process.kill()
        worker.process.wait(10)
    bench.delete_topics()


def test_every_message_once_in_order_and_committed_to_the_end(bench: Bench) -> None:
    # given messages in three topics, compressed in different ways
    for table, compression in (("chats", "none"), ("scorecards", "zstd"), ("scores", "lz4")):
        bench.produce(5_000, table=table, compression=compression)
    # when a worker reads them until all is committed
    worker = bench.start()
    until(lambda: all(c == e for c, e in bench.offsets().values()), within_s=60, bench=bench)
    # then each offset was processed once, in order, and no list is above the limit
    assert worker.done() == {key: list(range(end)) for key, end in bench.ends().items()}
    assert max(event["messages"] for event in worker.events("began")) <= 500
    # and the worker ends well
    worker.process.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0


def test_a_lone_message_is_handed_over_at_once(bench: Bench) -> None:
    # given an idle worker
    worker = bench.start()
    until(worker.assigned, within_s=30, bench=bench)
    # when single messages arrive
    for number in range(1, 11):
        bench.produce(1)
        until(lambda number=number: len(worker.events("done")) >= number, within_s=10, bench=bench)
    # then they waited for the age limit (20 ms), give or take a busy machine
    waits = sorted(event["waited_s"] for event in worker.events("began"))
    assert waits[len(waits) // 2] < 0.1


def test_after_kill_9_nothing_is_lost_and_no_commit_was_ahead(bench: Bench) -> None:
    # given a worker that is killed in the middle
    bench.produce(20_000)
    first = bench.start(delay_s=0.2)
    until(lambda: sum(bench.committed().values()) > 2_000, within_s=30, bench=bench)
    first.process.kill()
    first.wait(10)
    # then what is committed was done before
    committed, done = bench.committed(), first.done()
    assert sum(committed.values()) < 20_000
    for key, offset in committed.items():
        assert offset <= max(done.get(key, [-1])) + 1
    # when another takes over
    second = bench.start()
    until(lambda: all(c == e for c, e in bench.offsets().values()), within_s=60, bench=bench)
    # then it began exactly where the commits were
    again = second.done()
    for key, end in bench.ends().items():
        assert again.get(key, []) == list(range(committed[key], end))


def in_doubt(worker: Worker) -> set[bool]:
    return {event["doubt"] for event in worker.events("done")}


def test_only_what_a_dead_worker_may_have_begun_is_in_doubt(bench: Bench) -> None:
    # given messages that no worker has begun: no doubt, and none after a worker that ended in order
    bench.produce(300)
    first = bench.start()
    until(lambda: all(c == e for c, e in bench.offsets().values()), within_s=40, bench=bench)
    first.process.send_signal(signal.SIGTERM)
    assert first.wait(10) == 0
    bench.produce(300)
    # given one that dies before its first commit
    second = bench.start(delay_s=3600)
    until(lambda: second.events("began"), within_s=40, bench=bench)
    second.process.kill()
    second.wait(10)
    # then the next one doubts the messages that were there, and not those that come later
    third = bench.start()
    until(lambda: all(c == e for c, e in bench.offsets().values()), within_s=40, bench=bench)
    assert in_doubt(first) == {False}
    assert in_doubt(third) == {True}
    bench.produce(300)
    until(lambda: all(c == e for c, e in bench.offsets().values()), within_s=40, bench=bench)
    assert [event["doubt"] for event in third.events("done")][-1] is False
    # and when that one ends in order, the doubt is over
    third.process.send_signal(signal.SIGTERM)
    assert third.wait(10) == 0
    bench.produce(300)
    fourth = bench.start()
    until(lambda: all(c == e for c, e in bench.offsets().values()), within_s=40, bench=bench)
    assert in_doubt(fourth) == {False}


@pytest.mark.long
def test_what_was_processed_before_a_rewind_is_old(bench: Bench) -> None:
    # given a group that has processed all there is, and is moved back
    bench.produce(300)
    first = bench.start()
    until(lambda: all(c == e for c, e in bench.offsets().values()), within_s=40, bench=bench)
    first.process.send_signal(signal.SIGTERM)
    assert first.wait(10) == 0
    bench.rewind()
    # when the next worker dies on the way, and another takes over
    second = bench.start(delay_s=3600)
    until(lambda: second.events("began"), within_s=40, bench=bench)
    second.process.kill()
    second.wait(10)
    third = bench.start()
    until(lambda: all(c == e for c, e in bench.offsets().values()), within_s=40, bench=bench)
    # then what it reads is old up to there, and not behind it
    assert {event["old"] for event in first.events("done")} == {False}
    assert {event["old"] for event in third.events("done")} == {True}
    bench.produce(300)
    until(lambda: all(c == e for c, e in bench.offsets().values()), within_s=40, bench=bench)
    assert [event["old"] for event in third.events("done")][-1] is False


@pytest.mark.long
def test_two_workers_share_and_nothing_is_lost_when_they_change(bench: Bench) -> None:
    # given a worker at work, and messages that keep coming
    bench.produce(10_000)
    first = bench.start(delay_s=0.1, session_s=30)
    until(lambda: len(first.events("done")) > 5, within_s=60, bench=bench)
    # when another joins
    second = bench.start(delay_s=0.1, session_s=30)
    until(second.assigned, within_s=60, bench=bench)
    until(lambda: sum(map(len, first.assigned().values())) < sum(TABLES.values()), within_s=60, bench=bench)
    # then each partition has one owner, and scorecards and scores of a number have the same
    assert first.assigned()["scorecards"] == first.assigned()["scores"]
    assert second.assigned()["scorecards"] == second.assigned()["scores"]
    for table, partitions in TABLES.items():
        assert sorted([*first.assigned()[table], *second.assigned()[table]]) == list(range(partitions))
    # when the first leaves again in the middle of it
    bench.produce(5_000, table="scorecards")
    bench.produce(5_000, table="chats")
    until(lambda: second.events("done"), within_s=60, bench=bench)
    first.process.send_signal(signal.SIGTERM)
    assert first.wait(12) == 0
    # then all is done, nothing is done twice (batches under way are finished before a partition is given up)
    until(lambda: all(c == e for c, e in bench.offsets().values()), within_s=60, bench=bench)
    one, two = first.done(), second.done()
    for key, end in bench.ends().items():
        assert sorted(one.get(key, []) + two.get(key, [])) == list(range(end))


@pytest.mark.long
def test_a_worker_that_slept_through_its_session_joins_again_and_commits_nothing_old(bench: Bench) -> None:
    # given a worker that falls asleep in the middle of a list, for longer than its session
    bench.produce(6_000)
    sleeper = bench.start(delay_s=0.5)
    until(lambda: len(sleeper.events("began")) >= 3, within_s=30, bench=bench)
    sleeper.process.send_signal(signal.SIGSTOP)
    before = len(sleeper.events("ours"))
    # when another takes over and does the rest
    other = bench.start()
    until(lambda: all(c == e for c, e in bench.offsets().values()), within_s=40, bench=bench)
    # then the sleeper joins again when it wakes up, takes a share, and has not moved a commit back
    sleeper.process.send_signal(signal.SIGCONT)
    until(lambda: 0 < sum(map(len, sleeper.assigned().values())) < sum(TABLES.values()), within_s=40, bench=bench)
    assert all(c == e for c, e in bench.offsets().values())
    bench.produce(400)
    until(lambda: all(c == e for c, e in bench.offsets().values()), within_s=40, bench=bench)
    one, two = sleeper.done(), other.done()
    for key, end in bench.ends().items():
        assert {*one.get(key, []), *two.get(key, [])} == set(range(end))
    # and what it had under way it did not take for its own when it woke up, before it had heard from the group
    ours = [event["ours"] for event in sleeper.events("ours")]
    assert all(ours[:before]), ours
    assert ours[before] is False, ours
    assert ours[-1], ours


def test_sigterm_finishes_the_batch_and_commits_it(bench: Bench) -> None:
    # given a worker in the middle of a list that takes long
    bench.produce(5_000)
    worker = bench.start(delay_s=2, session_s=30)
    until(lambda: len(worker.events("began")) == 2, within_s=30, bench=bench)
    # when it is asked to end
    worker.process.send_signal(signal.SIGTERM)
    # then it does in time, and all that was done is committed, no more
    assert worker.wait(10) == 0
    done = worker.done()
    assert sum(map(len, done.values())) >= 1_000
    assert {key: c for key, c in bench.committed().items() if c} == {key: max(o) + 1 for key, o in done.items()}
    # and it has left the group: another has the partitions long before the session would have timed out
    other = bench.start()
    until(other.assigned, within_s=20, bench=bench)


@pytest.mark.long
def test_sigterm_ends_a_worker_that_hangs(bench: Bench) -> None:
    # given a worker that will not finish
    bench.produce(1_000)
    worker = bench.start(delay_s=3600)
    until(lambda: worker.events("began"), within_s=30, bench=bench)
    # when it is asked to end
    worker.process.send_signal(signal.SIGTERM)
    # then it does, and nothing is committed
    worker.wait(11)
    assert not any(bench.committed().values())


def test_an_agent_that_fails_ends_the_process_and_commits_nothing_of_it(bench: Bench) -> None:
    # given an agent that fails at some message
    bench.produce(4_000)
    worker = bench.start(delay_s=0.2, fail_at=1_700)
    # then the process ends with an error, and what was not done is not committed
    assert worker.wait(40) == 1
    assert "RuntimeError: the agent failed" in worker.log.read_text("utf-8")
    done = worker.done()
    for key, offset in bench.committed().items():
        assert offset <= max(done.get(key, [-1])) + 1
    assert sum(bench.committed().values()) < 4_000


def test_transactions_do_not_stall_the_commit(bench: Bench) -> None:
    # given transactions, committed and aborted in turn, and one that is open
    topic = bench.topic("scores")
    kept: dict[Key, list[bytes]] = defaultdict(list)
    producer = Producer(
        {"bootstrap.servers": bench.servers, "transactional.id": bench.prefix, "compression.type": "lz4"}
    )
    producer.init_transactions(30)
    for number in range(40):
        producer.begin_transaction()
        for partition in range(TABLES["scores"]):
            for _ in range(5):
                producer.produce(topic, str(number).encode(), partition=partition)
        if number % 3:
            producer.commit_transaction(30)
            kept[topic, 0] += [str(number).encode()] * 5
        else:
            producer.flush(30)  # else they would not even be sent
            producer.abort_transaction(30)
    worker = bench.start()
    until(lambda: all(c == e for c, e in bench.offsets().values()), within_s=60, bench=bench)
    before = bench.committed()
    # then the commit reaches the end of the log, past the markers, and aborted messages were not seen
    assert len(worker.done()[topic, 0]) == len(kept[topic, 0])
    assert before[topic, 0] == 40 * 6
    # when a transaction is open, its messages wait for its commit
    producer.begin_transaction()
    producer.produce(topic, b"late", partition=0)
    producer.flush(30)
    other = bench.start()  # a rebalance does not make them visible either
    until(lambda: worker.assigned() and other.assigned(), within_s=30, bench=bench)
    assert bench.committed()[topic, 0] == before[topic, 0]
    producer.commit_transaction(30)
    until(lambda: all(c == e for c, e in bench.offsets().values()), within_s=30, bench=bench)
    assert [*worker.done()[topic, 0], *other.done().get((topic, 0), [])].count(before[topic, 0]) == 1


def test_a_slow_agent_stops_the_fetching_and_not_that_of_others(bench: Bench) -> None:
    # given an agent that has 60 MB before it and takes its time, so that fetching of its topic stops
    bench.produce(60_000, size=1_000, compression="none")
    worker = bench.start(delay_s=0.5)
    until(lambda: len(worker.events("began")) >= 3, within_s=30, bench=bench)
    # when messages of another topic come
    bench.produce(100, table="chats")
    until(lambda: [key for key in worker.done() if key[0] == bench.topic("chats")], within_s=10, bench=bench)
    # then they went ahead, and the memory is small
    assert sum(bench.committed().values()) < 60_000
    status = Path(f"/proc/{worker.process.pid}/status").read_text("utf-8")
    resident_kb = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    assert resident_kb < 200_000


if __name__ == "__main__":
    path, delay, fail = sys.argv[1:]
    sys.exit(work(Path(path), delay_s=float(delay), fail_at=int(fail) if fail else None))
