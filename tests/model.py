"""A model of the whole path, driven by random choices: does ClickHouse end equal to Postgres, whatever happens?

A history interleaves, one step at a time: transactions in Postgres, Debezium (also its incremental snapshots and
re-deliveries), live workers with one batch of each topic in flight, rebalances, workers that sleep and wake after their
partitions have moved, crashes, errors that are retried, and a replay of the log with its tail pass. Batches run the
real Pipeline, each in a thread of its own that stops before every call that leaves the process; only one thread runs at
a time.

    python -m tests.model --seconds 60          histories of random seeds, until one goes wrong
    python -m tests.model --seed 7 --trace      that history, step by step
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from stream.errors import ClickHouseUnavailable, PostgresUnavailable, Retry
from stream.pipeline.dead_letter import Message
from stream.pipeline.envelope import Decoder, Envelope
from stream.pipeline.moves import is_for_tail
from stream.pipeline.pipeline import Done, Pipeline
from stream.pipeline.writes import Layout
from stream.tables import CHATS, SOURCES, TARGETS
from tests.fakes import (
    APPEAL_TYPES,
    DAY_US,
    PRIMARY_KEY,
    FakeClickHouse,
    FakeDeadLetters,
    FakeDebezium,
    FakeFetched,
    FakeLog,
    FakePostgres,
    Locked,
    Transaction,
)

REAL_LOOK = 5  # a real target is looked at after so many steps only
MAX_BATCH = 4  # messages of one partition in a batch
PARTITIONS = 2
CHATS_IDS = [f"c0000000-0000-4000-8000-00000000000{n}" for n in range(2)]
CARD_IDS = [f"5c000000-0000-4000-8000-00000000000{n}" for n in range(3)]
SCORE_IDS = [f"50000000-0000-4000-8000-00000000000{n}" for n in range(4)]
_JANUARY = 1_767_225_600_000_000  # 2026-01-01
# The same month and shard twice, another shard of that month, another month on either shard; and none.
TIMES = [_JANUARY, _JANUARY + 5_000_000, _JANUARY + DAY_US, _JANUARY + 31 * DAY_US, _JANUARY + 32 * DAY_US]

_PLACE_COLUMNS = {"started_at", "scorecard_time", "conversation_id"}


class Violation(AssertionError):
    """An invariant does not hold."""


class Crash(BaseException):
    """The process is gone; nothing catches this."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What may happen in a history, and how long it is."""

    rounds: int = 6  # after each everything comes to its end, and is compared
    steps: int = 40  # of a round
    workers: int = 2
    crashes: bool = True
    pauses: bool = True  # a rebalance while batches are in flight: their worker wakes later
    errors: bool = True
    replay: bool = True
    incremental: bool = True
    resend: bool = True
    toast: bool = True
    initial: bool = True  # some rows are there before the connector starts
    rows: int = 3  # scorecards; one score more, one chat less: the fewer, the more happens to each
    places: int = len(TIMES)  # event times that occur
    score_key: tuple[str, ...] = ("scorecard_id", "score_id")

    @property
    def ids(self) -> dict[str, list[str]]:
        return {
            CHATS: CHATS_IDS[: max(1, self.rows - 1)],
            "scorecards": CARD_IDS[: self.rows],
            "scores": SCORE_IDS[: self.rows + 1],
        }

    @property
    def times(self) -> list[int]:
        return TIMES[-self.places :]


class Batch:
    """A batch in flight: it runs in a thread of its own, one step at a time."""

    def __init__(self, table: str, parts: list[FakeFetched], work: Callable[[Batch], Done]) -> None:
        self.table = table
        self.parts = parts
        self.at = "start"
        self.lost = False  # the partitions were given to another worker
        self.ended = False
        self.stall = (0, 0)  # at which of its steps it stands still, and for how many of the world's
        self.steps = 0
        self.until = 0
        self.done: Done | None = None
        self.error: BaseException | None = None
        self._killed = False
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def step(self) -> None:
        """Run up to the next call that leaves the process, or to the end."""
        self.steps += 1
        self._go.release()
        self._back.acquire()
        if self.ended:
            self._thread.join()
            if self.error is not None and not isinstance(self.error, Crash):
                raise self.error

    def kill(self) -> None:
        """kill -9: nothing of it runs any more."""
        self._killed = True
        while not self.ended:
            self.step()

    def pause(self, name: str) -> None:
        """Called in the batch's thread: let the others run."""
        self.at = name
        self._back.release()
        self._go.acquire()
        if self._killed:
            raise Crash

    def _run(self, work: Callable[[Batch], Done]) -> None:
        self._go.acquire()
        try:
            if not self._killed:
                self.done = work(self)
        except BaseException as error:
            self.error = error
        self.ended = True
        self._back.release()


@dataclass(slots=True)
class Worker:
    """A live worker: which partitions it has, and one batch of each topic in flight."""

    name: int
    units: set[tuple[str, int]] = field(default_factory=set)
    batches: dict[str, Batch] = field(default_factory=dict)


@dataclass(slots=True)
class Replay:
    """A second reader of the log, in any order, with duplicates; then its tail pass."""

    pool: list[tuple[str, int, int]]
    taken: set[tuple[str, int, int]] = field(default_factory=set)
    batches: list[tuple[Batch, list[tuple[str, int, int]]]] = field(default_factory=list)
    again: set[tuple[str, int, int]] = field(default_factory=set)  # were in a batch that crashed
    tail: bool = False
    finished: bool = False


def unit_of(table: str, partition: int) -> tuple[str, int]:
    """What is assigned together: the same partition of scorecards and scores."""
    return ("chats" if table == CHATS else "rows", partition)


class World:
    """Everything there is, and what may happen next.

    Args:
        choices: random.Random, or hypothesis' own; every choice of the history is one of its calls.
    """

    def __init__(self, choices: random.Random, faults: Faults, *, target: Any = None, trace: bool = False) -> None:
        self.choices = choices
        self.faults = faults
        self.trace = trace
        self.running: Batch | None = None
        self.now = 0
        self.draining = False
        self.postgres = FakePostgres(on_call=self._on_call)
        self.log = FakeLog(partitions=PARTITIONS)
        self.debezium = FakeDebezium(
            self.postgres,
            self.log,
            score_key=faults.score_key,
            tombstones=self._chance(0.3),
            toast=self._toast,
        )
        self.fake_target = target is None
        self.target = FakeClickHouse(shards=2, on_call=self._on_call) if target is None else target
        self.target.on_call = self._on_call
        if self.fake_target:
            self.target.order = self._shuffled
        self.dead_letters = FakeDeadLetters(on_call=self._on_call)
        self.layout = Layout(shards=2, bucket_days=1)
        self.transactions: list[Transaction] = []
        self.workers = [Worker(n) for n in range(faults.workers)]
        self.committed = dict.fromkeys(self.log.partitions, 0)
        self.owner: dict[tuple[str, int], Worker] = {}
        self.careful_until = dict.fromkeys(self.log.partitions, 0)
        self.sleepers: list[Batch] = []  # batches of a worker that has lost their partitions
        self.replay: Replay | None = None
        self.window = ""  # of the incremental snapshot: "", "open" or "read"
        self.counter = 0
        self.consumed: Counter[str] = Counter()
        self.ledger: Counter[str] = Counter()
        self._decoders = {table: Decoder(table) for table in SOURCES}
        self._assign(list(self.workers))

    # What happens.

    def run(self) -> None:
        """A history, its end, and the invariants.

        Raises:
            Violation: one of them does not hold.
        """
        try:
            if self.faults.initial:
                self._fill()
                self.debezium.initial_snapshot()
            for _ in range(self.faults.rounds):
                self.draining = False
                for _ in range(self.faults.steps):
                    self.now += 1
                    self._step()
                    self._check_quiet()
                self._drain()
                self._check_end()
            if not self.fake_target:  # what ClickHouse merges must change nothing
                self.target.merge()
                self._check_end()
        finally:
            for batch in self._in_flight():
                batch.kill()

    def _step(self) -> None:
        actions: list[tuple[int, Callable[[], None]]] = [(10, self._sql), (4, self._stream), (8, self._fetch)]
        actions.append((2, self.postgres.note_horizon))
        if self._in_flight():
            actions.append((24, self._advance))
        if self.faults.crashes:
            actions.append((2, self._crash))
        if self.faults.pauses and len(self.workers) > 1:
            actions.append((2, self._rebalance))
        if self.faults.incremental:
            actions.append((1, self._incremental))
        if self.faults.resend:
            actions.append((1, self._resend))
        if self.faults.replay:
            actions.append((4, self._replay))
        if not self.fake_target:
            actions.append((1, self.target.merge))
        self._weighted(actions)()

    def _drain(self) -> None:
        """No more changes and faults; everything that is under way comes to its end, in any order."""
        self.draining = True
        self._end_transactions()
        while self.window:
            self._incremental()
        self.debezium.stream()
        for _ in range(100_000):
            self.now += 1
            actions: list[tuple[int, Callable[[], None]]] = []
            if self._in_flight():
                actions.append((3, self._advance))
            if any(self._idle()):
                actions.append((1, self._fetch))
            if self.replay is not None and not self.replay.finished:
                actions.append((1, self._replay))
            if not actions:
                return
            self._weighted(actions)()
        raise Violation("the history does not come to an end")

    def _fill(self) -> None:
        """Most rows are there already."""
        with self.postgres.begin() as tx:
            for table, ids in self.faults.ids.items():
                for row_id in ids:
                    if self._chance(0.8):
                        self._statement(tx, table, row_id)

    def _sql(self) -> None:
        """One statement in a transaction, or its end."""
        if len(self.transactions) < 2 and (not self.transactions or self._chance(0.3)):
            self.transactions.append(self.postgres.begin())
        tx = self._one_of(self.transactions)
        if self._chance(0.2):
            self.transactions.remove(tx)
            if self._chance(0.95):
                self._say("commit")
                tx.commit()
            else:
                tx.rollback()
            return
        table = self._weighted([(2, CHATS), (4, "scorecards"), (4, "scores")])
        row_id = self._one_of(self.faults.ids[table])
        with contextlib.suppress(Locked):
            self._statement(tx, table, row_id)
        if self._chance(0.6):
            self.transactions.remove(tx)
            self._say("commit")
            tx.commit()

    def _statement(self, tx: Transaction, table: str, row_id: str) -> None:
        row = tx.row(table, row_id)
        if row is None:
            values = self._values(table, tx, new=True)
            if values is not None:
                self._say(f"insert {table} {row_id[-2:]} {values}")
                tx.insert(table, row_id, **values)
        elif self._chance(0.1):
            self._say(f"delete {table} {row_id[-2:]}")
            tx.delete(table, row_id)
        elif self._chance(0.05) and (free := self._free_ids(table, tx, row_id)):
            new = self._one_of(free)
            self._say(f"rename {table} {row_id[-2:]} {new[-2:]}")
            tx.update(table, row_id, **{PRIMARY_KEY[table]: new})
        else:
            values = self._values(table, tx, new=False)
            if values is not None:
                self._say(f"update {table} {row_id[-2:]} {values}")
                tx.update(table, row_id, **values)

    def _free_ids(self, table: str, tx: Transaction, row_id: str) -> list[str]:
        """What the primary key of a row may be changed into; of a scorecard with scores it may not."""
        if table == "scorecards" and tx.scores_of(row_id):
            return []
        return [i for i in self.faults.ids[table] if tx.row(table, i) is None]

    def _values(self, table: str, tx: Transaction, *, new: bool) -> dict[str, Any] | None:
        self.counter += 1
        if table == CHATS:
            choices: dict[str, Callable[[], Any]] = {
                "started_at": lambda: self._one_of([*self.faults.times * 3, None]),
                "ended_at": lambda: self.counter,
            }
        elif table == "scorecards":
            choices = {
                "comment": lambda: f"text {self.counter}",
                "score": lambda: float(self.counter),
                "scorecard_type": lambda: self._one_of([None, None, None, 0, *APPEAL_TYPES]),
                "scorecard_time": lambda: self._one_of([*self.faults.times * 3, None]),
                "conversation_id": lambda: self._one_of([None, "", *self.faults.ids[CHATS] * 2]),
                "customer_id": lambda: self._one_of(["acme", "globex"]),
            }
        else:
            cards = [i for i in CARD_IDS if tx.row("scorecards", i) is not None]
            if not cards:
                return None
            choices = {
                "numeric_value": lambda: float(self.counter),
                "comment": lambda: f"text {self.counter}",
                "scorecard_id": lambda: self._one_of(cards),
            }
        if not new:
            names = list(choices)
            chosen = self._one_of(names + [n for n in names if n in _PLACE_COLUMNS])
            return {chosen: choices[chosen]()} | ({"updated_at": self.counter} if table != CHATS else {})
        values = {name: choose() for name, choose in choices.items()}
        if table == "scorecards" and self._chance(0.6):
            values["scorecard_type"] = None
        return values

    def _end_transactions(self) -> None:
        while self.transactions:
            self.transactions.pop(self._below(len(self.transactions))).commit()

    def _stream(self) -> None:
        self.debezium.stream(1 + self._below(3))

    def _resend(self) -> None:
        self.debezium.resend(1 + self._below(3))

    def _incremental(self) -> None:
        if self.window == "":
            self.debezium.open_window()
            self.window = "open"
        elif self.window == "open":
            for table in SOURCES:
                if self._chance(0.6):
                    self.debezium.read_chunk(table)
            self.window = "read"
        else:
            self.debezium.close_window()
            self.window = ""

    # Live workers.

    def _idle(self) -> list[tuple[Worker, str]]:
        """Agents with nothing in flight and messages waiting."""
        return [
            (worker, table)
            for worker in self.workers
            for table in SOURCES
            if table not in worker.batches and self._waiting(worker, table)
        ]

    def _waiting(self, worker: Worker, table: str) -> list[int]:
        return [
            number
            for number in range(PARTITIONS)
            if self.owner[unit_of(table, number)] is worker
            and len(self.log.partitions[table, number]) > self.committed[table, number]
        ]

    def _fetch(self) -> None:
        idle = self._idle()
        if not idle:
            return
        worker, table = self._one_of(idle)
        parts = []
        for number in self._shuffled(self._waiting(worker, table)):
            start = self.committed[table, number]
            parts.append(self.log.batch(table, number, start, start + 1 + self._below(MAX_BATCH)))
        again = any(part.messages[0].offset < self.careful_until[table, part.partition] for part in parts)
        self._say(f"worker {worker.name} fetches {[_described(m) for part in parts for m in part.messages]} {again=}")
        worker.batches[table] = self._batch(table, parts, again=again, in_order=True)

    def _batch(self, table: str, parts: list[FakeFetched], *, again: bool, in_order: bool = False) -> Batch:
        batch = Batch(table, parts, lambda batch: self._process(batch, again=again, in_order=in_order))
        if self._chance(0.5):  # uniform choices alone would seldom let much happen between two steps of a batch
            batch.stall = (1 + self._one_of([0, 1, 1, 1, 2, 3, 5, 6, 8]), 5 + self._below(40))
        return batch

    def _process(self, batch: Batch, *, again: bool, in_order: bool) -> Done:
        pipeline = Pipeline(
            batch.table,
            source=self.postgres,
            target=self.target,
            dead_letters=self.dead_letters,
            layout=self.layout,
            retry=self._retry,
            in_order=in_order,
        )

        def still_mine() -> bool:
            batch.pause("still_mine")
            return not batch.lost

        done = pipeline.process(batch.parts, still_mine=still_mine, again=again)
        batch.pause("commit")
        return done

    def _advance(self) -> None:
        batches = self._in_flight()
        awake = [batch for batch in batches if batch.until <= self.now]
        if not awake and not self.draining:
            return
        batch = self._one_of(awake or batches)
        self._steps_of(batch, self._one_of([1, 2, 4, 8]))

    def _steps_of(self, batch: Batch, steps: int) -> None:
        for _ in range(steps):
            self.running = batch
            batch.step()
            self.running = None
            if batch.ended:
                self._finish(batch)
                return
            if batch.steps == batch.stall[0]:
                self._stall(batch)
                return
            self._say(f"  {batch.table} {[_short(m) for part in batch.parts for m in part.messages]} at {batch.at}")

    def _stall(self, batch: Batch) -> None:
        """The batch stands still; perhaps long enough for a change to be committed, streamed and indexed by others."""
        batch.until = self.now + batch.stall[1]
        self._say(f"  {batch.table} stands still at {batch.at}")
        if self.draining or self._chance(0.4):
            return
        for _ in range(1 + self._below(4)):
            self._sql()
        if self._chance(0.5):
            self._end_transactions()
        self.debezium.stream()
        if self.faults.pauses and self._chance(0.4):
            self._rebalance()
        for _ in range(self._below(60)):
            self._weighted([(1, self._fetch), (3, self._advance)])()
        self._say("  it is over")
        batch.until = self.now
        if self.faults.crashes and not batch.ended and self._chance(0.4):
            self._steps_of(batch, 1 + self._below(3))
            for worker in self.workers:
                if batch in worker.batches.values():
                    self._crash_of(worker)

    def _finish(self, batch: Batch) -> None:
        assert batch.done is not None
        self.ledger.update(batch.done.ledger.totals())
        self.consumed["messages"] += sum(len(part.messages) for part in batch.parts)
        self._say(
            f"  {batch.table} {[_short(m) for part in batch.parts for m in part.messages]} done lost={batch.lost}"
        )
        if batch in self.sleepers:
            self.sleepers.remove(batch)  # its offsets are no longer its own to commit
            return
        if self.replay is not None and any(batch is held for held, _ in self.replay.batches):
            self.replay.batches = [(held, taken) for held, taken in self.replay.batches if held is not batch]
            return
        for worker in self.workers:
            if worker.batches.get(batch.table) is batch:
                del worker.batches[batch.table]
        for part in batch.parts:
            self.committed[batch.table, part.partition] = part.messages[-1].offset + 1

    def _crash(self) -> None:
        self._crash_of(self._one_of(self.workers))

    def _crash_of(self, worker: Worker) -> None:
        self._say(f"worker {worker.name} crashes")
        for batch in worker.batches.values():
            batch.kill()
        worker.batches.clear()
        if self._chance(0.5):  # comes back before the group has noticed, or not
            self._assign([other for other in self.workers if other is not worker] or self.workers)
        else:
            self._take_over(worker, worker.units)

    def _rebalance(self) -> None:
        self._assign(self._shuffled(self.workers)[: 1 + self._below(len(self.workers))])

    def _assign(self, workers: list[Worker]) -> None:
        for unit in sorted({unit_of(table, number) for table, number in self.log.partitions}):
            worker = self._one_of(workers)
            if self.owner.get(unit) is not worker:
                self._take_over(worker, {unit})

    def _take_over(self, worker: Worker, units: set[tuple[str, int]]) -> None:
        """Give partitions to a worker. Batches in flight at another one run on, and find out at their end."""
        self._say(f"worker {worker.name} takes over {sorted(units)}")
        for unit in list(units):
            before = self.owner.get(unit)
            if before is not None and before is not worker:
                before.units.discard(unit)
                for table, batch in list(before.batches.items()):
                    if any(unit_of(table, part.partition) == unit for part in batch.parts):
                        batch.lost = True
                        self.sleepers.append(batch)
                        del before.batches[table]
            self.owner[unit] = worker
            worker.units.add(unit)
            for table, number in self.log.partitions:
                if unit_of(table, number) == unit:
                    self.careful_until[table, number] = self.committed[table, number] + MAX_BATCH

    # The replay.

    def _replay(self) -> None:
        replay = self.replay
        if replay is None or (replay.finished and self._chance(0.1)):
            self.replay = Replay(self._with_duplicates(self._all_messages()))
            self._say("replay starts")
            return
        if replay.finished:
            return
        if replay.batches and self.faults.crashes and self._chance(0.03):
            for batch, taken in replay.batches:
                self._say("replay crashes")
                batch.kill()
                replay.pool += taken
                replay.again |= set(taken)
            replay.batches.clear()
        elif replay.pool and len(replay.batches) < 2:
            self._fetch_replay(replay)
        elif replay.batches:
            self._advance()
        elif not replay.tail:
            replay.tail = True
            replay.pool = [where for where in self._with_duplicates(self._all_messages()) if self._for_tail(where)]
            self._say(f"replay tail {replay.pool}")
        else:
            replay.finished = True
            self._say("replay is finished")

    def _fetch_replay(self, replay: Replay) -> None:
        table = replay.pool[0][0]
        taken = [where for where in replay.pool if where[0] == table][: 1 + self._below(MAX_BATCH)]
        for where in taken:
            replay.pool.remove(where)
        parts = [
            FakeFetched([self.log.partitions[table, number][offset]], table, number) for _, number, offset in taken
        ]
        again = any(where in replay.again for where in taken)
        self._say(f"replay fetches {[_described(m) for part in parts for m in part.messages]} {again=}")
        replay.batches.append((self._batch(table, parts, again=again), taken))

    def _all_messages(self) -> list[tuple[str, int, int]]:
        return [(table, number, at) for (table, number), log in self.log.partitions.items() for at in range(len(log))]

    def _with_duplicates(self, messages: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
        return self._shuffled(messages + [where for where in messages if self._chance(0.2)])

    def _for_tail(self, where: tuple[str, int, int]) -> bool:
        """Only deletes and changes of place."""
        table, number, offset = where
        (change,) = self._decoders[table].decode([self.log.partitions[table, number][offset].value])
        if not isinstance(change, Envelope):
            return False
        return is_for_tail(table, change)

    # What must hold.

    def _check_quiet(self) -> None:
        """While nothing is in flight: what was processed of an appeal is hidden, and no row is visible twice."""
        if self._in_flight() or (self.replay is not None and not self.replay.finished):
            return
        if not self.fake_target and self.now % REAL_LOOK:
            return
        unread = {
            row_id
            for (table, number), log in self.log.partitions.items()
            for message in log[self.committed[table, number] :]
            for row_id in self._scorecards_in(table, message)
        }
        unread |= {
            row[1]
            for commit in self.postgres.wal[self.debezium.read :]
            for change in commit.changes
            for image in (change.before, change.after)
            if image is not None
            for row in self._touched(change.table, image)
        }
        if any(message_left for message_left in unread if message_left == "*"):
            return
        visible = [key for key in self.target.visible_keys() if str(UUID(int=key.scorecard_id)) not in unread]
        for key in visible:
            row = self.postgres.rows["scorecards"].get(str(UUID(int=key.scorecard_id)))
            if row is not None and row["scorecard_type"] in APPEAL_TYPES:
                raise Violation(f"C2: an appeal is visible: {key}")
        for (_, row_id), count in Counter((key.table, (key.scorecard_id, key.row_id)) for key in visible).items():
            if count > 1:
                raise Violation(f"C3: {count} rows are visible of {row_id}")

    def _scorecards_in(self, table: str, message: Message) -> set[str]:
        (change,) = self._decoders[table].decode([message.value])
        if not isinstance(change, Envelope):
            return set()
        if table == CHATS:
            return {"*"}
        return {row.scorecard_id for row in (change.before, change.after) if row is not None}

    @staticmethod
    def _touched(table: str, image: dict[str, Any]) -> set[tuple[str, str]]:
        return {("", "*")} if table == CHATS else {("", image["scorecard_id"])}

    def _check_end(self) -> None:
        if sum(self.ledger.values()) != self.consumed["messages"]:
            raise Violation(f"C4: {self.ledger} does not add up to {self.consumed}")
        if self.dead_letters.letters:
            raise Violation(f"refused: {self.dead_letters.letters[0]}")
        for table in TARGETS:
            expected, visible = self.postgres.expected(table), self.target.visible(table)
            if expected != visible:
                missing = [row for row in expected if row not in visible]
                extra = [row for row in visible if row not in expected]
                raise Violation(f"C1/C3: {table.target}: missing {missing}, extra {extra}")

    # Choices.

    def _on_call(self, name: str) -> None:
        batch = self.running
        if batch is None:
            return
        batch.pause(name)
        if self.faults.errors and self._chance(0.02):
            raise (
                PostgresUnavailable(name)
                if name in {"places", "snapshot", "scorecards_of"}
                else (ClickHouseUnavailable(name))
            )

    @staticmethod
    def _retry(step: Callable[[], Any]) -> Any:
        while True:
            try:
                return step()
            except Retry:
                continue

    def _toast(self) -> str:
        return self._weighted([(6, ""), (1, "after"), (1, "both")]) if self.faults.toast else ""

    def _in_flight(self) -> list[Batch]:
        live = [batch for worker in self.workers for batch in worker.batches.values()]
        replay = [batch for batch, _ in self.replay.batches] if self.replay is not None else []
        return [*live, *self.sleepers, *replay]

    def _below(self, n: int) -> int:
        return self.choices.randrange(n)

    def _chance(self, share: float) -> bool:
        return self.choices.randrange(1000) >= 1000 * (1 - share)

    def _one_of(self, items: list[Any]) -> Any:
        return items[self.choices.randrange(len(items))] if len(items) > 1 else items[0]

    def _shuffled(self, items: list[Any]) -> list[Any]:
        items = list(items)
        self.choices.shuffle(items)
        return items

    def _weighted(self, items: list[tuple[int, Any]]) -> Any:
        at = self.choices.randrange(sum(weight for weight, _ in items))
        for weight, item in items:
            at -= weight
            if at < 0:
                return item
        raise AssertionError

    def _say(self, line: str) -> None:
        if self.trace:
            print(line)


def _described(message: Message) -> str:
    if message.value is None:
        return _short(message) + " tombstone"
    import json

    value = json.loads(message.value)
    row = value["after"] or value["before"]
    ids = "/".join(row[name][-2:] for name in ("scorecard_id", "score_id", "conversation_id") if row.get(name))
    return f"{_short(message)} {value['op']} {ids} {value['source']['sequence']}"


def _short(message: Message) -> str:
    return f"{message.topic.split('.')[-1]}-{message.partition}@{message.offset}"


def run_seed(seed: int, faults: Faults | None = None, *, target: Any = None, trace: bool = False) -> World:
    """The history of a seed. Without `faults` the seed also chooses what may happen in it.

    Args:
        target: instead of the fake; it must be empty, and have `on_call` and `visible` as the fake does.
    """
    choices = random.Random(seed)
    if faults is None:
        faults = Faults(
            steps=choices.choice([15, 30, 60]),
            workers=choices.randrange(1, 4),
            crashes=choices.random() < 0.5,
            pauses=choices.random() < 0.5,
            errors=choices.random() < 0.3,
            replay=choices.random() < 0.5,
            incremental=choices.random() < 0.5,
            resend=choices.random() < 0.3,
            toast=choices.random() < 0.3,
            initial=choices.random() < 0.5,
            rows=choices.choice([1, 1, 2, 3]),
            places=choices.choice([2, 3, len(TIMES)]),
        )
    world = World(choices, faults, target=target, trace=trace)
    if trace:
        print(faults)
    world.run()
    return world


def smallest(seed: int, faults: Faults) -> Faults:
    """The fewest faults with which this seed still goes wrong (a first aid for reading it)."""
    for name in ("errors", "incremental", "resend", "toast", "initial", "replay", "pauses", "crashes"):
        tried = replace(faults, **{name: False})
        if _fails(seed, tried):
            faults = tried
    return faults


def _fails(seed: int, faults: Faults) -> bool:
    try:
        run_seed(seed, faults)
    except Violation:
        return True
    return False


def main() -> int:
    """Exit 0 = no violation found, 1 = one was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--keep-going", action="store_true")
    options = parser.parse_args()
    logging.disable()
    if options.seed is not None:
        run_seed(options.seed, trace=options.trace)
        return 0
    start, first, histories, failed = time.monotonic(), random.randrange(1 << 40), 0, 0
    while time.monotonic() - start < options.seconds:
        seed = first + histories
        histories += 1
        try:
            run_seed(seed)
        except Violation as violation:
            failed += 1
            print(f"seed {seed}: {str(violation)[:300]}", flush=True)
            if not options.keep_going:
                return 1
    print(f"{histories} histories, {failed} with a violation, {time.monotonic() - start:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
