"""Quorum inserts take turns: while one into a table is under way, ClickHouse refuses another one, of any process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from stream.clickhouse.error_codes import code_of
from stream.errors import ClickHouseUnavailable

T = TypeVar("T")

_OTHER_INSERT = 286  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
_TURNS_S = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


def in_turn(insert: Callable[[], T], *, turns_s: Sequence[float] = _TURNS_S) -> T:
    """Insert. While another process's quorum insert into the table is under way, wait and try again.

    Raises:
        ClickHouseUnavailable: it still is after some seconds, or for any other cause.
    """
    for pause_s in turns_s:
        try:
            return insert()
        except ClickHouseUnavailable as error:
            if _code(error) != _OTHER_INSERT:
                raise
        time.sleep(pause_s)
    return insert()


def _code(error: BaseException) -> int | None:
    """ClickHouse's number of the error that one of the package's stands for."""
    cause = error.__cause__
    return code_of(cause) if isinstance(cause, Exception) else None
