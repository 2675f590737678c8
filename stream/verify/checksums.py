"""Rows -> bytes -> 64-bit hashes -> order-free sums: the same figures from Postgres' SQL and from ClickHouse's.

Every column becomes bytes that say exactly what it holds, in both stores alike:

    uuid   its 16 bytes                         float  the 8 bytes of IEEE 754, so -0.0 and 0.0 differ
    time   microseconds since 2000, 8 bytes     int    4 bytes          bool  1 byte
    text   its UTF-8, then a zero byte          nullable  00 for NULL, 01 and the value otherwise

UUIDs may be text in Postgres. The empty text is NULL there, as it is for the indexer. A row's hash is the first half of
the MD5 of all its columns, big-endian. MD5 is the fast hash that every Postgres and every ClickHouse have. Sums are
taken modulo 2**64. Pure: SQL text only.
"""

from __future__ import annotations

from stream.tables import Column, Table
from stream.times import POSTGRES_EPOCH_US


def target_bytes(column: Column) -> str:
    """The canonical bytes of a column in ClickHouse, never NULL."""
    name = f"`{column.name}`"
    match column.kind:
        case "uuid":
            plain = f"UUIDToNum({name})"
        case "time":
            plain = f"reverse(reinterpretAsFixedString(toUnixTimestamp64Micro({name}) - {POSTGRES_EPOCH_US}))"
        case "float":
            plain = f"reverse(reinterpretAsFixedString({name}))"
        case "int":
            plain = f"reverse(reinterpretAsFixedString(toInt32({name})))"
        case "bool":
            plain = f"reinterpretAsFixedString(toUInt8({name}))"
        case _:
            plain = f"concat({name}, '\\0')"
    return f"ifNull(concat('\\x01', {plain}), '\\0')" if column.nullable else plain


def target_hash(table: Table) -> str:
    """The hash of a row in ClickHouse, a UInt64."""
    # halfMD5 of one argument is the first half of its MD5, big-endian
    return f"halfMD5(concat({', '.join(target_bytes(column) for column in table.all_columns)}))"


def target_hashes(table: Table) -> str:
    """16 hex digits for each column, in one text."""
    each = (f"lower(leftPad(hex(halfMD5({target_bytes(column)})), 16, '0'))" for column in table.all_columns)
    return f"concat({', '.join(each)})"


TARGET_DAY = "toInt32(toDate32(event_time))"
