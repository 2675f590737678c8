"""Clients of the shards: how they are opened, asked, and what their errors mean to the caller."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import urllib3.exceptions
from clickhouse_connect.driver.exceptions import ClickHouseError

from stream.clickhouse.error_codes import Sort, code_of, hint, sort
from stream.config import ClickHouseSettings
from stream.errors import ClickHouseRefused, ClickHouseUnavailable

_SYSTEM = re.compile(r"\[Errno \d+\] [A-Za-z ]+")
_LATE = re.compile(r"Read timed out\. \(read timeout=([\d.]+)\)")


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
    told = f"ClickHouse shard {shard} ({settings.shards[shard]}): {text[:400]}"
    code = code_of(error)
    if sort(code, str(error)) is Sort.PASSING:
        return ClickHouseUnavailable(told)
    next_step = hint(code, str(error))
    return ClickHouseRefused(f"{told}; {next_step}" if next_step else told)


def _cause(error: Exception) -> str:
    """The first line of what the server said; of a lost connection only the operating system's words."""
    text = str(error).strip() or type(error).__name__
    if late := _LATE.search(text):
        return f"no answer within {late.group(1)} s"
    system = _SYSTEM.search(text)
    return f"no connection: {system.group(0)}" if system else text.splitlines()[0]


def patient(settings: ClickHouseSettings) -> ClickHouseSettings:
    """With the time that a pass over a whole table may take."""
    return settings.model_copy(update={"timeout_s": max(settings.timeout_s, 1800.0)})
