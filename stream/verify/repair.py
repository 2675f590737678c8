"""One verify: compare, repair what differs, compare again, and count the appeals that are visible."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from stream import metrics
from stream.clickhouse.shards import Shards
from stream.config import Settings
from stream.postgres.connection import Postgres
from stream.postgres.defining_query import source_of
from stream.reindex.now import ReindexNow
from stream.scope import Scope
from stream.verify.appeals import Appeals, appeals
from stream.verify.progress import Stages
from stream.verify.verified import Verified
from stream.verify.verifier import Verifier

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


def verify(settings: Settings, postgres: Postgres, options: Options, *, show: bool = True) -> Outcome:
    """One comparison; with `repair`, comparisons and reindexes until nothing differs or `ROUNDS` are over."""
    verifier = Verifier(settings, postgres, database=options.database, wait=options.wait, timeout_s=options.timeout_s)
    try:
        if not options.repair:
            first = last = verifier.run(options.scope, limit=options.limit, stages=Stages(show=show))
            repaired = 0
        else:
            first, last, repaired = _repair(settings, postgres, options, verifier, show=show)
        return Outcome(last, first, repaired, _appeals(settings, postgres, options, verifier))
    finally:
        verifier.close()


def _repair(
    settings: Settings, postgres: Postgres, options: Options, verifier: Verifier, *, show: bool
) -> tuple[Verified, Verified, int]:
    with ReindexNow(settings, postgres, database=options.database) as reindex:
        done: set[str] = set()

        def mend(ids: list[str], customers: set[str]) -> None:
            log.info("repair", extra={"scorecards": len(ids)})
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


def _appeals(settings: Settings, postgres: Postgres, options: Options, verifier: Verifier) -> list[Appeals]:
    database = options.database or settings.clickhouse.database
    with Shards(settings.clickhouse, database=database, patient=True) as shards, postgres.asking() as connection:
        source = source_of(connection, postgres.schema)
        return appeals(connection, source, shards, options.scope, caught_up=verifier.caught_up)
