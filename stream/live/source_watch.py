"""Looks at Postgres beside the work, twice a minute: is it still the cluster, and are all tables still published?

Enters: the settings. Leaves: a line in the log, or the end of the worker when its changes would lose (source_check.py).
Nothing waits for it, and a store that is away only makes the next look the first.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from stream.clickhouse.schema.look import check_tables
from stream.clickhouse.shards import Shards
from stream.clickhouse.source_record import SourceRecord
from stream.epochs import Epochs
from stream.errors import Retry, Stop
from stream.live.app import LiveApp
from stream.live.source_check import SourceCheck
from stream.postgres.connection import Postgres
from stream.postgres.publication import unstreamed

log = logging.getLogger(__name__)

EVERY_S: Final = 30.0


class SourceWatch:
    """The thread. `first_look` before the worker joins the group, then `start`; `close` it.

    Args:
        shards, postgres: its own; closed with it.
        epochs: of the settings.
    """

    def __init__(self, shards: Shards, postgres: Postgres, *, epochs: Epochs, every_s: float = EVERY_S) -> None:
        self._shards = shards
        self._postgres = postgres
        self._check = SourceCheck(SourceRecord(shards), postgres, epochs=epochs)
        self._every_s = every_s
        self._unpublished: tuple[str, ...] = ()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def first_look(self) -> None:
        """Refuse tables that are another shard's, and a cluster whose changes would lose.

        What does not answer is not checked here: the first batch checks the tables, the next look the cluster.

        Raises:
            ConfigError, ClickHouseRefused, PostgresRefused: with the way out.
        """
        for look in (self._look_at_tables, self._check, self._look_at_publication):
            try:
                look()
            except Retry as error:
                log.warning("not checked at the start", extra={"cause": str(error)})

    def start(self, live: LiveApp) -> None:
        """Go on looking; a refusal ends the worker."""
        live.on_stopping(self._closed.set)
        self._thread = threading.Thread(target=self._watch, args=(live,), name="source-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking. A look that hangs is not waited for."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        self._shards.close()
        self._postgres.close()

    def _watch(self, live: LiveApp) -> None:
        while not self._closed.wait(self._every_s):
            try:
                self._check()
                self._look_at_publication()
            except Stop as error:
                live.app.loop.call_soon_threadsafe(live.crash, error)
                return
            except Retry as error:
                log.debug("source not checked", extra={"cause": str(error)})
            except Exception:  # one look less does no harm
                log.warning("source not checked", exc_info=True)

    def _look_at_tables(self) -> None:
        check_tables(self._shards)

    def _look_at_publication(self) -> None:
        postgres = self._postgres
        with postgres.asking() as connection:
            found = unstreamed(connection, postgres.publication, postgres.schema)
        if found and found != self._unpublished:
            way = "run connectors/source/0002_cdc.sql, then `scorestream verify --repair`"
            fields = {"publication": postgres.publication, "tables": ",".join(found), "way_out": way}
            log.error("publication leaves out tables, whose changes are not streamed", extra=fields)
        self._unpublished = found
