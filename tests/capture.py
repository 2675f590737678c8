"""Plays tests/scenario.py to the real connector and keeps its messages: `python -m tests.capture`.

Each message is one line, topic by topic, in the order of the log. The line has its position, its headers' names, and
key and value as the bytes that they are. Run it again with another version of Debezium; the difference is what that
changed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import Consumer, KafkaError, TopicPartition
from psycopg import sql

from devstack.stack import Stack
from testbed.replays import wait_until_published
from testbed.universe import ROOT, Universe, wait_for
from tests import scenario
from tests.fakes import PRIMARY_KEY, TIMES, iso, row_of

FILE = Path(__file__).parent / "data" / "envelopes.jsonl"
TABLES = ("chats", "scorecards", "scores")


class RealTx:
    """A session of its own."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url)

    def insert(self, table: str, row_id: str, **values: Any) -> None:
        row = row_of(table, row_id, **values)
        self._run("INSERT INTO {table} ({names}) VALUES ({values})", table, row)

    def update(self, table: str, row_id: str, **values: Any) -> None:
        self._run(f"UPDATE {{table}} SET ({{names}}) = ROW({{values}}) WHERE {{key}} = '{row_id}'", table, values)

    def delete(self, table: str, row_id: str) -> None:
        self._run(f"DELETE FROM {{table}} WHERE {{key}} = '{row_id}'", table, {})

    def commit(self) -> None:
        self._connection.commit()
        self._connection.close()

    def _run(self, statement: str, table: str, row: dict[str, Any]) -> None:
        shown = [iso(value) if name in TIMES and value is not None else value for name, value in row.items()]
        done = self._connection.execute(
            sql.SQL(statement).format(
                table=sql.Identifier("app", table),
                names=sql.SQL(", ").join(map(sql.Identifier, row)),
                values=sql.SQL(", ").join([sql.Placeholder()] * len(row)),
                key=sql.Identifier(PRIMARY_KEY[table]),
            ),
            shown,
        )
        assert done.rowcount == 1, (statement, row)


class RealSource:
    """The scenario's Source on the real stack."""

    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self._ddl("ALTER TABLE app.scorecards ALTER comment SET STORAGE EXTERNAL")
        self.log: dict[tuple[str, int], list[Any]] = {}

    def begin(self) -> RealTx:
        return RealTx(self._universe.url)

    def start(self) -> None:
        self._universe.run("connectors", "apply", "--wait")
        self._until("the initial snapshot is in Kafka", "snapshot", "false", "incremental")

    def read(self, tables: Sequence[str]) -> None:
        data = json.dumps({"type": "incremental", "data-collections": [f"app.{table}" for table in tables]})
        with self._universe.postgres() as connection:
            connection.execute("INSERT INTO app.scorestream_signal VALUES ('capture', 'execute-snapshot', %s)", (data,))
        self._until("the incremental snapshot is in Kafka", "incremental")

    def replica_identity(self, *, full: bool) -> None:
        self._ddl(f"ALTER TABLE app.scorecards REPLICA IDENTITY {'FULL' if full else 'DEFAULT'}")

    def tombstones(self, *, on: bool) -> None:
        wait_until_published(self._universe)
        file = self._universe.connector_file
        document = json.loads(file.read_text("utf-8"))
        document["config"]["tombstones.on.delete"] = str(on).lower()
        file.write_text(json.dumps(document), "utf-8")
        self._universe.run("connectors", "apply", "--wait")

    def messages(self) -> list[dict[str, Any]]:
        """All that is in Kafka, topic by topic and partition by partition."""
        env = self._universe.env
        reader = Consumer(
            {
                "bootstrap.servers": env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"],
                "group.id": f"{self._universe.name}-capture",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "log_level": 2,
            }
        )
        topics = {f"{self._universe.name}.app.{table}": table for table in TABLES}
        count = int(env["SCORESTREAM_KAFKA_PARTITIONS"])
        open_ends = {(topic, partition) for topic in topics for partition in range(count)}
        reader.assign([TopicPartition(topic, partition, 0) for topic, partition in open_ends])
        found = []
        while open_ends:
            for message in reader.consume(1_000, timeout=5):
                if message.error() is None:
                    found.append(message)
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    open_ends.discard((message.topic(), message.partition()))
        reader.close()
        found.sort(key=lambda message: (message.topic(), message.partition(), message.offset()))
        return [
            {
                "table": topics[message.topic()],
                "partition": message.partition(),
                "offset": message.offset(),
                "headers": [name for name, _ in message.headers() or ()],
                "key": message.key(),
                "value": message.value(),
            }
            for message in found
        ]

    def _until(self, what: str, *snapshots: str) -> None:
        """Until as many rows were read by this kind of snapshot as there are."""
        with self._universe.postgres() as connection:
            rows = sum(connection.execute(f"SELECT count(*) FROM app.{t}").fetchone()[0] for t in TABLES)  # type: ignore[index]

        def read() -> bool:
            kinds = [json.loads(m["value"])["source"]["snapshot"] for m in self.messages() if m["value"]]
            if snapshots[0] == "incremental":
                return kinds.count("incremental") >= rows
            return sum(kind not in snapshots for kind in kinds) >= rows

        wait_for(what, read, deadline_s=60, every_s=0.5)

    def _ddl(self, statement: str) -> None:
        wait_until_published(self._universe) if self._has_slot() else None
        with self._universe.postgres() as connection:
            connection.execute(statement)

    def _has_slot(self) -> bool:
        with self._universe.postgres() as connection:
            return bool(
                connection.execute(
                    "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", (self._universe.name,)
                ).fetchone()
            )


def line(message: dict[str, Any]) -> str:
    """A message as one line of JSON, with the bytes of key and value in it as they are."""
    head = json.dumps({name: message[name] for name in ("table", "partition", "offset", "headers")})
    key, value = message["key"].decode(), "null" if message["value"] is None else message["value"].decode()
    return f'{head[:-1]}, "key": {key}, "value": {value}}}'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--dir", type=Path, default=ROOT / ".devstack-test", help="of the stack")
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    stack = Stack(options.dir)
    try:
        stack.up()
        with tempfile.TemporaryDirectory() as folder:
            universe = Universe(stack.env(), Path(folder))
            try:
                source = RealSource(universe)
                scenario.play(source)
                wait_until_published(universe)
                messages = source.messages()
            finally:
                universe.close()
    finally:
        stack.clean()
    options.out.write_text("".join(line(message) + "\n" for message in messages), "utf-8")
    print(f"{len(messages)} messages in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
