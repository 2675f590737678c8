"""A Postgres that lacks nothing, as its catalogs answer; a test changes one answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from stream.tables import HEARTBEAT, HORIZON, SIGNAL, SOURCES, TARGETS, TEMPLATES, Column

PUBLISHED = (*SOURCES, SIGNAL, HEARTBEAT)
_TYPES = {"uuid": "uuid", "text": "text", "time": "timestamptz", "float": "float8", "int": "int2", "bool": "bool"}
_PLAIN = {
    "chats": (Column("conversation_id", "text"), Column("started_at", "time")),
    "scorecards": (Column("scorecard_id", "uuid"), Column("customer_id", "text"), Column("scorecard_type", "int")),
    "scores": (Column("scorecard_id", "uuid"),),
}
COLUMNS = {
    (table, column.name): (table, column.name, _TYPES[column.kind], False)
    for table, columns in [*_PLAIN.items(), *((table.source, table.columns) for table in TARGETS)]
    for column in columns
}
EVERYTHING = ["SELECT", "INSERT", "UPDATE"]


class Rows(list[tuple[Any, ...]]):
    """What psycopg's cursor gives."""

    def fetchone(self) -> tuple[Any, ...] | None:
        return self[0] if self else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self)


def server(**other: Any) -> tuple[Any, ...]:
    """The row of the server."""
    plain = {
        "version": 180001,
        "version_text": "18.1",
        "in_recovery": False,
        "lsn": 1 << 30,
        "database": "qa",
        "wal_level": "logical",
        "keep": "10GB",
        "max_slots": 16,
        "slots": 1,
        "max_senders": 16,
        "senders": 1,
        "standbys": 0,
        "idle_timeout": "0",
        "waited_for": "",
        "standby_slots": [],
    }
    assert plain.keys() >= other.keys()
    return tuple((plain | other).values())


def slot(**other: Any) -> tuple[Any, ...]:
    """The row of the slot."""
    plain = {
        "active": True,
        "plugin": "pgoutput",
        "database": "qa",
        "status": "reserved",
        "safe": 10 << 30,
        "invalid": "",
        "failover": True,
        "restart": 1 << 29,
    }
    assert plain.keys() >= other.keys()
    return tuple((plain | other).values())


class Catalogs:
    """A connection. `answers`: a part of the query -> its rows; exactly one part is in each query."""

    def __init__(self) -> None:
        reader = [(t, True) for t in (*SOURCES, TEMPLATES, HEARTBEAT, HORIZON)]
        connector = [(t, False) for t in (*SOURCES, SIGNAL, HEARTBEAT, HORIZON)]
        self.info = SimpleNamespace(host="db", port=5432, dbname="qa", user="scorestream_reader", backend_pid=7)
        self.answers: dict[str, list[tuple[Any, ...]]] = {
            "'wal_level'": [server()],
            "s.safe_wal_size": [slot()],
            "SELECT pg_backend_pid()": [(7,)],
            "a.backend_xid IS NOT NULL": [],
            "'AccessExclusiveLock'": [],
            "pg_prepared_xacts": [],
            "'SELECT'), false)": [(True,)],
            'SELECT 1 FROM "app"."scorestream_heartbeat"': [],
            "c.relname, c.relreplident": [(table, "f") for table in (*PUBLISHED, HORIZON)],
            "FROM pg_publication ": [(True, True)],
            "FROM pg_publication_tables": [(table,) for table in PUBLISHED],
            "pg_publication_rel": [(table, False, False) for table in SOURCES],
            "relrowsecurity": [],
            "pg_partition_tree(c.oid)": [],
            "pg_partition_tree(id)": [],
            "FROM pg_attribute": list(COLUMNS.values()),
            "FROM pg_trigger t JOIN": [(table, True) for table in SOURCES],
            "FROM pg_index": [(1,)],
            "has_schema_privilege": [
                ("scorestream_reader" if reads else "scorestream_cdc", reads, table, True, EVERYTHING)
                for table, reads in (*reader, *connector)
            ],
            "r.rolcanlogin": [("scorestream_cdc", True, True)],
            "pg_db_role_setting": [],
        }

    def execute(self, query: str, _values: object = None) -> Rows:
        found = [rows for part, rows in self.answers.items() if part in query]
        assert len(found) == 1, query
        return Rows(found[0])
