"""Queries that are under way, by id, so that another thread can end them: ClickHouse goes on when its client is gone.

Enters: each query, while it runs. Leaves: `KILL QUERY` at the server that runs it. A user may end queries of its own.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

log = logging.getLogger(__name__)

_LONG_QUERY: Final = {"max_query_size": 16 << 20}  # one query may carry thousands of ids
WITHIN_S: Final = 2.0  # of all servers together: a worker that ends does not wait for one that is away


class Running:
    """The queries of one process. From any thread."""

    def __init__(self) -> None:
        self._ended = False
        self._queries: dict[str, tuple[int, int]] = {}  # id -> shard, replica

    @contextmanager
    def query(self, shard: int, replica: int, settings: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """The settings of a query that runs as long as the context, with its id.

        Raises:
            ConnectionAbortedError: `kill` was called.
        """
        if self._ended:
            raise ConnectionAbortedError("the process ends, and asks no more")
        query_id = f"scorestream-{uuid.uuid4()}"
        self._queries[query_id] = shard, replica
        try:
            yield _LONG_QUERY | dict(settings or {}) | {"query_id": query_id}
        finally:
            del self._queries[query_id]

    def kill(self, server: Callable[[int, int], AbstractContextManager[Any]], *, within_s: float = WITHIN_S) -> None:
        """End all queries that run now, on all servers at once, and begin no more; gives up after `within_s`.

        Args:
            server: opens a client of a shard's replica.
        """
        self._ended = True
        by_server: dict[tuple[int, int], list[str]] = {}
        for query_id, where in tuple(self._queries.items()):
            by_server.setdefault(where, []).append(query_id)

        def kill(shard: int, replica: int, ids: list[str]) -> None:
            wanted = ", ".join(f"'{query_id}'" for query_id in ids)
            try:
                with server(shard, replica) as client:
                    client.command(f"KILL QUERY WHERE query_id IN ({wanted}) ASYNC")
            except Exception as error:  # at the end of a process: none may keep it
                log.warning("queries run on in ClickHouse", extra={"shard": shard, "cause": str(error)})

        threads = [
            threading.Thread(target=kill, args=(*where, ids), name="kill", daemon=True)
            for where, ids in by_server.items()
        ]
        deadline = time.monotonic() + within_s
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
