"""Which transactions a look-up has to see before a missing row means anything.

A walsender sends a transaction when its commit record is flushed. Other sessions see the transaction only after the
synchronous standby has acknowledged it, and a standby sees it only after its replay. A look-up that is quicker misses a
new row, and finds the old state of a changed one.

Enters: what Debezium says of each change. Leaves: transaction ids, 32 bits as in Postgres' log. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

RECENT_MS = 3_600_000  # older commits are visible everywhere, and Postgres may have reused their ids since
_STREAMED = frozenset({None, False, "false"})
_WRAP = 1 << 32
_FOREIGN = 1_000_000  # an id further ahead of the server's next one is of another cluster


def is_streamed(snapshot: object) -> bool:
    """Whether a change was streamed, by its `source.snapshot`."""
    return snapshot is None or snapshot is False or snapshot == "false"


def transactions(sources: Iterable[Any], *, since_ms: int) -> set[int]:
    """Ids of the streamed transactions that were committed at or after `since_ms` (milliseconds since 1970).

    Rows of a snapshot carry the id of Debezium's own transaction, which stays open and tells nothing.
    """
    return {
        source.txId
        for source in sources
        if source.txId is not None and source.ts_ms >= since_ms and source.snapshot in _STREAMED
    }


def hidden(transaction: int, snapshot: str, following: int | None = None) -> bool:
    """Whether a transaction is invisible in a snapshot, and may become visible.

    Args:
        snapshot: as `pg_current_snapshot()` writes it: `xmin:xmax:xip,xip`, 64-bit ids.
        following: the id that a primary gives out next, 32 bits. An id from there on is of another server, or of a
            transaction that a fail over lost: nobody will ever see it. None: a standby, which may learn of it.
    """
    lowest, end, running = snapshot.split(":")
    xmin, xmax = int(lowest), int(end)
    if following is not None and _ahead(transaction, following) >= 0:
        return False
    ahead = _ahead(transaction, xmax)
    if ahead >= 0:
        return ahead < _FOREIGN
    whole = xmax + ahead
    return whole >= xmin and str(whole) in running.split(",")


def _ahead(transaction: int, other: int) -> int:
    """How far an id is ahead of another one, both modulo 2**32."""
    return (transaction - other + _WRAP // 2) % _WRAP - _WRAP // 2
