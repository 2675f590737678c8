"""The base of the replay benchmark: rows in Postgres, and the envelopes of their initial snapshot in Kafka.

The rows are copied into Postgres and the envelopes are produced straight to the topics. Their shape is that of
Debezium's snapshot reads (byte for byte but for the values), because the snapshot itself is another benchmark's matter.
Ten customers have equal size. Every tenth scorecard is a process scorecard, every hundredth an appeal.
"""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from confluent_kafka import Producer

CUSTOMERS = tuple(f"customer-{number}" for number in range(10))
SCORES_EACH = 9
_DAYS = 60
_START = datetime(2026, 9, 1, tzinfo=UTC)
_CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class Load:
    """The loaded rows; messages of the scorecards and scores topics."""

    scorecards: int
    scores: int
    took_s: float

    @property
    def messages(self) -> int:
        return self.scorecards + self.scores


@dataclass(frozen=True, slots=True)
class _Row:
    """A scorecard with its conversation and scores; times as text in Debezium's form."""

    scorecard_id: str
    customer_id: str
    template_id: str
    conversation_id: str | None
    agent_user_id: str
    scorecard_type: int | None
    at: str
    score_ids: tuple[str, ...]


def load(
    postgres_url: str, bootstrap_servers: str, *, prefix: str, scores: int, partitions: int, seed: int = 1
) -> Load:
    """Load about `scores` scores with their scorecards and conversations; the topics must be there."""
    began = time.monotonic()
    cards = scores // SCORES_EACH
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "compression.type": "lz4",
            "linger.ms": 20,
            "batch.size": 262_144,
            "queue.buffering.max.messages": 200_000,
        }
    )
    lsn = 100_000_000
    with psycopg.connect(postgres_url) as connection:
        for rows in _chunks(_rows(cards, random.Random(seed))):
            _copy(connection, rows)
            for row in rows:
                partition = zlib.crc32(row.scorecard_id.encode()) % partitions
                lsn += 100
                key = f'{{"scorecard_id":"{row.scorecard_id}"}}'
                _produce(producer, f"{prefix}.app.scorecards", partition, key,
                         _envelope("scorecards", _scorecard(row), prefix, lsn))  # fmt: skip
                for score_id in row.score_ids:
                    key = f'{{"scorecard_id":"{row.scorecard_id}","score_id":"{score_id}"}}'
                    _produce(producer, f"{prefix}.app.scores", partition, key,
                             _envelope("scores", _score(row, score_id), prefix, lsn))  # fmt: skip
    if producer.flush(60):
        raise RuntimeError("the broker did not take all messages")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE app.scorecards, app.chats")
    return Load(cards, cards * SCORES_EACH, time.monotonic() - began)


def _rows(cards: int, chance: random.Random) -> Iterator[_Row]:
    def uuid() -> str:
        text = f"{chance.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    templates = [uuid() for _ in range(40)]
    agents = [uuid() for _ in range(500)]
    step = timedelta(days=_DAYS) / cards
    for number in range(cards):
        at = (_START + step * number).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        yield _Row(
            scorecard_id=uuid(),
            customer_id=CUSTOMERS[number % len(CUSTOMERS)],
            template_id=templates[number % 40],
            conversation_id=None if number % 10 == 3 else uuid(),
            agent_user_id=agents[number % 500],
            scorecard_type=2 if number % 100 == 7 else None,
            at=at,
            score_ids=tuple(uuid() for _ in range(SCORES_EACH)),
        )


def _chunks(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    chunk: list[_Row] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _copy(connection: psycopg.Connection, rows: list[_Row]) -> None:
    def copy(table: str, columns: str, lines: Iterator[str]) -> None:
        with connection.cursor().copy(f"COPY app.{table} ({columns}) FROM STDIN") as copying:
            copying.write("".join(lines))

    def null(value: object) -> object:
        return "\\N" if value is None else value

    copy(
        "chats",
        "conversation_id, customer_id, agent_user_id, started_at, ended_at",
        (
            f"{r.conversation_id}\t{r.customer_id}\t{r.agent_user_id}\t{r.at}\t{r.at}\n"
            for r in rows
            if r.conversation_id
        ),
    )
    copy(
        "scorecards",
        "scorecard_id, customer_id, template_id, conversation_id, agent_user_id, scorecard_type, submission_source, "
        "scorecard_time, submitted_at, score, comment, created_at, updated_at",
        (
            f"{r.scorecard_id}\t{r.customer_id}\t{r.template_id}\t{null(r.conversation_id)}\t{r.agent_user_id}\t"
            f"{null(r.scorecard_type)}\t1\t{r.at}\t{r.at}\t87.5\tgraded by the team lead\t{r.at}\t{r.at}\n"
            for r in rows
        ),
    )
    copy(
        "scores",
        "score_id, scorecard_id, criterion_id, numeric_value, ai_value, not_applicable, comment, updated_at",
        (
            f"{score_id}\t{r.scorecard_id}\t{r.template_id}\t{n / 2}\t{n}\tf\tgreeting and closing as agreed\t{r.at}\n"
            for r in rows
            for n, score_id in enumerate(r.score_ids)
        ),
    )
    connection.commit()


def _scorecard(row: _Row) -> str:
    conversation = "null" if row.conversation_id is None else f'"{row.conversation_id}"'
    kind = "null" if row.scorecard_type is None else row.scorecard_type
    return (
        f'{{"scorecard_id":"{row.scorecard_id}","customer_id":"{row.customer_id}","template_id":"{row.template_id}",'
        f'"conversation_id":{conversation},"agent_user_id":"{row.agent_user_id}","scorecard_type":{kind},'
        f'"submission_source":1,"scorecard_time":"{row.at}","submitted_at":"{row.at}","score":87.5,'
        f'"comment":"graded by the team lead","created_at":"{row.at}","updated_at":"{row.at}"}}'
    )


def _score(row: _Row, score_id: str) -> str:
    number = row.score_ids.index(score_id)
    return (
        f'{{"score_id":"{score_id}","scorecard_id":"{row.scorecard_id}","criterion_id":"{row.template_id}",'
        f'"numeric_value":{number / 2},"ai_value":{number:.1f},"not_applicable":false,'
        f'"comment":"greeting and closing as agreed","updated_at":"{row.at}"}}'
    )


def _envelope(table: str, after: str, prefix: str, lsn: int) -> bytes:
    return (
        f'{{"before":null,"after":{after},"source":{{"version":"3.6.3.Final","connector":"postgresql",'
        f'"name":"{prefix}","ts_ms":1795479048308,"snapshot":"true","db":"contact_centre",'
        f'"sequence":"[null,\\"{lsn}\\"]","ts_us":1795479048308803,"ts_ns":1795479048308803000,"schema":"app",'
        f'"table":"{table}","txId":766,"lsn":{lsn},"xmin":null,"origin":null,"origin_lsn":null}},"transaction":null,'
        f'"op":"r","ts_ms":1795479048369,"ts_us":1795479048369626,"ts_ns":1795479048369626526}}'
    ).encode()


def _produce(producer: Producer, topic: str, partition: int, key: str, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, key=key.encode(), value=value, partition=partition)
        except BufferError:
            producer.poll(0.1)
        else:
            return
