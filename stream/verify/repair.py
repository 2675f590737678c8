"""One verify: compare, repair the differences, compare again, and count the visible appeals."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from stream import metrics
from stream.postgres.defining_query import source_of
from stream.reindex.now import ReindexNow
from stream.scope import Scope
from stream.stores import Stores
from stream.verify.progress import Stages
from stream.verify.verified import Verified
from stream.verify.verifier import Verifier
from stream.verify.visible_appeals import Appeals, appeals

log = logging.getLogger(__name__)

ROUNDS = 3  # rounds of repair, each followed by a comparison


@dataclass(slots=True)
class VerifyOutcome:
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
    """How to compare; see stream/commands/verify.py."""

    scope: Scope
    wait: bool = True
    timeout_s: float = 60
    limit: int = 1_000


def verify(stores: Stores, options: Options, *, reindex: ReindexNow | None = None, show: bool = True) -> VerifyOutcome:
    """One comparison; with `reindex`, comparisons and reindexes until nothing differs or `ROUNDS` are over."""
    verifier = Verifier(stores, wait=options.wait, timeout_s=options.timeout_s)
    if reindex is None:
        first = last = verifier.run(options.scope, limit=options.limit, stages=Stages(show=show))
        repaired = 0
    else:
        first, last, repaired = _repair(reindex, options, verifier, show=show)
    return VerifyOutcome(last, first, repaired, _appeals(stores, options, verifier))


def _repair(reindex: ReindexNow, options: Options, verifier: Verifier, *, show: bool) -> tuple[Verified, Verified, int]:
    done: set[str] = set()

    def repair(ids: list[str], customers: set[str]) -> None:
        log.info("repair", extra={"scorecards": len(ids)})
        reindex(ids, customers)
        done.update(ids)
        metrics.VERIFY_REPAIRED.inc(len(ids))

    first = last = verifier.run(options.scope, limit=None, on_chunk=repair, stages=Stages(show=show))
    for _ in range(ROUNDS - 1):
        if not last.wrong:
            break
        last = verifier.run(options.scope, limit=None, on_chunk=repair, stages=Stages(show=show))
    if last.wrong:  # the last round repaired, too
        last = verifier.run(options.scope, limit=options.limit, stages=Stages(show=show))
    return first, last, len(done)


def _appeals(stores: Stores, options: Options, verifier: Verifier) -> list[Appeals]:
    with stores.postgres.asking() as connection:
        source = source_of(connection, stores.postgres.schema)
        return appeals(connection, source, stores.shards, options.scope, caught_up=verifier.caught_up)
