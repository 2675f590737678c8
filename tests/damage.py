"""Rows of ClickHouse damaged by hand: what verify has to find, and repair. Shares no code with the package."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from testbed import oracle

FUTURE = 1 << 120  # a version that no change can have for a long time


class Damage:
    """The shards of one test's database."""

    def __init__(self, env: dict[str, str], database: str) -> None:
        self.database = database
        self.clients = [oracle.client_of(url, env) for url in env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",")]

    def close(self) -> None:
        for client in self.clients:
            client.close()

    def shard_of(self, table: str, scorecard: str) -> int:
        """The shard that shows rows of a scorecard."""
        for shard, client in enumerate(self.clients):
            query = f"SELECT count() FROM {self.database}.{table}_current WHERE scorecard_id = '{scorecard}'"
            if client.query(query).result_rows[0][0]:
                return shard
        raise AssertionError(f"no {table} of {scorecard} is shown")

    def row(self, table: str, scorecard: str) -> dict[str, Any]:
        """One row of a scorecard as it stands, with `_version` and `_deleted`."""
        client = self.clients[self.shard_of(table, scorecard)]
        result = client.query(
            f"SELECT * FROM {self.database}.{table} FINAL WHERE scorecard_id = '{scorecard}' "
            + ("ORDER BY score_id " if table == "score" else "")
            + "LIMIT 1"
        )
        found = dict(zip(result.column_names, result.result_rows[0], strict=True))
        found.pop("_indexed_at", None)
        return found

    def insert(self, table: str, shard: int, row: dict[str, Any]) -> None:
        columns = f"SELECT name, type FROM system.columns WHERE database = '{self.database}' AND table = '{table}'"
        types = dict(self.clients[shard].query(columns).result_rows)
        self.clients[shard].insert(
            table,
            [list(row.values())],
            database=self.database,
            column_names=list(row),
            column_type_names=[types[name] for name in row],
        )

    def delete(self, table: str, shard: int, scorecard: str, row_id: UUID | None = None) -> None:
        """Remove rows physically, regardless of their version."""
        where = f"scorecard_id = '{scorecard}'" + (f" AND score_id = '{row_id}'" if row_id else "")
        self.clients[shard].command(
            f"ALTER TABLE {self.database}.{table} DELETE WHERE {where} SETTINGS mutations_sync = 2"
        )


def deleted(damage: Damage, scorecard: str) -> None:
    damage.delete("score", damage.shard_of("score", scorecard), scorecard, damage.row("score", scorecard)["score_id"])


def hidden(damage: Damage, scorecard: str) -> None:
    row = damage.row("score", scorecard)
    damage.insert("score", damage.shard_of("score", scorecard), row | {"_version": row["_version"] + 9, "_deleted": 1})


def hidden_in_the_future(damage: Damage, scorecard: str) -> None:
    row = damage.row("scorecard", scorecard)
    damage.insert("scorecard", damage.shard_of("scorecard", scorecard), row | {"_version": FUTURE, "_deleted": 1})


def altered(damage: Damage, scorecard: str) -> None:
    row = damage.row("scorecard", scorecard)
    damage.insert("scorecard", damage.shard_of("scorecard", scorecard), row | {"comment": "tampered", "score": 1.25})


def null_made_empty(damage: Damage, scorecard: str) -> None:
    row = damage.row("score", scorecard)
    other = "" if row["comment"] is None else None
    damage.insert("score", damage.shard_of("score", scorecard), row | {"comment": other})


def altered_in_the_future(damage: Damage, scorecard: str) -> None:
    row = damage.row("score", scorecard)
    changed = row | {"not_applicable": not row["not_applicable"], "_version": FUTURE}
    damage.insert("score", damage.shard_of("score", scorecard), changed)


def added(damage: Damage, scorecard: str) -> None:
    row = damage.row("score", scorecard)
    damage.insert("score", damage.shard_of("score", scorecard), row | {"score_id": UUID(int=77)})


def on_both_shards(damage: Damage, scorecard: str) -> None:
    damage.insert("scorecard", 1 - damage.shard_of("scorecard", scorecard), damage.row("scorecard", scorecard))


def on_the_wrong_shard(damage: Damage, scorecard: str) -> None:
    home, row = damage.shard_of("scorecard", scorecard), damage.row("scorecard", scorecard)
    damage.insert("scorecard", 1 - home, row)
    damage.delete("scorecard", home, scorecard)


def ghost_of_another_month(damage: Damage, scorecard: str) -> None:
    row = damage.row("scorecard", scorecard)
    at: datetime = row["event_time"]
    # by an even number of days, so that it stays on its shard
    damage.insert("scorecard", damage.shard_of("scorecard", scorecard), row | {"event_time": at - timedelta(days=62)})


def under_another_customer(damage: Damage, scorecard: str) -> None:
    row = damage.row("scorecard", scorecard)
    damage.insert("scorecard", damage.shard_of("scorecard", scorecard), row | {"customer_id": "another-owner"})


# name -> (what is done to a shown scorecard, what verify must find, a word of each reason)
DAMAGES: dict[str, tuple[Callable[[Damage, str], None], list[tuple[str, str]]]] = {
    "deleted": (deleted, [("missing", "not in ClickHouse at all")]),
    "hidden": (hidden, [("missing", "hidden by a delete marker")]),
    "hidden in the future": (hidden_in_the_future, [("missing", "hidden by a delete marker")]),
    "altered": (altered, [("stale", "content differs in score, comment")]),
    "null and empty": (null_made_empty, [("stale", "content differs in comment")]),
    "altered in the future": (altered_in_the_future, [("stale", "content differs in not_applicable")]),
    "added": (added, [("extra", "score gone in Postgres")]),
    "on both shards": (on_both_shards, [("extra", "wrong shard")]),
    "on the wrong shard": (on_the_wrong_shard, [("extra", "wrong shard"), ("missing", "shown in a wrong place only")]),
    "ghost of another month": (ghost_of_another_month, [("extra", "ghost of another time")]),
    "under another customer": (under_another_customer, [("extra", "wrong customer")]),
}
