"""The defining query over Postgres, and the shards' views: the two sides that must be equal, row for row.

It is written apart from the package on purpose: it shares no code with the code that it judges.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

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


EVENT_TIME = 2  # position of the event time in the rows of either view
_BESIDE = [timedelta(0), timedelta(microseconds=1), timedelta(hours=-5), timedelta(days=1)]
Row = tuple[Any, ...]


def expected(connection: psycopg.Connection[Any]) -> dict[str, Counter[tuple[Any, ...]]]:
    """Rows that must be visible, by view."""
    return {
        "scorecard_current": Counter(plain(row) for row in connection.execute(SCORECARDS)),
        "score_current": Counter(plain(row) for row in connection.execute(SCORES)),
    }


def visible(env: dict[str, str], database: str, *, condition: str = "true") -> dict[str, Counter[tuple[Any, ...]]]:
    """Rows that the shards show together to a reader with a condition, by view."""
    found: dict[str, Counter[tuple[Any, ...]]] = {"scorecard_current": Counter(), "score_current": Counter()}
    for url in env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(","):
        client = client_of(url, env)
        try:
            for view, rows in found.items():
                query = f"SELECT * FROM {database}.{view} WHERE {condition}"
                rows.update(plain(row) for row in client.query(query).result_rows)
        finally:
            client.close()
    return found


def differences_in_windows(
    want: dict[str, Counter[Row]], env: dict[str, str], database: str, *, choices: random.Random, count: int = 20
) -> list[str]:
    """Rows that readers of random spans of event time miss, or see too often; none when all see the truth.

    Nothing may be written meanwhile. Spans begin and end at event times that rows have, or beside them.
    """
    times = sorted({row[EVENT_TIME] for rows in want.values() for row in rows})
    lines = []
    for _ in range(count if times else 0):
        low, high = sorted(choices.choice(times) + choices.choice(_BESIDE) for _ in range(2))
        span = f"event_time >= '{low:%Y-%m-%d %H:%M:%S.%f}' AND event_time < '{high:%Y-%m-%d %H:%M:%S.%f}'"
        wanted = {
            view: Counter({row: count for row, count in rows.items() if low <= row[EVENT_TIME] < high})
            for view, rows in want.items()
        }
        lines += [f"{line} WHERE {span}" for line in differences(wanted, visible(env, database, condition=span))]
    return lines


def client_of(url: str, env: dict[str, str]) -> Any:
    """A plain client, with its defaults."""
    at = urlsplit(url)
    assert at.hostname is not None
    return clickhouse_connect.get_client(
        host=at.hostname,
        port=at.port or 0,
        interface=at.scheme,
        ca_cert=env.get("SCORESTREAM_CLICKHOUSE_CA_CERT"),
        username=env["SCORESTREAM_CLICKHOUSE_USER"],
        password=env["SCORESTREAM_CLICKHOUSE_PASSWORD"],
        autogenerate_session_id=False,
    )


def plain(row: Any) -> tuple[Any, ...]:
    """A row in the form of the comparison: UUIDs as text, moments in UTC."""
    return tuple(_value(value) for value in row)


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def differences(want: dict[str, Counter[Any]], have: dict[str, Counter[Any]], *, most: int = 3) -> list[str]:
    """Lines that name the missing and the extra rows; none when the two are equal."""
    lines = []
    for view, rows in want.items():
        for word, rest in (("missing", rows - have[view]), ("extra", have[view] - rows)):
            if rest:
                lines.append(f"{view}: {rest.total()} {word}, e.g. {list(rest)[:most]}")
    return lines
