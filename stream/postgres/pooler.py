"""Whether a pooler gives each client a server process of its own (session mode), or shares them (transaction mode).

Enters: two connections to one address. Leaves: the answer. A pooler shows itself by the process id that it makes up for
its clients.
"""

from __future__ import annotations

import select
from typing import Any, Final

import psycopg

_PID: Final = "SELECT pg_backend_pid()"
WAIT_S: Final = 3.0  # in session mode a client waits while the pool is full; in transaction mode the pool is free here


def is_pooled(connection: psycopg.Connection[Any]) -> bool:
    """Whether a pooler stands between this process and Postgres."""
    row = connection.execute(_PID).fetchone()
    return row is not None and row[0] != connection.info.backend_pid


def is_shared(one: psycopg.Connection[Any], other: psycopg.Connection[Any], *, wait_s: float = WAIT_S) -> bool:
    """Whether the pooler gives a server process to another client between two transactions.

    It is certain when true: sessions that are their clients' own have two processes that stay. A busy pool in
    transaction mode may seem to be in session mode now and then.
    """
    first = [_process_of(one, wait_s) for _ in range(2)]
    second = [_process_of(other, wait_s) for _ in range(2)]
    if None in (*first, *second):
        return False
    return first[0] != first[1] or second[0] != second[1] or first[0] == second[0]


def _process_of(connection: psycopg.Connection[Any], wait_s: float) -> int | None:
    """The server process that answers; None when the pool has none within `wait_s`."""
    answering = connection.pgconn
    if not answering.is_busy():
        answering.send_query(_PID.encode())
    while answering.is_busy():
        if not select.select([answering.socket], [], [], wait_s)[0]:
            return None
        answering.consume_input()
    found = None
    while (result := answering.get_result()) is not None:
        if (value := result.get_value(0, 0)) is not None:
            found = int(value)
    return found
