"""Reindex many scorecards: ids from a list, or by pages from Postgres.

It goes chunk by chunk, with progress, resumable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream.errors import UsageError
from stream.pipeline.placement import GONE, State
from stream.pipeline.values import uuid_int, uuid_text
from stream.postgres.connection import Connection, Postgres
from stream.postgres.defining_query import SourceSql, source_of
from stream.postgres.pages import pages
from stream.progress import Progress
from stream.reindex.job_state import JobFile, JobState
from stream.reindex.now import ReindexNow
from stream.scope import Scope
from stream.tables import SCORECARD, TARGETS

CHUNK = 1_000
# A scorecard in one of these places was retired and is not shown.
_RETIRED = {State.APPEAL, State.WAITING, State.GONE}


@dataclass(slots=True)
class Reindexing:
    """The result of a job.

    `failed`: scorecards with a row that ClickHouse cannot hold (counted in `reindexed`, too).
    """

    total: int
    reindexed: int = 0
    failed: int = 0
    shown: int = 0
    retired: int = 0
    resumed_at: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "total": self.total,
            "reindexed": self.reindexed,
            "failed": self.failed,
            "shown": self.shown,
            "not_shown": self.retired,
            "resumed_at": self.resumed_at,
        }


def read_ids(path: Path) -> list[str]:
    """The ids in a file, one to a line. Empty lines and text after a # are left out.

    Raises:
        UsageError: the file cannot be read, or a line is not a UUID.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    found = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if text:
            try:
                found.append(canonical(text))
            except UsageError as error:
                raise UsageError(f"{path}:{number}: {error}") from error
    return list(dict.fromkeys(found))


def canonical(text: str) -> str:
    """A UUID as Postgres writes it.

    Raises:
        UsageError: the text is not a UUID.
    """
    try:
        return uuid_text(uuid_int(text.strip()))
    except ValueError as error:
        raise UsageError(str(error)) from error


def reindex_ids(
    postgres: Postgres, reindex: ReindexNow, ids: Sequence[str], *, state_dir: Path, show: bool = True
) -> Reindexing:
    """Reindex these scorecards. A list of more than a chunk is resumed where an earlier run of it ended."""
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    job = JobFile(state_dir, "reindex", {"ids": digest, "database": reindex.database})
    state = job.load() or JobState(total=len(ids))
    left = list(ids[state.done :])
    chunks = (left[at : at + CHUNK] for at in range(0, len(left), CHUNK))
    pages_of = ((chunk, set[str]()) for chunk in chunks)
    return _run(postgres, reindex, job, state, pages_of, show=show)


def reindex_scope(
    postgres: Postgres,
    reindex: ReindexNow,
    scope: Scope,
    *,
    state_dir: Path,
    restart: bool = False,
    show: bool = True,
) -> Reindexing:
    """Reindex all scorecards that Postgres has in the scope, appeals too (they are retired)."""
    about = {"scope": scope.as_json(), "database": reindex.database}
    job = JobFile(state_dir, "reindex", about)
    with postgres.asking() as connection:
        source = source_of(connection, postgres.schema)
        state = None if restart else job.load()
        state = state or JobState(total=count(connection, source, scope))
        more, values = scope.postgres(customer=source.customer, time=source.time, process=source.process)
        found = pages(connection, source, more or ["TRUE"], values, after=state.after)
        chunks = (([row[0] for row in page], {row[1] for row in page}) for page in found)
        return _run(postgres, reindex, job, state, chunks, show=show)


def count(connection: Connection, source: SourceSql, scope: Scope) -> int:
    """Scorecards of any state in the scope."""
    more, values = scope.postgres(customer=source.customer, time=source.time, process=source.process)
    row = connection.execute(
        f"SELECT count(*) FROM {source.joined(SCORECARD)} WHERE {' AND '.join(more or ['TRUE'])}".encode(), values
    ).fetchone()
    return int(row[0]) if row is not None else 0


def count_scope(postgres: Postgres, scope: Scope) -> int:
    """Scorecards of any state in the scope, for a dry run."""
    with postgres.asking() as connection:
        return count(connection, source_of(connection, postgres.schema), scope)


def faulty(connection: Connection, source: SourceSql, ids: Sequence[str]) -> int:
    """How many of these scorecards have a row that ClickHouse cannot hold."""
    kind = source.types[SCORECARD.source, "scorecard_id"]
    found: set[str] = set()
    for table in TARGETS:
        query = (
            f"SELECT DISTINCT s.scorecard_id::text FROM {source.joined(table)} "
            f"WHERE s.scorecard_id = ANY(%s::{kind}[]) AND {source.faults_of(table)} <> ''"
        )
        found |= {row[0] for row in connection.execute(query.encode(), (list(ids),))}
    return len(found)


def _run(
    postgres: Postgres,
    reindex: ReindexNow,
    job: JobFile,
    state: JobState,
    chunks: Iterator[tuple[list[str], set[str]]],
    *,
    show: bool,
) -> Reindexing:
    result = Reindexing(total=state.total, reindexed=state.done, failed=state.failed, resumed_at=state.done)
    with (
        postgres.asking() as connection,
        Progress("reindex", total=state.total, unit="scorecards", show=show) as progress,
    ):
        source = source_of(connection, postgres.schema)
        progress.start_at(state.done, failed=state.failed)
        for ids, customers in chunks:
            done = reindex(ids, customers)
            failed = faulty(connection, source, ids)
            retired = sum(done.places.get(i, GONE).state in _RETIRED for i in ids)
            result.retired += retired
            result.shown += len(ids) - retired
            result.reindexed += len(ids)
            result.failed += failed
            state.after, state.done, state.failed = ids[-1], result.reindexed, result.failed
            job.save(state)
            progress.add(len(ids), failed=failed)
    job.remove()
    return result
