"""One connection's share of the scorecards, and the transactions that a mix of changes chooses for it."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from testbed.traffic.customers import AUTO
from testbed.traffic.seen import Seen, Written, micros
from testbed.traffic.workload import (
    CHAT_COLUMNS,
    DAYS,
    FIRST_DAY,
    PROCESS_SOURCE,
    RECENT_DAYS,
    REMARKS,
    SCORE_COLUMNS,
    SCORECARD_COLUMNS,
    SCORES_OF_A_SCORECARD,
    Card,
    Workload,
    new_id,
    random_time,
)

_RECENT = FIRST_DAY + timedelta(days=DAYS - RECENT_DAYS)
TRIES = 50  # to find a recent card; every eighth is
_SCORECARD = (
    f"INSERT INTO app.scorecards ({SCORECARD_COLUMNS}) VALUES (%s, %s, %s, %s, NULL, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_SCORES = (
    f"INSERT INTO app.scores ({SCORE_COLUMNS}) SELECT id, %s, gen_random_uuid(), round(random() * 20) / 4, random(), "
    "false, NULL, %s FROM unnest(%s::uuid[]) AS id"
)
CHAT = f"INSERT INTO app.chats ({CHAT_COLUMNS}) VALUES (%s, %s, NULL, %s, NULL)"


@dataclass(order=True, slots=True)
class Late:
    """A chat that is to arrive after its scorecard."""

    due: float
    card: Card = field(compare=False)


class Session:
    """One connection's share of the rows; no two sessions ever change the same row.

    Args:
        mix: which changes, and how many of each.
        recent: share of the changes that fall into the last days, as an application's do; the others fall anywhere.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        workload: Workload,
        *,
        share: int,
        of: int,
        seed: int,
        mix: Mix,
        recent: float = 0.98,
    ) -> None:
        self.connection = connection
        self.recent = recent
        self.rng = random.Random(f"{seed}/{share}")
        self.templates = workload.templates
        self.ordinary = workload.ordinary[share::of]
        self.process = workload.process[share::of]
        self.appeals = workload.appeals[share::of]
        self.shared = workload.shared
        # Some of the chats that were missing from the start arrive during the run, some never.
        self.late = sorted(Late(self.rng.uniform(0, 40), card) for card in workload.waiting[share::of])
        self._changes, self._weights = zip(*mix, strict=True)

    def write(self, now_s: float) -> Written:
        """Commit one transaction of the mix.

        Args:
            now_s: seconds of any steady clock; chats arrive a while after their scorecards by it.
        """
        if self.late and self.late[0].due <= now_s and self.rng.random() < 0.2:
            return self._chat_arrives(heapq.heappop(self.late).card)
        change: Callable[[Session, float], Written | None] = self.rng.choices(self._changes, self._weights)[0]
        return change(self, now_s) or self.remark(now_s)

    def set_aside(self, card: Card) -> None:
        """Leave this scorecard alone from now on: a later change would hide the awaited state of the last one."""
        for held in (self.ordinary, self.process, self.appeals):
            if held and held[-1] is card:  # a change puts the card it took to the end
                held.pop()
                return

    def remark(self, _: float) -> Written:
        """Change a scorecard's comment."""
        card = self.take(self.some()) or self.take(self.ordinary)
        if card is None:
            raise RuntimeError("no scorecard is left to change")
        at = datetime.now(UTC)
        self.execute(
            "UPDATE app.scorecards SET comment = %s, updated_at = %s WHERE scorecard_id = %s",
            self.rng.choice(REMARKS),
            at,
            card.scorecard_id,
        )
        return Written(1, self.seen("update", card, updated_us=micros(at)))

    def _chat_arrives(self, card: Card) -> Written:
        start = card.event_time = self.when()
        self.execute(CHAT, card.conversation_id, card.customer_id, start)
        self.ordinary.append(card)
        return Written(1, self.seen("chat late", card, event_us=micros(start)))

    def some(self) -> list[Card]:
        return self.process if self.process and self.rng.random() < 0.1 else self.ordinary

    def when(self) -> datetime:
        return random_time(self.rng, last=RECENT_DAYS if self.rng.random() < self.recent else DAYS)

    def take(self, held: list[Card]) -> Card | None:
        """A random card, moved to the end of its list, from where it is popped cheaply."""
        if not held:
            return None
        at = self.rng.randrange(len(held))
        if self.rng.random() < self.recent:
            for _ in range(TRIES):
                when = held[at].event_time
                if when is not None and when >= _RECENT:
                    break
                at = self.rng.randrange(len(held))
        held[at], held[-1] = held[-1], held[at]
        return held[-1]

    def new_card(self, kind: int) -> Card:
        customer_id, template_kind = self.rng.choice([key for key in self.templates if key[1] == kind])
        scores = [new_id(self.rng) for _ in range(self.rng.choice(SCORES_OF_A_SCORECARD))]
        conversation_id = new_id(self.rng) if kind == AUTO else None
        template_id = self.rng.choice(self.templates[customer_id, template_kind])
        return Card(customer_id, new_id(self.rng), conversation_id, scores, template_id)

    def insert(self, card: Card, when: datetime, *, kind: int | None = None) -> datetime:
        at = datetime.now(UTC)
        process = card.conversation_id is None
        self.execute(
            _SCORECARD,
            card.scorecard_id,
            card.customer_id,
            card.template_id,
            self.rng.choice(("", None)) if process else card.conversation_id,
            kind,
            PROCESS_SOURCE if process else None,
            when if process else None,
            at,
            self.rng.uniform(0, 100),
            self.rng.choice(REMARKS),
            at,
            at,
        )
        self.execute(_SCORES, card.scorecard_id, at, card.scores)
        return at

    def seen(
        self,
        kind: str,
        card: Card,
        score_id: str | None = None,
        *,
        updated_us: int | None = None,
        event_us: int | None = None,
    ) -> Seen:
        alone = card.event_time is not None and card.conversation_id not in self.shared
        near_us = micros(card.event_time) if alone and card.event_time is not None else None
        return Seen(kind, card, score_id, updated_us=updated_us, event_us=event_us, near_us=near_us)

    def retype(self, card: Card, kind: int | None) -> datetime:
        at = datetime.now(UTC)
        self.execute(
            "UPDATE app.scorecards SET scorecard_type = %s, updated_at = %s WHERE scorecard_id = %s",
            kind,
            at,
            card.scorecard_id,
        )
        return at

    def execute(self, statement: str, *values: Any) -> None:
        self.connection.execute(statement.encode(), values)


# Changes and their weights: each a function of the session and of the seconds of a steady clock.
Mix = tuple[tuple[Callable[[Session, float], Written | None], int], ...]
