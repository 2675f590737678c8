"""One agent's work: batches of one source table through the pipeline, with clients of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from stream.clickhouse.target import ClickHouseTarget
from stream.errors import ScorestreamError
from stream.live import hops
from stream.live.app import LiveApp
from stream.live.held import HeldBatches
from stream.live.record_batch import RecordBatch
from stream.live.stalls import Tries
from stream.live.summary import Summary
from stream.pipeline.aside import Aside
from stream.pipeline.dead_letter import DeadLetterGuard
from stream.pipeline.prepare import Prepared
from stream.pipeline.record import record
from stream.tables import TARGETS
from stream.wiring import Clients

Finish = Callable[[Sequence[RecordBatch], Aside], Awaitable[bool]]  # as Beside.finish


class TableIndexer:
    """Processes the batches of one source table in a thread of its own. Another thread decodes the next batches.

    Args:
        clients: of this table alone; closed with it.
        target: the writer that all tables share.
        stall_s: the watchdog's limit, seconds.
        finish: carries out what batches left aside.
    """

    def __init__(
        self,
        table: str,
        *,
        live: LiveApp,
        clients: Clients,
        target: ClickHouseTarget,
        guard: DeadLetterGuard,
        summary: Summary,
        stall_s: float,
        finish: Finish,
    ) -> None:
        self.table = table
        self.tries = Tries(stall_s)
        self._live = live
        self._summary = summary
        self._finish = finish
        self._clients = clients
        self._pipeline = self._clients.pipeline(
            table,
            retry=self.tries.watch(self._clients.retry),
            in_order=True,
            guard=guard,
            newest=live.newest,
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"index-{table}")
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix=f"ahead-{table}")
        self._thread.submit(self._connect, target)  # while the group is joined; the first batch waits for it

    async def prepare(self, batches: Sequence[RecordBatch]) -> Prepared:
        """Decode batches that were taken together, while others are being processed."""
        return await asyncio.get_running_loop().run_in_executor(self._ahead, self._pipeline.prepare, batches)

    async def index(self, batches: Sequence[RecordBatch], prepared: Prepared | None) -> HeldBatches | None:
        """Process batches that were taken together. All may be acknowledged then, but those that are returned."""
        loop = asyncio.get_running_loop()
        aside = await loop.run_in_executor(self._thread, self._process, batches, prepared)
        if aside is None:
            return None
        held = [batches[index] for index in sorted(aside.parts)] or batches
        for batch in held:
            batch.has_letters = bool(aside.letters)
        return HeldBatches(held, self._finish(held, aside))

    def close(self) -> None:
        self._ahead.shutdown(wait=True)
        self._thread.shutdown(wait=True)
        self._clients.close()

    def _connect(self, target: ClickHouseTarget) -> None:
        with suppress(ScorestreamError):  # the first batch meets the same error, and reports it
            self._clients.source.connect()
            for table in TARGETS:
                if table.source == self.table:
                    target.connect(table)

    def _process(self, batches: Sequence[RecordBatch], prepared: Prepared | None) -> Aside | None:
        def still_mine() -> bool:
            return all(map(self._live.still_ours, batches))

        started = time.monotonic()
        self.tries.batch()
        again, old = any(batch.in_doubt for batch in batches), any(batch.old for batch in batches)
        done = self._pipeline.process(
            batches, prepared=prepared, still_mine=still_mine, again=again, old=old, leaves=True
        )
        record(done, mode="live")
        hops.observe(batches, mode="live")
        self._summary.add(done, batches, took_s=time.monotonic() - started)
        return done.aside
