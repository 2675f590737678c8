"""Large reindexes that a live worker's batch left aside: they keep the commit back, and the worker reads on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from stream.pipeline import aside, pieces, reindexer
from stream.pipeline.aside import Aside
from stream.pipeline.ledger import Done, Ledger
from stream.pipeline.settle import Settler
from tests.model.batch import Batch

At = tuple[str, int]  # table, partition


@contextmanager
def everything_is_large() -> Iterator[None]:
    """Three rows are too many at once, and go in two pieces. Two scorecards of a conversation are too many as well."""
    small = (
        (reindexer, "ROWS_AT_ONCE", 2),
        (reindexer, "MOST", 2),
        (pieces, "MOST", 2),
        (aside, "MOST_AT_ONCE", 1),
    )
    before = [(module, name, getattr(module, name)) for module, name, _ in small]
    for module, name, value in small:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


class Asides:
    """What the live workers of a World left aside."""

    def _left_aside(self, batch: Batch, left: Aside) -> Batch:
        def work(job: Batch) -> Done:
            def still_mine() -> bool:
                job.pause("still_mine")
                return not job.lost

            done = Done(ledger=Ledger(batch.table))
            settler = Settler(source=self.postgres, target=self.target, layout=self.layout, retry=self._retry)
            letters = settler.finish(left, done, still_mine=still_mine)
            if letters:
                self._retry(partial(self.dead_letters.send, letters))
            job.pause("commit")
            return done

        job = Batch(batch.table, [batch.parts[number] for number in sorted(left.parts)], work)
        job.aside = True
        self._say(f"  {batch.table} leaves {sorted(left.versions)} aside")
        return job

    def _position(self, worker: Any, at: At) -> int:
        return worker.positions.get(at, self.committed[at])

    def _commit_offsets(self, worker: Any, batch: Batch) -> None:
        """Commit what lies before the first message of which something is aside."""
        for part in batch.parts:
            at = batch.table, part.partition
            jobs = [job for job in worker.asides if job.table == batch.table]
            undone = [own.start for job in jobs for own in job.parts if own.partition == part.partition]
            self.committed[at] = min([*undone, self._position(worker, at)])
            self.reached[at] = worker.newest.before((part.topic, part.partition), self.committed[at])

    def _lose_asides(self, worker: Any, lost: set[At]) -> set[At]:
        """The worker goes on with what is aside of partitions that it lost, and commits none of that.

        Returns:
            The partitions that will be read again from what is committed.
        """
        for job in list(worker.asides):
            own = {(job.table, part.partition) for part in job.parts}
            if own & lost:
                job.lost = True
                self.sleepers.append(job)
                worker.asides.remove(job)
                lost = lost | own
        for at in lost:
            worker.positions.pop(at, None)
        return lost
