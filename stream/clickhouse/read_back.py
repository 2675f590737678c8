"""Are rows there that ClickHouse has acknowledged? Some of an insert are read again, now and then.

A server counts what it was sent, not what can be read, and so does a front or a proxy before it. To count the rows of
each insert would cost as much as the insert. So an engine that stores before it acknowledges is required
(schema/look.py), and after each look the next insert into a table is read back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from stream.clickhouse.shards import Shards
from stream.tables import Table

SAMPLE: Final = 50  # rows of an insert, spread over all of it


def unreadable(shards: Shards, shard: int, table: Table, columns: Sequence[Sequence[Any]]) -> int:
    """How many rows of a sample of an insert are not on the shard, in this version or a later one.

    Args:
        columns: as they were inserted.

    Raises:
        ClickHouseUnavailable, ClickHouseRefused: naming the shard.
    """
    named = dict(zip(table.insert_columns, columns, strict=True))
    step = max(1, len(columns[0]) // SAMPLE)
    keys = ("customer_id", "scorecard_id", table.id, "event_time")
    sample = list(zip(*(named[name][::step] for name in (*keys, "_version")), strict=True))
    rows = shards.ask(
        shard,
        f"SELECT toString(customer_id), scorecard_id, {table.id}, toUnixTimestamp64Micro(event_time), max(_version) "
        f"FROM {{database}}.{table.target} WHERE customer_id IN %(customers)s AND scorecard_id IN %(ids)s "
        f"GROUP BY customer_id, scorecard_id, {table.id}, event_time",
        {
            "customers": tuple({customer for customer, *_ in sample}),
            "ids": tuple({str(UUID(int=scorecard)) for _, scorecard, *_ in sample}),
        },
    )
    held = {(customer, card.int, own.int, time_us): version for customer, card, own, time_us, version in rows}
    return sum(held.get((customer, card, own, at), -1) < version for customer, card, own, at, version in sample)
