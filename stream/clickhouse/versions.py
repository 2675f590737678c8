"""The highest version of each sort key of some scorecards, on every shard, delete markers included."""

from __future__ import annotations

from collections.abc import Sequence

from stream.clickhouse.shards import Shards
from stream.pipeline.writes import Key
from stream.tables import TARGETS


def highest(shards: Shards, ids: Sequence[str], customers: Sequence[str]) -> dict[Key, tuple[int, bool]]:
    """By sort key the highest version, and whether a delete marker has it.

    Args:
        ids: scorecards, as canonical UUIDs.
        customers: under which rows of them may stand; the key of the tables begins with the customer.

    Raises:
        ClickHouseUnavailable, ClickHouseRefused: naming the shard.
    """
    found: dict[Key, tuple[int, bool]] = {}
    if not ids or not customers:
        return found
    values = {"ids": tuple(ids), "customers": tuple(customers)}
    for table in TARGETS:
        query = (
            f"SELECT toString(customer_id), scorecard_id, {table.id} AS row_id, "
            "toUnixTimestamp64Micro(event_time) AS time_us, max(_version), argMax(_deleted, _version) "
            f"FROM {{database}}.{table.target} "
            "WHERE customer_id IN %(customers)s AND scorecard_id IN %(ids)s "
            "GROUP BY customer_id, scorecard_id, row_id, time_us"
        )
        for shard, customer, scorecard, row, time_us, version, deleted in shards.everywhere(query, values):
            key = Key(shard, table.target, customer, scorecard.int, row.int, time_us)
            found[key] = (version, bool(deleted))
    return found
