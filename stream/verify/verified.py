"""The result of a comparison."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from stream.pipeline.ordering import lsn_text
from stream.scope import Scope
from stream.times import day_text
from stream.verify.cells import Cell, Cells, Different
from stream.verify.findings import RowDifference


@dataclass(slots=True)
class Verified:
    """The result of one comparison."""

    scope: Scope
    database: str
    lsn: int = 0
    cells: int = 0
    postgres: Cells = field(default_factory=dict)
    shards: list[Cells] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)  # rows by table, in Postgres
    different: list[Different] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # (table, what) -> rows
    findings: list[RowDifference] = field(default_factory=list)  # the first `limit` findings
    not_opened: int = 0  # differing cells beyond the limit, which were not opened
    moving: list[str] = field(default_factory=list)  # scorecards that changed at every look
    letters_unread: str = ""  # why the dead letters could not be read, so that reasons may be missing
    not_looked_at: int = 0  # scorecards that changed meanwhile, beyond the limit of those that are looked at again
    lagging: str = ""  # why nothing can be said about the differences
    seconds: float = 0.0

    @property
    def wrong(self) -> int:
        """Number of wrong rows."""
        return sum(self.counts.values())

    @property
    def clean(self) -> bool:
        return not (self.wrong or self.not_opened or self.not_comparable or self.lagging)

    @property
    def not_comparable(self) -> int:
        """Scorecards of which nothing can be said, because they went on changing."""
        return len(self.moving) + self.not_looked_at

    @property
    def wrong_cells(self) -> set[Cell]:
        """Wrong cells: cells that differ, and whose rows do not explain the difference away.

        On a live system the shards are read later than Postgres, so today's cells differ at first. Where the rows turn
        out to be right, no cell is wrong.
        """
        return {each.cell for each in self.different} if self.wrong or self.not_opened else set()

    def as_json(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "scope": self.scope.as_json(),
            "lsn": lsn_text(self.lsn),
            "clean": self.clean,
            "cells": self.cells,
            "rows": self.rows,
            "different_cells": [
                {
                    "table": each.cell.table,
                    "customer_id": each.cell.customer_id,
                    "day": day_text(each.cell.day),
                    "kind": "process" if each.cell.is_process else "conversation",
                    "shard": each.shard,
                    "postgres_rows": each.postgres.rows,
                    "clickhouse_rows": each.clickhouse.rows,
                }
                for each in self.different[:1_000]
            ],
            "missing": sum(n for (_, what), n in self.counts.items() if what == "missing"),
            "extra": sum(n for (_, what), n in self.counts.items() if what == "extra"),
            "stale": sum(n for (_, what), n in self.counts.items() if what == "stale"),
            "findings": [each.as_json() for each in self.findings],
            "cells_not_opened": self.not_opened,
            "not_comparable_yet": self.lagging or self.moving,
            "not_looked_at": self.not_looked_at,
            "dead_letters_unread": self.letters_unread,
            "seconds": round(self.seconds, 2),
        }
