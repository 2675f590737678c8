"""A model of the whole path, driven by random choices: does ClickHouse end equal to Postgres in every history?

A history interleaves, one step at a time: transactions in Postgres, Debezium, live workers, rebalances, crashes, and a
replay with its tail pass. Debezium also sends incremental snapshots and re-deliveries. Each worker has one batch of
each topic in flight. Workers retry errors, and some sleep until their partitions have moved. Batches run the real
Pipeline, each in a thread of its own that stops before every call that leaves the process. Only one thread runs at a
time.

    python -m tests.model --seconds 60          histories of random seeds, until one goes wrong
    python -m tests.model --seed 7 --trace      that history, step by step
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from stream.epochs import ONE_EPOCH, Epochs
from stream.pipeline.writes import Layout, Writes
from tests.fakes import (
    FakeClickHouse,
    FakeDeadLetters,
    FakeDebezium,
    FakeLog,
    FakePostgres,
    Transaction,
)
from tests.model.asides import everything_is_large
from tests.model.batch import Batch
from tests.model.checks import Checks
from tests.model.choices import Choices
from tests.model.fail_overs import FailOvers
from tests.model.faults import (
    PARTITIONS,
    Faults,
    Violation,
)
from tests.model.replays import Replay, Replays
from tests.model.rewinds import Rewinds
from tests.model.workers import Worker, Workers
from tests.model.writers import Writers


class World(Choices, Writers, Workers, Replays, Rewinds, FailOvers, Checks):
    """All parts of the world, and the events that may happen next.

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
        self.pending: list[Writes] = []  # inserts that failed for their client, and are still executed
        if self.fake_target:
            self.target.order = self._shuffled
            if faults.late_inserts:
                self._write, self.target.write = self.target.write, self._write_or_give_up
        self.dead_letters = FakeDeadLetters(on_call=self._on_call)
        self.layout = Layout(shards=2, bucket_days=1)
        self.transactions: list[Transaction] = []
        self.flushed: list[Transaction] = []  # their commits are in the WAL, and not visible yet
        self.workers = [Worker(n) for n in range(faults.workers)]
        self.committed = dict.fromkeys(self.log.partitions, 0)
        self.begun = dict.fromkeys(self.log.partitions, 0)  # up to where some worker has fetched
        self.reached = dict.fromkeys(self.log.partitions, 0)  # the newest version before it, in the commit's metadata
        self.rewound = dict.fromkeys(self.log.partitions, 0)  # up to where the group was before it was moved back
        self.owner: dict[tuple[str, int], Worker] = {}
        self.careful_until = dict.fromkeys(self.log.partitions, 0)
        self.sleepers: list[Batch] = []  # batches of a worker that has lost their partitions
        self.replay: Replay | None = None
        self.epochs: Epochs = ONE_EPOCH
        self.broken = False  # a fail over, and nobody has recovered yet
        self.lost = False  # the log has messages that Postgres lacks
        self.calm = False
        self.unrepaired = False  # and nobody has compared every row since
        self.repair: Batch | None = None
        self.began_ms = int(time.time() * 1000) - 600_000  # the clock of commits stands still within a step
        self.debezium.clock_ms = lambda: self.began_ms + self.now
        self.window = ""  # of the incremental snapshot: "", "open" or "read"
        self.counter = 0
        self.consumed: Counter[str] = Counter()
        self.ledger: Counter[str] = Counter()
        self._assign(list(self.workers))

    def run(self) -> None:
        """A history, its end, and the invariants.

        Raises:
            Violation: one of them does not hold.
        """
        with everything_is_large() if self.faults.large else nullcontext():
            self._run()

    def _run(self) -> None:
        try:
            if self.faults.initial:
                self._fill()
                for _ in range(self._below(8) if self.faults.under_way else 0):
                    self._sql()
                self._show()
                self.debezium.initial_snapshot()
            for _ in range(self.faults.rounds):
                self._some_steps(self.faults.steps)
                self._drain()
                while self.unrepaired:
                    self._compare()
                    self._some_steps(self._below(self.faults.steps), calm=True)
                    self._drain()
                self._check_end()
            if not self.fake_target:  # ClickHouse's merges must change nothing
                self.target.merge()
                self._check_end()
        finally:
            for batch in self._in_flight():
                batch.kill()

    def _some_steps(self, count: int, *, calm: bool = False) -> None:
        """Args: calm: Postgres does not fail over."""
        self.draining = False
        self.calm = calm
        for _ in range(count):
            self.now += 1
            self._step()
            self._check_quiet()

    def _step(self) -> None:
        actions: list[tuple[int, Callable[[], None]]] = [(10, self._sql), (4, self._stream), (8, self._fetch)]
        actions.append((2, self.postgres.note_horizon))
        if self._in_flight():
            actions.append((24, self._advance))
        if self.flushed:
            actions.append((3, self._show))
        if self.pending:
            actions.append((2, self._land))
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
        if self.faults.rewinds:
            actions.append((1, self._rewind))
        if self.faults.fail_overs and not self.unrepaired and not self.calm:
            actions.append((1, self._fail_over))
        if self.broken:
            actions.append((3, self._recover))
        actions.append((1, self._merge_parts))
        self._weighted(actions)()

    def _merge_parts(self) -> None:
        if self.fake_target:
            self.target.merge_some(self._below(1_000), self._one_of([1, 2, 4]))
        else:
            self.target.merge()

    def _drain(self) -> None:
        """No more changes and faults; all batches under way come to their end, in any order."""
        self.draining = True
        self._end_transactions()
        if self.broken:
            self._recover()
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
            if self.pending:
                actions.append((1, self._land))
            if self.replay is not None and not self.replay.finished:
                actions.append((1, self._replay))
            if not actions:
                return
            self._weighted(actions)()
        raise Violation("the history does not come to an end")
