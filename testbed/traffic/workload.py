"""Source rows of the customers: made up from a seed, and put into Postgres with COPY.

Leaves: a Workload, which knows the ids of the loaded rows; the live writer changes those.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from testbed.traffic.customers import AUTO, CUSTOMERS, IDS, MANUAL, REPLICA, REQUEST, RESOLVE, Customer

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 52  # 1 January to 21 February 2026
RECENT_DAYS = 7  # the last of them: conversations are graded within days
SCORES_OF_A_SCORECARD = (7, 8, 9, 9, 9, 10, 11)  # about nine criteria
PROCESS_SOURCE = 2  # scorecards.submission_source of a process scorecard

REMARKS = (
    "Agent confirmed the itinerary and the fee waiver.",
    "No greeting; hold time above 90 s.",
    "Tone \u201cfriendly\u201d, résumé of the call at the end ✔",
    "Refund promised\tbut not booked.\nSee the second call.",
    "O'Neill asked for a supervisor \\ escalated",
    "",
)


@dataclass(slots=True)
class Card:
    """A scorecard in Postgres, with the columns that the live writer needs."""

    customer_id: str
    scorecard_id: str
    conversation_id: str | None  # None = process
    scores: list[str]
    template_id: str
    event_time: datetime | None = None  # None: unknown, because another session may change it


@dataclass(slots=True)
class Workload:
    """The loaded rows."""

    ordinary: list[Card] = field(default_factory=list)
    process: list[Card] = field(default_factory=list)
    appeals: list[Card] = field(default_factory=list)
    waiting: list[Card] = field(default_factory=list)  # scorecards whose chats have not arrived
    shared: set[str] = field(default_factory=set)  # conversations with more than one scorecard
    templates: dict[tuple[str, int], list[str]] = field(default_factory=dict)  # (customer, type) -> template ids
    rows: dict[str, int] = field(default_factory=dict)  # by source table


def new_id(rng: random.Random) -> str:
    """A random (version 4) UUID, from the seed."""
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def random_time(rng: random.Random, *, last: int = DAYS) -> datetime:
    """A random moment of the window's last days; working hours are busier."""
    day = DAYS - last + rng.randrange(last)
    hour = min(23.999, max(0.0, rng.gauss(15, 4)))
    return FIRST_DAY + timedelta(days=day, microseconds=int(hour * 3_600_000_000))


def clear(connection: psycopg.Connection[Any]) -> int:
    """Delete the rows of an earlier run in one transaction, as an application would; returns their number."""
    customers = list(IDS)
    deleted = 0
    with connection.transaction():
        for statement in (
            "DELETE FROM app.scores USING app.scorecards s WHERE scores.scorecard_id = s.scorecard_id "
            "AND s.customer_id = ANY(%s)",
            "DELETE FROM app.scorecards WHERE customer_id = ANY(%s)",
            "DELETE FROM app.chats WHERE customer_id = ANY(%s)",
            "DELETE FROM app.scorecard_templates WHERE customer_id = ANY(%s)",
        ):
            deleted += connection.execute(statement, [customers]).rowcount
    return deleted


def only_ours(url: str) -> bool:
    """Whether the source tables hold rows, and only those of these customers."""
    query = "SELECT DISTINCT customer_id FROM app.chats UNION SELECT DISTINCT customer_id FROM app.scorecards"
    with psycopg.connect(url, autocommit=True) as connection:
        found = {row[0] for row in connection.execute(query)}
    return bool(found) and found <= set(IDS)


def load(connection: psycopg.Connection[Any], *, seed: int, scale: float = 1.0) -> Workload:
    """Make the rows and COPY them in one transaction.

    Args:
        connection: may write schema app.
        seed: the same seed gives the same rows and ids.
        scale: factor on all numbers of testbed/traffic/customers.py.
    """
    made = _Maker(random.Random(seed), scale)
    for customer in CUSTOMERS:
        made.customer(customer)
    with connection.transaction():
        for table, columns, rows in made.tables():
            _copy(connection, table, columns, rows)
            made.workload.rows[table] = len(rows)
    for table in made.workload.rows:
        connection.execute(f"ANALYZE app.{table}")
    return made.workload


def _copy(connection: psycopg.Connection[Any], table: str, columns: str, rows: Sequence[str]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY app.{table} ({columns}) FROM STDIN") as copy:
        for start in range(0, len(rows), 5_000):
            copy.write("".join(rows[start : start + 5_000]))


def copy_line(values: Iterable[object]) -> str:
    """One line of COPY's text format."""
    return "\t".join(_text(value) for value in values) + "\n"


def _text(value: object) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, str):
        if value.isascii() and value.isprintable() and "\\" not in value:
            return value
        return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return str(value)


CHAT_COLUMNS = "conversation_id, customer_id, agent_user_id, started_at, ended_at"
TEMPLATE_COLUMNS = "template_id, customer_id, title, type"
SCORECARD_COLUMNS = (
    "scorecard_id, customer_id, template_id, conversation_id, agent_user_id, scorecard_type, submission_source, "
    "scorecard_time, submitted_at, score, comment, created_at, updated_at"
)
SCORE_COLUMNS = "score_id, scorecard_id, criterion_id, numeric_value, ai_value, not_applicable, comment, updated_at"


class _Maker:
    """Makes rows customer by customer."""

    def __init__(self, rng: random.Random, scale: float) -> None:
        self.rng = rng
        self.scale = scale
        self.workload = Workload()
        self._chats: list[str] = []
        self._templates: list[str] = []
        self._scorecards: list[str] = []
        self._scores: list[str] = []
        self._agents = [new_id(rng) for _ in range(120)]
        self._criteria = [new_id(rng) for _ in range(60)]

    def tables(self) -> Iterator[tuple[str, str, list[str]]]:
        """(table, columns, lines), parents first."""
        yield "scorecard_templates", TEMPLATE_COLUMNS, self._templates
        yield "chats", CHAT_COLUMNS, self._chats
        yield "scorecards", SCORECARD_COLUMNS, self._scorecards
        yield "scores", SCORE_COLUMNS, self._scores

    def customer(self, customer: Customer) -> None:
        """All rows of one customer."""
        rng, work = self.rng, self.workload
        auto = [self._template(customer, f"Voice QA {n + 1}", AUTO) for n in range(customer.auto_templates)]
        started: list[tuple[str, datetime]] = []
        for _ in range(self._scaled(customer.conversations)):
            conversation_id, start = self._chat(customer)
            started.append((conversation_id, start))
            # 1 % were never scored, 4 % twice
            count = rng.choices((1, 2, 0), (95, 4, 1))[0]
            if count > 1:
                work.shared.add(conversation_id)
            for _ in range(count):
                kind = 0 if rng.random() < 0.02 else None  # 0 is ordinary, like NULL
                card = self._scorecard(customer, rng.choice(auto), conversation_id, start, kind)
                work.ordinary.append(card)
        for _ in range(self._scaled(customer.conversations * 0.003)):  # scored before the chat was written
            when = random_time(rng)
            work.waiting.append(self._scorecard(customer, rng.choice(auto), new_id(rng), when, None))
        for kind, count in zip((REPLICA, REQUEST, RESOLVE), customer.appeals, strict=True):
            for _ in range(self._scaled(count)):
                conversation_id, start = rng.choice(started)
                work.shared.add(conversation_id)
                work.appeals.append(self._scorecard(customer, rng.choice(auto), conversation_id, start, kind))
        for title, count in customer.process:
            template = self._template(customer, title, MANUAL)
            for _ in range(self._scaled(count)):
                card = self._scorecard(customer, template, None, random_time(rng), None)
                work.process.append(card)

    def _scaled(self, count: float) -> int:
        return max(1, round(count * self.scale)) if count else 0

    def _template(self, customer: Customer, title: str, kind: int) -> str:
        template_id = new_id(self.rng)
        self._templates.append(copy_line((template_id, customer.id, title, kind)))
        self.workload.templates.setdefault((customer.id, kind), []).append(template_id)
        return template_id

    def _chat(self, customer: Customer) -> tuple[str, datetime]:
        start = random_time(self.rng)
        conversation_id = new_id(self.rng)
        # an old workflow required an agent: these scorecards have none
        agent = None if self.rng.random() < 0.05 else self.rng.choice(self._agents)
        end = start + timedelta(seconds=self.rng.randrange(30, 3_000))
        self._chats.append(copy_line((conversation_id, customer.id, agent, start, end)))
        return conversation_id, start

    def _scorecard(
        self, customer: Customer, template_id: str, conversation_id: str | None, when: datetime, kind: int | None
    ) -> Card:
        rng = self.rng
        scorecard_id = new_id(rng)
        process = conversation_id is None
        submitted = when + timedelta(seconds=rng.randrange(60, 200_000))
        score = None if rng.random() < 0.1 else rng.randrange(0, 100_000) / 1_000
        self._scorecards.append(
            copy_line(
                (
                    scorecard_id,
                    customer.id,
                    template_id,
                    ("" if rng.random() < 0.5 else None) if process else conversation_id,
                    rng.choice(self._agents),
                    kind,
                    PROCESS_SOURCE if process else rng.choice((None, 1)),
                    when if process or rng.random() < 0.2 else None,
                    None if rng.random() < 0.05 else submitted,
                    score,
                    None if rng.random() < 0.7 else rng.choice(REMARKS),
                    when,
                    submitted,
                )
            )
        )
        scores = []
        for _ in range(rng.choice(SCORES_OF_A_SCORECARD)):
            score_id = new_id(rng)
            scores.append(score_id)
            skipped = rng.random() < 0.05
            value = None if skipped else rng.randrange(0, 11) / 2
            guess = None if rng.random() < 0.5 else rng.random()
            remark = None if rng.random() < 0.9 else rng.choice(REMARKS)
            self._scores.append(
                f"{score_id}\t{scorecard_id}\t{rng.choice(self._criteria)}\t{_text(value)}\t{_text(guess)}\t"
                f"{'t' if skipped else 'f'}\t{_text(remark)}\t{submitted}\n"
            )
        return Card(customer.id, scorecard_id, conversation_id, scores, template_id, when)
