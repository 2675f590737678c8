"""ClickHouse's error codes, each sorted once: does it pass, is the installation at fault, or one row's content?

The numbers are those of ClickHouse's src/Common/ErrorCodes.cpp (26.9). A code that has a name there and stands in no
table here counts as CONFIGURATION. Then the worker stops with the server's own words: a retry that cannot succeed hides
the cause. A code without a name there may pass: the writer tries again until its retries give up.
"""

from __future__ import annotations

import enum
import re
from typing import Final


class Sort(enum.Enum):
    """What a writer or a reader does about an error."""

    PASSING = "passing"  # try the same statement again, with backoff
    CONFIGURATION = "configuration"  # stop: an operator has to change the installation
    DATA = "data"  # a value in the statement is refused


# Each group passes by itself, and its heading says why.
_PASSING: dict[str, dict[int, str]] = {
    "the connection broke, or a server on the way did": {
        3: "UNEXPECTED_END_OF_FILE",
        95: "CANNOT_READ_FROM_SOCKET",
        96: "CANNOT_WRITE_TO_SOCKET",
        198: "DNS_ERROR",
        203: "NO_FREE_CONNECTION",
        209: "SOCKET_TIMEOUT",
        210: "NETWORK_ERROR",
        279: "ALL_CONNECTION_TRIES_FAILED",
        297: "SHARD_HAS_NO_CONNECTIONS",
        519: "NO_REMOTE_SHARD_AVAILABLE",
        749: "TCP_CONNECTION_LIMIT_REACHED",
        762: "HTTP_CONNECTION_LIMIT_REACHED",
        904: "TOO_MANY_UNAVAILABLE_SHARDS",
    },
    "the server is overloaded, or a limit of the moment is reached": {
        159: "TIMEOUT_EXCEEDED",
        160: "TOO_SLOW",
        173: "CANNOT_ALLOCATE_MEMORY",
        201: "QUOTA_EXCEEDED",
        202: "TOO_MANY_SIMULTANEOUS_QUERIES",
        241: "MEMORY_LIMIT_EXCEEDED",
        252: "TOO_MANY_PARTS",
        364: "RECEIVED_ERROR_TOO_MANY_REQUESTS",
        410: "EXTERNAL_SERVER_IS_NOT_RESPONDING",
        439: "CANNOT_SCHEDULE_TASK",
        574: "DISTRIBUTED_TOO_MANY_PENDING_BYTES",
        692: "TOO_MANY_MUTATIONS",
        700: "USER_SESSION_LIMIT_EXCEEDED",
        745: "SERVER_OVERLOADED",
        776: "RESOURCE_LIMIT_EXCEEDED",
        777: "MEMORY_RESERVATION_KILLED",
        778: "MEMORY_RESERVATION_FAILED",
        1017: "ASYNC_INSERT_FLUSH_TIMEOUT",
        1019: "QUERY_SLOT_ACQUISITION_TIMEOUT",
        1020: "MEMORY_RESERVATION_ACQUISITION_TIMEOUT",
    },
    "the server starts, stops, or an operator ended the statement": {
        236: "ABORTED",
        394: "QUERY_WAS_CANCELLED",
        677: "THREAD_WAS_CANCELED",
        696: "ASYNC_LOAD_CANCELED",
        722: "ASYNC_LOAD_WAIT_FAILED",
        734: "CANNOT_WRITE_AFTER_BUFFER_CANCELED",
        735: "QUERY_WAS_CANCELLED_BY_CLIENT",
    },
    "a table is being changed: exchanged, restarted, locked": {
        218: "TABLE_IS_DROPPED",
        384: "PART_IS_TEMPORARILY_LOCKED",
        473: "DEADLOCK_AVOIDED",
        517: "CANNOT_ASSIGN_ALTER",
        587: "CONCURRENT_ACCESS_NOT_SUPPORTED",
        733: "TABLE_IS_BEING_RESTARTED",
        738: "PART_IS_LOCKED",
    },
    "replicas, quorum and Keeper catch up or elect a leader": {
        164: "READONLY",
        225: "NO_ZOOKEEPER",
        234: "NO_REPLICA_HAS_PART",
        242: "TABLE_IS_READ_ONLY",
        244: "UNEXPECTED_ZOOKEEPER_ERROR",
        254: "NO_ACTIVE_REPLICAS",
        255: "TOO_MANY_RETRIES_TO_FETCH_PARTS",
        265: "NO_AVAILABLE_REPLICA",
        285: "TOO_FEW_LIVE_REPLICAS",
        286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
        289: "REPLICA_IS_NOT_IN_QUORUM",
        319: "UNKNOWN_STATUS_OF_INSERT",
        369: "ALL_REPLICAS_ARE_STALE",
        416: "REPLICA_STATUS_CHANGED",
        529: "NOT_A_LEADER",
        568: "RAFT_ERROR",
        999: "KEEPER_EXCEPTION",
    },
    "storage is full or does not answer; space and object stores come back": {
        24: "CANNOT_WRITE_TO_OSTREAM",
        75: "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
        76: "CANNOT_OPEN_FILE",
        204: "CANNOT_FSYNC",
        243: "NOT_ENOUGH_SPACE",
        425: "SYSTEM_ERROR",
        499: "S3_ERROR",
        500: "AZURE_BLOB_STORAGE_ERROR",
        693: "AWS_ERROR",
        707: "GCP_ERROR",
        737: "GOOGLE_CLOUD_ERROR",
        900: "DISTRIBUTED_CACHE_ERROR",
        903: "DISTRIBUTED_CACHE_REGISTRY_SHUTDOWN",
        905: "DISTRIBUTED_CACHE_SERVER_IN_BACKOFF",
    },
    "what happened is not known; the statement may be repeated without harm": {
        1000: "POCO_EXCEPTION",
        1001: "STD_EXCEPTION",
        1002: "UNKNOWN_EXCEPTION",
    },
}
_DATA: dict[int, str] = {
    6: "CANNOT_PARSE_TEXT",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    33: "CANNOT_READ_ALL_DATA",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    53: "TYPE_MISMATCH",
    69: "ARGUMENT_OUT_OF_BOUND",
    70: "CANNOT_CONVERT_TYPE",
    72: "CANNOT_PARSE_NUMBER",
    117: "INCORRECT_DATA",
    131: "TOO_LARGE_STRING_SIZE",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    376: "CANNOT_PARSE_UUID",
    407: "DECIMAL_OVERFLOW",
    469: "VIOLATED_CONSTRAINT",
}
# Codes for which the operator's next step is known.
_HINTS: dict[int, str] = {
    16: "run `scorestream schema apply`",
    60: "run `scorestream schema apply`",
    81: "run `scorestream schema apply`",
    192: "check SCORESTREAM_CLICKHOUSE_USER",
    193: "check SCORESTREAM_CLICKHOUSE_PASSWORD",
    194: "set SCORESTREAM_CLICKHOUSE_PASSWORD",
    469: "a constraint on the table refuses a row: drop the constraint, the source decides what is indexed",
    497: "grant what connectors/clickhouse/grants.sql lists for this role",
    516: "check SCORESTREAM_CLICKHOUSE_USER and _PASSWORD",
}
# Every code that has a name in 26.9. A code without one comes from a newer server or from something before it.
_NAMED_RANGES: Final = (
    "0-4 6-13 15-16 19-20 23-28 32-44 46-53 55-60 62-63 68-96 99-102 104 107-117 119-125 127-131 133-135 "
    "137-139 141-142 145 152-153 156 158-162 164-170 172-174 179-184 186-187 190-196 198-199 201-204 "
    "206-221 223-244 246 248 251-258 260-266 269-275 277 279-291 293-295 297-309 318-319 321 336 341-342 "
    "344-347 349 352-355 358-364 366 369-378 380-404 406-408 410-413 415-425 427 429-461 463-469 471-484 "
    "487 489-493 495-504 507-521 523-525 527-532 535-549 552-611 614-632 634-643 645 647-655 659-665 "
    "667-679 690-731 733-784 800-801 900-906 999-1020 "
)
PASSING: dict[int, str] = {code: name for group in _PASSING.values() for code, name in group.items()}
NAMED: Final = frozenset(
    code
    for each in _NAMED_RANGES.split()
    for first, _, last in [each.partition("-")]
    for code in range(int(first), int(last or first) + 1)
)
# NO_ZOOKEEPER, TABLE_IS_READ_ONLY, REPLICA_IS_NOT_IN_QUORUM; no code: the connection broke.
_THIS_REPLICA_CANNOT = frozenset({None, 225, 242, 289})
# UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED
_LOGIN = frozenset({192, 193, 194, 516})
_PARTITIONS_OF_BLOCK = re.compile(r"Too many partitions for single INSERT block")
_CODE = re.compile(r"\bCode:\s*(\d+)")


def code_of(error: Exception) -> int | None:
    """ClickHouse's own number of an error; None where the server sent none, as when the connection broke."""
    code = getattr(error, "code", None)
    if isinstance(code, int):
        return code
    found = _CODE.search(str(error))
    return int(found.group(1)) if found else None


def sort(code: int | None, text: str) -> Sort:
    """What an error means. An error without a code passes: the request or the answer was lost on its way.

    A code that this list does not know passes, too: it is a newer server's, or a proxy's.
    Code 252 is two errors. Too many parts passes when merges catch up; too many months in one block never does.
    """
    if code == 252 and _PARTITIONS_OF_BLOCK.search(text):
        return Sort.CONFIGURATION
    if code is None or code in PASSING or code not in NAMED:
        return Sort.PASSING
    return Sort.DATA if code in _DATA else Sort.CONFIGURATION


def is_elsewhere(error: Exception) -> bool:
    """Whether another replica may answer what this one does not."""
    return code_of(error) in _THIS_REPLICA_CANNOT


def is_login(error: Exception) -> bool:
    """Whether the server does not take the user and its password."""
    return code_of(error) in _LOGIN


def hint(code: int | None, text: str) -> str:
    """The operator's next step for an error that does not pass; empty where none is known."""
    if code == 252 and _PARTITIONS_OF_BLOCK.search(text):
        return "allow the user to set max_partitions_per_insert_block (a profile's constraint forbids it)"
    return "" if code is None else _HINTS.get(code, "")
