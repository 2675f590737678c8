"""Postgres and ClickHouse row for row, a sixteenth at a time: memory never holds millions of rows."""

from __future__ import annotations

from collections import Counter

from testbed import oracle
from testbed.universe import Universe

_SIDES = {
    "scorecard_current": (oracle.SCORECARDS, "s.scorecard_id", "scorecard_id"),
    "score_current": (oracle.SCORES, "x.score_id", "score_id"),
}


def differences(universe: Universe) -> tuple[list[str], int]:
    """Lines that name rows which differ, and how many rows there are. Nothing may be written meanwhile."""
    lines: list[str] = []
    rows = 0
    clients = [oracle.client_of(url, universe.env) for url in universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",")]
    try:
        with universe.postgres() as connection:
            for view, (query, source, target) in _SIDES.items():
                for digit in "0123456789abcdef":
                    asked = f"{query} AND right({source}::text, 1) = %s"
                    want = Counter(oracle.plain(row) for row in connection.execute(asked.encode(), (digit,)))
                    condition = f"substring(toString({target}), 36) = '{digit}'"
                    shown = f"SELECT * FROM {universe.name}.{view} WHERE {condition}"
                    have = Counter(oracle.plain(row) for client in clients for row in client.query(shown).result_rows)
                    lines += oracle.differences({view: want}, {view: have}, most=1)
                    rows += want.total()
    finally:
        for client in clients:
            client.close()
    return lines, rows
