"""Purge: retire the appeals that an earlier indexer left in ClickHouse, and their scores.

Only Postgres knows which scorecards are appeals. Their ids come from there by pages, and ClickHouse says which of them
it shows. Those are reindexed, which retires an appeal. At the end all are counted once more. Rows without a version (0,
from an indexer that had none) are retired like others: of equal versions the later counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream.clickhouse.shards import Shards
from stream.postgres.connection import Postgres
from stream.postgres.defining_query import source_of
from stream.postgres.pages import appeal_ids
from stream.progress import Progress
from stream.reindex.job_state import JobFile, JobState
from stream.reindex.now import ReindexNow
from stream.scope import Scope
from stream.verify.visible_appeals import PAGE, Appeals, appeals, visible


@dataclass(slots=True)
class Purged:
    """`before`: the counts at the start; `after`: the counts now, empty after a dry run."""

    total: int
    before: list[Appeals]
    after: list[Appeals] = field(default_factory=list)
    retired: int = 0  # scorecards that ClickHouse showed
    resumed_at: int = 0
    dry_run: bool = False

    @property
    def visible_before(self) -> int:
        return sum(each.visible + each.visible_scores for each in self.before)

    @property
    def visible_after(self) -> int:
        return sum(each.visible + each.visible_scores for each in self.after)

    def as_json(self) -> dict[str, Any]:
        return {
            "dry_run": self.dry_run,
            "total": self.total,
            "reindexed": self.retired,
            "failed": 0 if self.dry_run else sum(each.visible for each in self.after),
            "resumed_at": self.resumed_at,
            "visible_before": self.visible_before,
            "visible_after": None if self.dry_run else self.visible_after,
            "customers": [each.as_json() for each in self.before],
        }


def purge_appeals(
    postgres: Postgres,
    shards: Shards,
    scope: Scope,
    *,
    reindex: ReindexNow | None,
    state_dir: Path,
    restart: bool = False,
    show: bool = True,
    on_found: Callable[[list[Appeals]], None] = lambda _: None,
) -> Purged:
    """Count the appeals of the scope and the rows that ClickHouse shows of them; with `reindex`, retire those.

    Args:
        on_found: gets the counts before anything is written.
    """
    job = JobFile(state_dir, "purge", {"scope": scope.as_json(), "database": shards.database})
    with postgres.asking() as connection:
        source = source_of(connection, postgres.schema)
        before = appeals(connection, source, shards, scope, lasting=False)
        on_found(before)
        total = sum(sum(each.by_type.values()) for each in before)
        result = Purged(total, before, dry_run=reindex is None)
        if reindex is None:
            return result
        state = (None if restart else job.load()) or JobState(total=total)
        result.resumed_at = state.done
        with Progress("purge", total=total, unit="appeals", show=show) as progress:
            progress.start_at(state.done)
            for page in appeal_ids(connection, source, scope, after=state.after, size=PAGE):
                customers = {customer for _, customer, _ in page}
                shown = {i for _, _, i, _ in visible(shards, [i for i, _, _ in page], customers)}
                if shown:
                    reindex(sorted(shown), customers)
                result.retired += len(shown)
                state.after, state.done = page[-1][0], state.done + len(page)
                job.save(state)
                progress.add(len(page))
        result.after = appeals(connection, source, shards, scope)
    job.remove()
    return result
