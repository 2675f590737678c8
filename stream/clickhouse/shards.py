"""Clients of the shards: how they are opened, asked, and what their errors mean to the caller."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import urllib3.exceptions
from clickhouse_connect.driver.exceptions import ClickHouseError

from stream.config import ClickHouseSettings
from stream.errors import ClickHouseRefused, ClickHouseUnavailable

# Error codes that pass by themselves (ClickHouse, src/Common/ErrorCodes.cpp).
_TRANSIENT = {
    3: "UNEXPECTED_END_OF_FILE",
    159: "TIMEOUT_EXCEEDED",
    160: "TOO_SLOW",
    164: "READONLY",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    203: "NO_FREE_CONNECTION",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    225: "NO_ZOOKEEPER",
    236: "ABORTED",
    241: "MEMORY_LIMIT_EXCEEDED",
    242: "TABLE_IS_READ_ONLY",
    243: "NOT_ENOUGH_SPACE",
    252: "TOO_MANY_PARTS",
    285: "TOO_FEW_LIVE_REPLICAS",
    286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
    319: "UNKNOWN_STATUS_OF_INSERT",
    394: "QUERY_WAS_CANCELLED",
    425: "SYSTEM_ERROR",
    473: "DEADLOCK_AVOIDED",
    999: "KEEPER_EXCEPTION",
    1000: "POCO_EXCEPTION",
    1001: "STD_EXCEPTION",
    1002: "UNKNOWN_EXCEPTION",
}
_NO_SCHEMA = {60: "UNKNOWN_TABLE", 81: "UNKNOWN_DATABASE", 16: "NO_SUCH_COLUMN_IN_TABLE"}
_SYSTEM = re.compile(r"\[Errno \d+\] [A-Za-z ]+")
_LATE = re.compile(r"Read timed out\. \(read timeout=([\d.]+)\)")
_CODE = re.compile(r"\bCode:\s*(\d+)")


def connect(settings: ClickHouseSettings, shard: int, *, database: str | None = None) -> Any:
    """A clickhouse-connect client of shard number `shard`; close it after use.

    Args:
        shard: index into `settings.shards`.
        database: the session's database; default: the one of the settings. It need not exist when `""` is given.

    Raises:
        ClickHouseUnavailable: the shard does not answer.
        ClickHouseRefused: it does, and refuses (a wrong password, say).
    """
    url = urlsplit(settings.shards[shard])
    try:
        return clickhouse_connect.get_client(
            host=url.hostname or "127.0.0.1",
            port=url.port or (8443 if url.scheme == "https" else 8123),
            interface=url.scheme,
            username=settings.user,
            password=settings.password.get_secret_value(),
            database=settings.database if database is None else database,
            ca_cert=str(settings.ca_cert) if settings.ca_cert else None,
            connect_timeout=10,
            send_receive_timeout=settings.timeout_s,
            compress=False if settings.compression == "none" else settings.compression,
            native_codec="rust",
            autogenerate_session_id=False,
        )
    except (ClickHouseError, urllib3.exceptions.HTTPError, OSError) as error:
        raise shard_error(settings, shard, error) from error


def shard_error(
    settings: ClickHouseSettings, shard: int, error: Exception
) -> ClickHouseUnavailable | ClickHouseRefused:
    """What an error of the client means; the text names the shard, and the way out where it is known."""
    text = _cause(error)
    where = f"ClickHouse shard {shard} ({settings.shards[shard]})"
    code = error_code(error)
    if code is None or code in _TRANSIENT:
        return ClickHouseUnavailable(f"{where}: {text[:400]}")
    hint = "; run `scorestream schema apply`" if code in _NO_SCHEMA else ""
    return ClickHouseRefused(f"{where}: {text[:400]}{hint}")


def _cause(error: Exception) -> str:
    """The first line of what the server said; of a lost connection only the operating system's words."""
    text = str(error).strip() or type(error).__name__
    if late := _LATE.search(text):
        return f"no answer within {late.group(1)} s"
    system = _SYSTEM.search(text)
    return f"no connection: {system.group(0)}" if system else text.splitlines()[0]


def error_code(error: Exception) -> int | None:
    """ClickHouse's own number of an error, when the server sent one."""
    code = getattr(error, "code", None)
    if isinstance(code, int):
        return code
    found = _CODE.search(str(error))
    return int(found.group(1)) if found else None


def patient(settings: ClickHouseSettings) -> ClickHouseSettings:
    """With the time that a pass over a whole table may take."""
    return settings.model_copy(update={"timeout_s": max(settings.timeout_s, 1800.0)})
