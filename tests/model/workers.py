"""Live workers: batches in flight, rebalances, crashes, sleepers."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from stream.errors import ClickHouseUnavailable, PostgresUnavailable, Retry
from stream.pipeline.late import Newest
from stream.pipeline.ledger import Done
from stream.pipeline.pipeline import Pipeline
from stream.pipeline.writes import Writes
from stream.tables import CHATS, SOURCES
from tests.fakes import (
    FakeFetched,
)
from tests.model.asides import Asides
from tests.model.batch import Batch, described, short
from tests.model.faults import (
    MAX_BATCH,
    PARTITIONS,
)


@dataclass(slots=True)
class Worker:
    """A live worker: which partitions it has, and one batch of each topic in flight.

    `asides`: large reindexes, of which it carries out the first. `positions`: where it reads on, from there on.
    """

    name: int
    units: set[tuple[str, int]] = field(default_factory=set)
    batches: dict[str, Batch] = field(default_factory=dict)
    asides: list[Batch] = field(default_factory=list)
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    newest: Newest = field(default_factory=Newest)


def unit_of(table: str, partition: int) -> tuple[str, int]:
    """Partitions that are assigned together: the same number of scorecards and scores."""
    return ("chats" if table == CHATS else "rows", partition)


class Workers(Asides):
    """The live workers of a World."""

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
            and len(self.log.partitions[table, number]) > self._position(worker, (table, number))
        ]

    def _fetch(self) -> None:
        idle = self._idle()
        if not idle:
            return
        worker, table = self._one_of(idle)
        parts = []
        for number in self._shuffled(self._waiting(worker, table)):
            start = self._position(worker, (table, number))
            parts.append(self.log.batch(table, number, start, start + 1 + self._below(MAX_BATCH)))
            self.begun[table, number] = max(self.begun[table, number], parts[-1].end)
        again = any(part.messages[0].offset < self.careful_until[table, part.partition] for part in parts)
        self._say(f"worker {worker.name} fetches {[described(m) for part in parts for m in part.messages]} {again=}")
        old = self._is_old(table, parts)
        worker.batches[table] = self._batch(table, parts, newest=worker.newest, again=again, old=old, in_order=True)

    def _batch(
        self, table: str, parts: list[FakeFetched], *, newest: Newest, again: bool, old: bool, in_order: bool = False
    ) -> Batch:
        def work(batch: Batch) -> Done:
            return self._process(batch, newest=newest, again=again, old=old, in_order=in_order)

        batch = Batch(table, parts, work)
        if self._chance(0.5):  # uniform choices alone would seldom let much happen between two steps of a batch
            batch.stall = (1 + self._one_of([0, 1, 1, 1, 2, 3, 5, 6, 8]), 5 + self._below(40))
        return batch

    def _process(self, batch: Batch, *, newest: Newest, again: bool, old: bool, in_order: bool) -> Done:
        pipeline = Pipeline(
            batch.table,
            source=self.postgres,
            target=self.target,
            dead_letters=self.dead_letters,
            layout=self.layout,
            epochs=self.epochs,
            retry=self._retry,
            in_order=in_order,
            newest=newest,
        )

        def still_mine() -> bool:
            batch.pause("still_mine")
            return not batch.lost

        leaves = in_order and self.faults.large
        done = pipeline.process(batch.parts, still_mine=still_mine, again=again, old=old, leaves=leaves)
        batch.pause("commit")
        return done

    def _advance(self) -> None:
        waiting = [job for worker in self.workers for job in worker.asides[1:]]
        batches = [batch for batch in self._in_flight() if batch not in waiting]
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
            self._say(f"  {batch.table} {[short(m) for part in batch.parts for m in part.messages]} at {batch.at}")

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
                if batch in (*worker.batches.values(), *worker.asides):
                    self._crash_of(worker)

    def _finish(self, batch: Batch) -> None:
        if batch is self.repair:
            self._repaired()
            return
        assert batch.done is not None
        self.ledger.update(batch.done.ledger.totals())
        if not batch.aside:
            self.consumed["messages"] += sum(len(part.messages) for part in batch.parts)
        self._say(f"  {batch.table} {[short(m) for part in batch.parts for m in part.messages]} done lost={batch.lost}")
        if batch in self.sleepers:
            self.sleepers.remove(batch)  # its offsets are not its own to commit any more
            return
        if self.replay is not None and any(batch is held for held, _ in self.replay.batches):
            self.replay.batches = [(held, taken) for held, taken in self.replay.batches if held is not batch]
            return
        (worker,) = [each for each in self.workers if batch in (*each.batches.values(), *each.asides)]
        if batch.aside:
            worker.asides.remove(batch)
        else:
            del worker.batches[batch.table]
            worker.positions |= {(batch.table, part.partition): part.end for part in batch.parts}
            if batch.done.aside is not None:
                worker.asides.append(self._left_aside(batch, batch.done.aside))
        self._commit_offsets(worker, batch)

    def _crash(self) -> None:
        self._crash_of(self._one_of(self.workers))

    def _crash_of(self, worker: Worker) -> None:
        self._say(f"worker {worker.name} crashes")
        for batch in (*worker.batches.values(), *worker.asides):
            batch.kill()
        self._land_all()
        worker.batches.clear()
        worker.asides.clear()
        worker.positions.clear()
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
                read_again = self._lose_asides(before, {at for at in self.log.partitions if unit_of(*at) == unit})
                for table, batch in list(before.batches.items()):
                    if any((table, part.partition) in read_again for part in batch.parts):
                        batch.lost = True
                        self.sleepers.append(batch)
                        del before.batches[table]
            self.owner[unit] = worker
            worker.units.add(unit)
            for table, number in self.log.partitions:
                if unit_of(table, number) == unit:
                    at = self.committed[table, number]
                    self.careful_until[table, number] = max(at + MAX_BATCH, self.begun[table, number])
                    worker.newest.start((self.log.prefix + table, number), at, self.reached[table, number])

    def _on_call(self, name: str) -> None:
        batch = self.running
        if batch is None:
            return
        batch.pause(name)
        if self.faults.errors and self._chance(0.02):
            raise (
                PostgresUnavailable(name)
                if name in {"places", "snapshot", "scorecards_of", "spelled", "lacking"}
                else (ClickHouseUnavailable(name))
            )

    def _write_or_give_up(self, writes: Writes) -> None:
        """An insert; some fail for their client, and are executed later."""
        if self.running is not None and self._chance(0.1):
            self.running.pause("write")
            self.pending.append(deepcopy(writes))
            self._say("  an insert times out")
            raise ClickHouseUnavailable("write")
        self._write(writes)

    def _land(self) -> None:
        """One of these inserts is executed."""
        self._say("an insert that timed out is executed")
        self._write(self.pending.pop(self._below(len(self.pending))))

    def _land_all(self) -> None:
        """Those of a process that was killed end before another one looks for what it left: a session later."""
        while self.pending:
            self._land()

    @staticmethod
    def _retry(step: Callable[[], Any]) -> Any:
        while True:
            try:
                return step()
            except Retry:
                continue

    def _in_flight(self) -> list[Batch]:
        live = [batch for worker in self.workers for batch in (*worker.batches.values(), *worker.asides)]
        replay = [batch for batch, _ in self.replay.batches] if self.replay is not None else []
        return [*live, *self.sleepers, *replay, *([self.repair] if self.repair is not None else [])]
