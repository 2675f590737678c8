"""Another customer beside something large: commits all the time, and how long each takes to be visible.

Of each commit, a scorecard with a score, both rows are awaited. Kafka's timestamps divide the delay afterwards. The
part before is Postgres' and Debezium's, which send transactions one after another. The part after is the workers'.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from testbed import oracle
from testbed.universe import Universe, wait_for
from testbed.workload import START

CUSTOMER = "beside"
EVERY_S = 0.25
_VIEWS = {"scorecard_current": "scorecard_id", "score_current": "score_id"}
_TOPICS = ("scorecards", "scores")
_CHATS = [str(uuid4()) for _ in range(8)]  # on days of both shards
_ID = re.compile(rb'"(?:score_id|scorecard_id)":"([0-9a-f-]{36})"')


@dataclass(slots=True)
class Row:
    """A row of a commit; times are Unix seconds.

    Attributes:
        sent: when the connector gave its message to Kafka.
    """

    committed: float
    shown: float | None = None
    sent: float | None = None

    @property
    def delay_s(self) -> float:
        """From the commit until a reader saw it; endless when none did."""
        return float("inf") if self.shown is None else self.shown - self.committed

    @property
    def worker_s(self) -> float:
        """From Kafka until a reader saw it."""
        return 0.0 if self.shown is None or self.sent is None else max(0.0, self.shown - self.sent)


class Beside:
    """A thread that commits and one that reads, while a block runs.

    Attributes:
        rows: by the row's id, in the order of commits.
    """

    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self._enough, self._stop = threading.Event(), threading.Event()
        self._pending: dict[str, Row] = {}
        self.rows: dict[str, Row] = {}
        self.errors: list[str] = []
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._commit, self._read)]

    def __enter__(self) -> Beside:
        with self._universe.postgres() as connection:
            for day, chat in enumerate(_CHATS):
                at = START + timedelta(days=day, hours=3)
                connection.execute("INSERT INTO app.chats VALUES (%s, %s, NULL, %s, NULL)", (chat, CUSTOMER, at))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._enough.set()
        if kind is None:
            with suppress(AssertionError):  # a row that never shows has an endless delay
                wait_for("all commits are visible", lambda: not self._pending or self.errors, deadline_s=60)
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)

    def forget(self) -> None:
        """Do not wait for what is not visible yet: a TRUNCATE took it away."""
        for row_id in list(self._pending):
            self._pending.pop(row_id)
            self.rows.pop(row_id, None)

    def since(self, moment: float) -> list[Row]:
        """Rows that were committed at that time or later."""
        return [row for row in list(self.rows.values()) if row.committed >= moment]

    def read_kafka(self) -> None:
        """Find when each row's first message was sent."""
        env = self._universe.env
        reader = Consumer(
            {
                "bootstrap.servers": env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"],
                "group.id": f"{self._universe.name}-beside",
                "enable.partition.eof": True,
                "log_level": 2,
            }
        )
        try:
            topics = reader.list_topics(timeout=10).topics
            names = [f"{self._universe.name}.app.{table}" for table in _TOPICS]
            tps = [TopicPartition(name, n, OFFSET_BEGINNING) for name in names for n in topics[name].partitions]
            reader.assign(tps)
            left = len(tps)
            while left:
                for message in reader.consume(5_000, timeout=5):
                    if message.error() is not None:
                        left -= message.error().code() == KafkaError._PARTITION_EOF
                        continue
                    self._note(message)
        finally:
            reader.close()

    def _note(self, message: Any) -> None:
        scores = message.topic().endswith("scores")
        for row_id in _ID.findall(message.key() or b"")[-1:] if scores else _ID.findall(message.key() or b""):
            row = self.rows.get(row_id.decode())
            if row is not None and row.sent is None:
                row.sent = message.timestamp()[1] / 1000

    def _commit(self) -> None:
        number = 0
        try:
            with self._universe.postgres() as connection:
                while not self._enough.wait(EVERY_S):
                    number += 1
                    card, score = str(uuid4()), str(uuid4())
                    with connection.transaction():
                        connection.execute(
                            "INSERT INTO app.scorecards (scorecard_id, customer_id, template_id, conversation_id) "
                            "VALUES (%s, %s, %s, %s)",
                            (card, CUSTOMER, uuid4(), _CHATS[number % len(_CHATS)]),
                        )
                        connection.execute(
                            "INSERT INTO app.scores (score_id, scorecard_id, criterion_id) VALUES (%s, %s, %s)",
                            (score, card, uuid4()),
                        )
                    for row_id in (card, score):
                        self.rows[row_id] = self._pending[row_id] = Row(time.time())
        except Exception as error:
            self.errors.append(f"commit: {error}")

    def _read(self) -> None:
        env = self._universe.env
        clients = [oracle.client_of(url, env) for url in env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",")]
        try:
            while not self._stop.wait(0.15):
                for client in clients:
                    for view, column in _VIEWS.items():
                        self._look(client, view, column)
        except Exception as error:
            self.errors.append(f"read: {error}")
        finally:
            for client in clients:
                client.close()

    def _look(self, client: Any, view: str, column: str) -> None:
        query = (
            f"SELECT toString({column}) FROM {self._universe.name}.{view} "
            f"WHERE customer_id = '{CUSTOMER}' AND toString({column}) IN %(waiting)s"
        )
        for (row_id,) in client.query(query, parameters={"waiting": [*self._pending, ""]}).result_rows:
            row = self._pending.pop(row_id, None)
            if row is not None:
                row.shown = time.time()
