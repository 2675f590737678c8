"""A server that lacks the last transactions takes Postgres' place; `recover` leads back, and repairs what differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from stream.epochs import Epochs
from stream.pipeline.ahead import highest
from stream.pipeline.ledger import Done, Ledger
from stream.pipeline.settle import Settler
from stream.pipeline.stored import Key
from stream.postgres.replication import PostgresServer
from stream.recover import findings
from stream.recover.facts import Facts
from stream.reindex.now import ReindexNow
from stream.tables import TARGETS
from tests.model.batch import Batch

_MOST = 8  # commits that a fail over loses, at most


class FailOvers:
    """The fail overs of a World, and what follows each."""

    def _fail_over(self) -> None:
        """Kill the primary. What the other server lacks may be in Kafka, and in ClickHouse."""
        restored = self._chance(0.3)
        lost = self._below(min(_MOST, 1 + len(self.postgres.wal)))
        self._say(f"fail over: {lost} commits are lost{', restored' if restored else ''}")
        self.keeps_slot = not restored and self.debezium.read <= len(self.postgres.wal) - lost and self._chance(0.5)
        self.postgres.fail_over(lost, restored=restored)
        self.transactions.clear()
        self.flushed.clear()
        self.window = ""
        self.broken = self.unrepaired = self.lost = True
        if restored:
            # From here on commits are of the new cluster: every process starts again with that setting.
            self.epochs = Epochs(0, (*self.epochs.starts_ms, self.began_ms + self.now + 1))
            for worker in self.workers:
                self._crash_of(worker)
            if self.replay is not None:
                self._replay_crashes(self.replay)

    def _recover(self) -> None:
        """WAL past the versions that stand, a slot, and the connector goes on."""
        self._say("recover")
        self.broken = False
        self._pass_versions()
        if not self.keeps_slot and self._chance(0.5):
            self._sql()  # in no message
        self.debezium.recover(keeps_slot=self.keeps_slot)

    def _pass_versions(self) -> None:
        facts = self._facts()
        if findings.versions_ahead(facts):
            self.postgres.lsn = findings.reached(facts) + 16
            self.postgres.commit_nothing()  # the connector's heartbeat: from here on every change is above

    def _facts(self) -> Facts:
        server = PostgresServer(
            "db", 180000, "1", 1, False, lsn=self.postgres.lsn, xact_s=0, foreign_horizon=False, rows=0
        )
        return Facts(
            server=server,
            slot=None,
            unpublished=(),
            connector=None,
            failures=(),
            drifted=(),
            position=None,
            missing_topics=(),
            empty_topics=(),
            highest=max(self.target.versions().values(), default=0),
            stored=(),
            epoch=self.epochs.present(),
            workers=1,
        )

    def _compare(self) -> None:
        """Everything is processed: find the scorecards that differ, and repair them beside what goes on.

        A batch that was under way may have written a lost change after the recovery's first look.
        """
        self._pass_versions()
        differ: list[tuple[Any, ...]] = []
        for table in TARGETS:
            wanted, shown = self.postgres.expected(table), self.target.visible(table)
            differ += [row for row in wanted if row not in shown] + [row for row in shown if row not in wanted]
        ids, customers = sorted({str(UUID(int=row[1])) for row in differ}), {row[0] for row in differ}
        self._say(f"repair {[each[-2:] for each in ids]}")

        def work(batch: Batch) -> Done:
            if ids:
                Repair(self)(ids, customers)
            return Done(ledger=Ledger("repair"))

        self.repair = Batch("repair", [], work)

    def _repaired(self) -> None:
        self._say("repaired")
        self.repair, self.unrepaired = None, False


class Repair(ReindexNow):
    """The one of `verify --repair`, between the fakes."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._source = world.postgres
        self._target = world.target
        self._epochs = world.epochs
        self._retry = world._retry
        self._layout = world.layout
        self._settler = Settler(source=self._source, target=self._target, layout=self._layout, retry=self._retry)
        self._floor = None

    def _spelled(self, ids: Sequence[str]) -> list[str]:
        return self._source.spelled(ids)

    def _version_now(self) -> int:
        return highest(self._epochs.present(), self._source.position())

    def _highest(self, now: int) -> int:
        self._world._on_call("highest")
        return max((version for version in self._target.versions().values() if version <= now), default=0)

    def _held(self, ids: Sequence[str], customers: set[str], now: int) -> dict[int, int]:
        found: dict[int, int] = {}
        for key, version in self._versions(ids, customers).items():
            if version <= now:
                found[key.scorecard_id] = max(version, found.get(key.scorecard_id, 0))
        return found

    def _future(self, ids: Sequence[str], customers: set[str], now: int) -> dict[Key, int]:
        return {key: version for key, version in self._versions(ids, customers).items() if version > now}

    def _versions(self, ids: Sequence[str], customers: set[str]) -> dict[Key, int]:
        self._world._on_call("versions")
        numbers = {UUID(each).int for each in ids}
        return {
            key: version
            for key, version in self._target.versions().items()
            if key.scorecard_id in numbers and key.customer_id in customers
        }
