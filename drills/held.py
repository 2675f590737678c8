"""Transactions that stay open while parts are killed: INSERTs in one, a COPY in another.

Enters: a universe. Leaves: the scores that each scorecard must have once they are committed. Both belong to a customer
whose rows no one else changes, so a score that is missing was lost on its way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg

from testbed import oracle
from testbed.universe import Universe, wait_for

_ROWS = 400  # before the block, and as many after it
_NEW = "(score_id, scorecard_id, criterion_id)"


@contextmanager
def transactions(universe: Universe) -> Iterator[dict[str, int]]:
    """Open around the block, and committed after it. The mapping (scorecard -> number of its scores) fills at the end.

    Postgres must not be killed in the block.
    """
    expected: dict[str, int] = {}
    inserted, copied = str(uuid4()), str(uuid4())
    with universe.postgres() as rows, universe.postgres() as stream:
        _scorecards(rows, inserted, copied)
        with rows.transaction(), stream.transaction(), stream.cursor().copy(f"COPY app.scores {_NEW} FROM STDIN") as to:
            for _ in range(2):
                for _ in range(_ROWS):
                    to.write_row((str(uuid4()), copied, str(uuid4())))
                rows.execute(
                    f"INSERT INTO app.scores {_NEW} "
                    "SELECT gen_random_uuid(), %s, gen_random_uuid() FROM generate_series(1, %s)",
                    (inserted, _ROWS),
                )
                if not expected:
                    yield expected
                    expected |= dict.fromkeys((inserted, copied), 2 * _ROWS)


def copy(universe: Universe, count: int) -> dict[str, int]:
    """One committed COPY, which the connector takes a while to send."""
    scorecard = str(uuid4())
    with universe.postgres() as connection:
        _scorecards(connection, scorecard)
        with connection.cursor().copy(f"COPY app.scores {_NEW} FROM STDIN") as to:
            for _ in range(count):
                to.write_row((str(uuid4()), scorecard, str(uuid4())))
    return {scorecard: count}


def wait_until_counted(universe: Universe, expected: dict[str, int], *, deadline_s: float) -> None:
    """Poll until the shards show all scores of these scorecards. The error has what is shown."""
    if expected:
        wait_for("no score is lost", lambda: _missing(universe, expected) == {}, deadline_s=deadline_s, every_s=0.25)


def lost(universe: Universe, expected: dict[str, int]) -> str:
    """What the shards lack, in words; empty when they lack nothing."""
    return ", ".join(f"{count} scores of {scorecard}" for scorecard, count in _missing(universe, expected).items())


def _missing(universe: Universe, expected: dict[str, int]) -> dict[str, int]:
    ids = ",".join(f"'{scorecard}'" for scorecard in expected)
    left = dict(expected)
    for url in universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",") if expected else ():
        client = oracle.client_of(url, universe.env)
        try:
            for scorecard, count in client.query(
                f"SELECT toString(scorecard_id), count() FROM {universe.name}.score_current "
                f"WHERE customer_id = 'held' AND scorecard_id IN ({ids}) GROUP BY scorecard_id"
            ).result_rows:
                left[scorecard] -= count
        finally:
            client.close()
    return {scorecard: count for scorecard, count in left.items() if count}


def _scorecards(connection: psycopg.Connection[object], *ids: str) -> None:
    """Each with a conversation: the writer moves process scorecards of all customers."""
    for scorecard in ids:
        chat = str(uuid4())
        connection.execute("INSERT INTO app.chats VALUES (%s, 'held', NULL, '2026-02-03 04:05:06Z', NULL)", (chat,))
        connection.execute(
            "INSERT INTO app.scorecards (scorecard_id, customer_id, template_id, conversation_id) "
            "VALUES (%s, 'held', gen_random_uuid(), %s)",
            (scorecard, chat),
        )
