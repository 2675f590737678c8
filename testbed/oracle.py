"""The defining query over Postgres, and what the shards show: the two sides that must be equal, row for row.

Written apart from the package on purpose: it shares no code with what it judges.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import clickhouse_connect
import psycopg

_SHOWN = """
    FROM app.scorecards s
    LEFT JOIN app.chats c ON c.conversation_id = s.conversation_id
    {join}
    WHERE coalesce(s.scorecard_type, 0) = 0
      AND CASE WHEN coalesce(s.conversation_id, '') = '' THEN s.scorecard_time ELSE c.started_at END IS NOT NULL
"""
_PLACE = """
    s.customer_id, s.scorecard_id::text,
    CASE WHEN coalesce(s.conversation_id, '') = '' THEN s.scorecard_time ELSE c.started_at END,
    coalesce(s.conversation_id, '') = ''
"""
SCORECARDS = (
    f"SELECT {_PLACE}, s.template_id::text, nullif(s.conversation_id, ''), s.agent_user_id::text, s.submission_source, "
    "s.scorecard_time, s.submitted_at, s.score, s.comment, s.created_at, s.updated_at" + _SHOWN.format(join="")
)
SCORES = (
    f"SELECT {_PLACE}, x.score_id::text, x.criterion_id::text, x.numeric_value, x.ai_value, x.not_applicable, "
    "x.comment, x.updated_at" + _SHOWN.format(join="JOIN app.scores x ON x.scorecard_id = s.scorecard_id")
)


def expected(connection: psycopg.Connection[Any]) -> dict[str, Counter[tuple[Any, ...]]]:
    """What must be visible, by view."""
    return {
        "scorecard_current": Counter(_plain(row) for row in connection.execute(SCORECARDS)),
        "score_current": Counter(_plain(row) for row in connection.execute(SCORES)),
    }


def visible(env: dict[str, str], database: str) -> dict[str, Counter[tuple[Any, ...]]]:
    """What the shards show together, by view."""
    found: dict[str, Counter[tuple[Any, ...]]] = {"scorecard_current": Counter(), "score_current": Counter()}
    for url in env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(","):
        client = client_of(url, env)
        try:
            for view, rows in found.items():
                rows.update(_plain(row) for row in client.query(f"SELECT * FROM {database}.{view}").result_rows)
        finally:
            client.close()
    return found


def client_of(url: str, env: dict[str, str]) -> Any:
    """A client as anybody would make it."""
    host, port = url.removeprefix("http://").split(":")
    return clickhouse_connect.get_client(
        host=host,
        port=int(port),
        username=env["SCORESTREAM_CLICKHOUSE_USER"],
        password=env["SCORESTREAM_CLICKHOUSE_PASSWORD"],
        autogenerate_session_id=False,
    )


def _plain(row: Any) -> tuple[Any, ...]:
    return tuple(_value(value) for value in row)


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def differences(want: dict[str, Counter[Any]], have: dict[str, Counter[Any]], *, most: int = 3) -> list[str]:
    """Lines that say what is missing and what is extra; none when the two are equal."""
    lines = []
    for view, rows in want.items():
        for word, rest in (("missing", rows - have[view]), ("extra", have[view] - rows)):
            if rest:
                lines.append(f"{view}: {rest.total()} {word}, e.g. {list(rest)[:most]}")
    return lines
