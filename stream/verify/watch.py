"""verify, repair, verify again; and the same again and again as a service with metrics."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stream import metrics
from stream.config import Settings
from stream.errors import Retry
from stream.postgres import places as postgres
from stream.reindex.now import ReindexNow
from stream.scope import Scope
from stream.verify.progress import Stages
from stream.verify.report import Appeals, appeals
from stream.verify.row_states import Shards, postgres_errors, source_of
from stream.verify.verifier import Verified, Verifier
from stream.web.health import Check, Health
from stream.web.server import serve

log = logging.getLogger(__name__)

ROUNDS = 3  # of repair, each followed by a comparison


@dataclass(slots=True)
class Outcome:
    """The last comparison, the first one where it was repaired, and the appeals."""

    verified: Verified
    first: Verified
    repaired: int
    appeals: list[Appeals]

    @property
    def visible_appeals(self) -> int:
        return sum(each.visible + each.visible_scores for each in self.appeals)

    def as_json(self) -> dict[str, Any]:
        repaired = [each.as_json() for each in self.first.findings] if self.first is not self.verified else []
        return self.verified.as_json() | {
            "repaired_scorecards": self.repaired,
            "repaired_findings": repaired,
            "appeals": [each.as_json() for each in self.appeals],
        }

    @property
    def clean(self) -> bool:
        return self.verified.clean and not self.visible_appeals


@dataclass(frozen=True, slots=True)
class Options:
    """How to compare; see commands/verify.py."""

    scope: Scope
    database: str | None = None
    wait: bool = True
    timeout_s: float = 60
    limit: int = 1_000
    repair: bool = False


def verify(settings: Settings, options: Options, *, show: bool = True) -> Outcome:
    """One comparison; with `repair`, comparisons and reindexes until nothing differs or `ROUNDS` are over."""
    verifier = Verifier(settings, database=options.database, wait=options.wait, timeout_s=options.timeout_s)
    try:
        if not options.repair:
            first = last = verifier.run(options.scope, limit=options.limit, stages=Stages(show=show))
            repaired = 0
        else:
            first, last, repaired = _repair(settings, options, verifier, show=show)
        return Outcome(last, first, repaired, _appeals(settings, options, verifier))
    finally:
        verifier.close()


def _repair(settings: Settings, options: Options, verifier: Verifier, *, show: bool) -> tuple[Verified, Verified, int]:
    with ReindexNow(settings, database=options.database) as reindex:
        done: set[str] = set()

        def mend(ids: list[str], customers: set[str]) -> None:
            log.info("repair scorecards=%d", len(ids))
            reindex(ids, customers)
            done.update(ids)
            metrics.VERIFY_REPAIRED.inc(len(ids))

        first = last = verifier.run(options.scope, limit=None, on_chunk=mend, stages=Stages(show=show))
        for _ in range(ROUNDS - 1):
            if not last.wrong:
                break
            last = verifier.run(options.scope, limit=None, on_chunk=mend, stages=Stages(show=show))
        if last.wrong:  # the last round repaired, too
            last = verifier.run(options.scope, limit=options.limit, stages=Stages(show=show))
    return first, last, len(done)


@postgres_errors()
def _appeals(settings: Settings, options: Options, verifier: Verifier) -> list[Appeals]:
    connection = postgres.connect(settings.postgres)
    shards = Shards(settings.clickhouse, options.database or settings.clickhouse.database)
    try:
        connection.execute("SET statement_timeout = 0")
        source = source_of(connection, settings.postgres.source_schema)
        return appeals(connection, source, shards, options.scope, caught_up=verifier.caught_up)
    finally:
        shards.close()
        connection.close()


def watch(
    settings: Settings,
    options: Options,
    *,
    every_s: float,
    stopping: threading.Event,
    on_outcome: Callable[[Outcome], None],
) -> None:
    """Compare every `every_s` seconds until `stopping` is set; /metrics and probes on SCORESTREAM_WEB_PORT.

    A store that is away fails one comparison, not the service. A KeyboardInterrupt ends it within a comparison, too.
    """
    state = _Watched()
    with contextlib.suppress(KeyboardInterrupt), serve(settings.web, health=state.health, role="verify") as server:
        log.info("watching every_s=%d url=%s", every_s, server.url)
        while not stopping.is_set():
            began = time.monotonic()
            try:
                outcome = verify(settings, options, show=False)
            except Retry as error:
                state.fault = str(error)
                log.warning("comparison failed cause=%r", str(error))
            else:
                state.fault = ""
                _record(outcome)
                on_outcome(outcome)
            stopping.wait(max(0.0, every_s - (time.monotonic() - began)))


class _Watched:
    """What the probes tell: ready once a comparison came to its end."""

    def __init__(self) -> None:
        self.fault = "no comparison yet"

    def health(self) -> Health:
        return Health(
            live=(Check("process", ok=True),), ready=(Check("comparison", ok=not self.fault, reason=self.fault),)
        )


def _record(outcome: Outcome) -> None:
    last = outcome.verified
    different = len(last.wrong_cells)
    metrics.VERIFY_CELLS.labels("clean").set(last.cells - different)
    metrics.VERIFY_CELLS.labels("different").set(different)
    for what in ("missing", "extra", "stale"):
        metrics.VERIFY_ROWS.labels(what).set(sum(n for (_, kind), n in last.counts.items() if kind == what))
    metrics.VERIFY_ROWS.labels("not_comparable").set(len(last.moving))
    metrics.VERIFY_APPEALS.set(outcome.visible_appeals)
    metrics.VERIFY_SECONDS.set(last.seconds)
    now = time.time()
    metrics.VERIFY_LAST_RUN.set(now)
    if outcome.clean:
        metrics.VERIFY_LAST_CLEAN.set(now)
