"""The replicas of a shard: the settings that make one of them show what another has acknowledged.

A delete marker is written where a row is seen to stand. On Replicated tables one server acknowledges an insert. A look
at another server may not see it yet: then no marker is written, and an appeal stays visible. So inserts wait for a
majority, one after another, and reads ask for all that a majority has. The source is ClickHouse's documentation of
insert_quorum; PeerDB does the same (its pull request 4676). SharedMergeTree has one log, so there the read's setting
alone is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_SEQUENTIAL_READ: Final[Mapping[str, str]] = {"select_sequential_consistency": "1"}
# Only without parallel quorum inserts has each replica of a quorum all earlier ones, as the read's setting takes it.
_QUORUM: Final[Mapping[str, str]] = {"insert_quorum": "auto", "insert_quorum_parallel": "0"}
_ENGINE = "SELECT engine FROM system.tables WHERE database = %(database)s AND name = %(table)s"


def consistency(engine: str) -> dict[str, str]:
    """ClickHouse's settings for all statements on tables of this engine."""
    if engine.startswith("Replicated"):
        return {**_SEQUENTIAL_READ, **_QUORUM}
    return dict(_SEQUENTIAL_READ) if engine.startswith("Shared") else {}


def make_consistent(client: Any, database: str, table: str) -> None:
    """Give a clickhouse-connect client the settings that a table's engine needs. Raises the client's errors."""
    rows = client.query(_ENGINE, parameters={"database": database, "table": table}).result_rows
    for (engine,) in rows:  # none: it is not made yet
        for name, value in consistency(str(engine)).items():
            client.set_client_setting(name, value)
