"""The highest versions of some scorecards, on every shard, delete markers included."""

from __future__ import annotations

from collections.abc import Sequence

from stream.clickhouse.shards import Shards
from stream.pipeline.stored import Key
from stream.tables import TARGETS


def highest(
    shards: Shards, ids: Sequence[str], customers: Sequence[str], *, above: int = -1
) -> dict[Key, tuple[int, bool]]:
    """By sort key the highest version, and whether a delete marker has it.

    Args:
        ids: scorecards, as canonical UUIDs.
        customers: under which rows of them may stand; the key of the tables begins with the customer.
        above: only keys with a higher version than this.

    Raises:
        ClickHouseUnavailable, ClickHouseRefused: naming the shard.
    """
    found: dict[Key, tuple[int, bool]] = {}
    if not ids or not customers:
        return found
    values = {"ids": tuple(ids), "customers": tuple(customers)}
    condition = f"HAVING max(_version) > toUInt128('{above}')" if above >= 0 else ""
    for table in TARGETS:
        query = (
            f"SELECT toString(customer_id), scorecard_id, {table.id} AS row_id, "
            "toUnixTimestamp64Micro(event_time) AS time_us, max(_version), argMax(_deleted, _version) "
            f"FROM {{database}}.{table.target} "
            "WHERE customer_id IN %(customers)s AND scorecard_id IN %(ids)s "
            f"GROUP BY customer_id, scorecard_id, row_id, time_us {condition}"
        )
        for shard, customer, scorecard, row, time_us, version, deleted in shards.everywhere(query, values):
            key = Key(shard, table.target, customer, scorecard.int, row.int, time_us)
            found[key] = (version, bool(deleted))
    return found


def highest_of(shards: Shards, ids: Sequence[str], customers: Sequence[str], *, most: int) -> dict[int, int]:
    """By scorecard the highest version up to `most`; scorecards without rows are missing. Else as `highest`."""
    found: dict[int, int] = {}
    if not ids or not customers:
        return found
    values = {"ids": tuple(ids), "customers": tuple(customers)}
    for table in TARGETS:
        query = (
            f"SELECT scorecard_id, max(_version) FROM {{database}}.{table.target} "
            f"WHERE customer_id IN %(customers)s AND scorecard_id IN %(ids)s AND _version <= toUInt128('{most}') "
            "GROUP BY scorecard_id"
        )
        for _, scorecard, version in shards.everywhere(query, values):
            found[scorecard.int] = max(version, found.get(scorecard.int, 0))
    return found
