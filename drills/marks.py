"""Marks: scorecards without further changes, committed after a fault, spread over partitions and days.

Debezium sends changes in the order of commits. So once all marks are visible, everything before them is indexed.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import psycopg

from testbed import oracle
from testbed.universe import Universe, wait_for
from testbed.workload import START

COUNT = 24  # 4 partitions and 2 shards: the marks meet all of them


def mark(universe: Universe) -> list[str]:
    """Commit the marks, as soon as Postgres takes them; returns the ids of their scores."""

    def committed() -> list[str]:
        try:
            return _insert(universe)
        except psycopg.OperationalError:
            return []

    found: list[str] = wait_for("Postgres takes the marks", committed, deadline_s=60)
    return found


def _insert(universe: Universe) -> list[str]:
    scores = []
    with universe.postgres() as connection, connection.transaction():
        for number in range(COUNT):
            chat, scorecard, score = str(uuid4()), uuid4(), str(uuid4())
            at = START + timedelta(days=number % 8, hours=1)
            connection.execute("INSERT INTO app.chats VALUES (%s, 'drill', NULL, %s, NULL)", (chat, at))
            connection.execute(
                "INSERT INTO app.scorecards (scorecard_id, customer_id, template_id, conversation_id) "
                "VALUES (%s, 'drill', %s, %s)",
                (scorecard, uuid4(), chat),
            )
            connection.execute(
                "INSERT INTO app.scores (score_id, scorecard_id, criterion_id) VALUES (%s, %s, %s)",
                (score, scorecard, uuid4()),
            )
            scores.append(score)
    return scores


def wait_until_visible(universe: Universe, scores: list[str], *, deadline_s: float) -> None:
    """Poll until the shards show all of them."""

    def visible() -> bool:
        ids = ",".join(f"'{score}'" for score in scores)
        count = 0
        for url in universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(","):
            client = oracle.client_of(url, universe.env)
            try:
                count += client.query(
                    f"SELECT count() FROM {universe.name}.score_current "
                    f"WHERE customer_id = 'drill' AND score_id IN ({ids})"
                ).result_rows[0][0]
            finally:
                client.close()
        return count == len(scores)

    wait_for("the marks are visible", visible, deadline_s=deadline_s, every_s=0.25)
