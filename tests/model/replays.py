"""A replay of the log beside live, with its tail pass."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream.pipeline.late import Newest
from stream.pipeline.moves import may_move
from tests.fakes import (
    FakeFetched,
)
from tests.model.batch import Batch, described
from tests.model.faults import (
    MAX_BATCH,
)


@dataclass(slots=True)
class Replay:
    """A second reader of the log, in any order, with duplicates; then its tail pass."""

    pool: list[tuple[str, int, int]]
    taken: set[tuple[str, int, int]] = field(default_factory=set)
    batches: list[tuple[Batch, list[tuple[str, int, int]]]] = field(default_factory=list)
    again: set[tuple[str, int, int]] = field(default_factory=set)  # were in a batch that crashed
    tail: bool = False
    finished: bool = False
    newest: Newest = field(default_factory=Newest)


class Replays:
    """The replay of a World."""

    def _replay(self) -> None:
        replay = self.replay
        if replay is None or (replay.finished and self._chance(0.1)):
            self.replay = Replay(self._with_duplicates(self._all_messages()))
            self._say("replay starts")
            return
        if replay.finished:
            return
        if replay.batches and self.faults.crashes and self._chance(0.03):
            self._replay_crashes(replay)
        elif self.faults.cancels and not replay.tail and not self.draining and self._chance(0.2):
            self._cancel(replay)
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
            # What a fail over lost is in the log, and the replay wrote it again: `verify --repair` follows.
            self.unrepaired = self.unrepaired or self.lost

    def _cancel(self, replay: Replay) -> None:
        """Its processes are killed, or finish and commit their batches. No tail pass follows."""
        self._say("replay is cancelled")
        if self.faults.crashes and self._chance(0.5):
            self._replay_crashes(replay)
        self._show()  # a batch may wait for a commit that look-ups do not see yet
        while replay.batches:
            self._steps_of(replay.batches[0][0], 1)
        replay.finished = self.unrepaired = True

    def _replay_crashes(self, replay: Replay) -> None:
        for batch, taken in replay.batches:
            self._say("replay crashes")
            batch.kill()
            replay.pool += taken
            replay.again |= set(taken)
        self._land_all()
        replay.batches.clear()

    def _fetch_replay(self, replay: Replay) -> None:
        table = replay.pool[0][0]
        taken = [where for where in replay.pool if where[0] == table][: 1 + self._below(MAX_BATCH)]
        for where in taken:
            replay.pool.remove(where)
        parts = [
            FakeFetched([self.log.partitions[table, number][offset]], table, number) for _, number, offset in taken
        ]
        again = any(where in replay.again for where in taken)
        self._say(f"replay fetches {[described(m) for part in parts for m in part.messages]} {again=}")
        replay.batches.append((self._batch(table, parts, newest=replay.newest, again=again, old=True), taken))

    def _all_messages(self) -> list[tuple[str, int, int]]:
        return [(table, number, at) for (table, number), log in self.log.partitions.items() for at in range(len(log))]

    def _with_duplicates(self, messages: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
        return self._shuffled(messages + [where for where in messages if self._chance(0.2)])

    def _for_tail(self, where: tuple[str, int, int]) -> bool:
        """Only deletes and changes of place."""
        table, number, offset = where
        return may_move(table, self.log.partitions[table, number][offset].value)
