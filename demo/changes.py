"""The mix of live changes: what an application does to scorecards, one transaction at a time.

Each change returns how many rows it touched and, where a reader can tell, what must be seen of it afterwards.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from demo.customers import AUTO, MANUAL, REPLICA, REQUEST, RESOLVE
from demo.workload import (
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

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RECENT = FIRST_DAY + timedelta(days=DAYS - RECENT_DAYS)
TRIES = 50  # to find a recent card; every eighth is
_SCORECARD = (
    f"INSERT INTO app.scorecards ({SCORECARD_COLUMNS}) VALUES (%s, %s, %s, %s, NULL, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_SCORES = (
    f"INSERT INTO app.scores ({SCORE_COLUMNS}) SELECT id, %s, gen_random_uuid(), round(random() * 20) / 4, random(), "
    "false, NULL, %s FROM unnest(%s::uuid[]) AS id"
)
_CHAT = f"INSERT INTO app.chats ({CHAT_COLUMNS}) VALUES (%s, %s, NULL, %s, NULL)"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reader of ClickHouse must see of a change: a row of `scorecard_current`, or of `score_current`.

    `updated_us` and `event_us` are microseconds since 1970: the row has that updated_at or a later one, and exactly
    that event_time. With neither given the row must be absent. `near_us` is the event time of the place where it is to
    be seen, or to be gone from; None: any.
    """

    kind: str
    card: Card
    score_id: str | None = None  # None: the scorecard's row
    updated_us: int | None = None
    event_us: int | None = None
    near_us: int | None = None

    @property
    def absent(self) -> bool:
        return self.updated_us is None and self.event_us is None


@dataclass(frozen=True, slots=True)
class Written:
    """A committed transaction: row changes, and what must be seen."""

    changes: int
    seen: Seen | None = None


@dataclass(order=True, slots=True)
class _Late:
    """A chat that is to arrive after its scorecard."""

    due: float
    card: Card = field(compare=False)


class Session:
    """One connection's share of the rows; no two sessions ever change the same row.

    Args:
        mix: which changes, and how many of each (default: EVERYTHING).
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
        mix: Mix | None = None,
        recent: float = 0.98,
    ) -> None:
        self.connection = connection
        self.recent = recent
        self.rng = random.Random(f"{seed}/{share}")  # noqa: S311  rows, no secrets
        self.templates = workload.templates
        self.ordinary = workload.ordinary[share::of]
        self.process = workload.process[share::of]
        self.appeals = workload.appeals[share::of]
        self._shared = workload.shared
        # Some of the chats that were missing from the start come during the run, some never.
        self._late = sorted(_Late(self.rng.uniform(0, 40), card) for card in workload.waiting[share::of])
        self._changes, self._weights = zip(*(mix or EVERYTHING), strict=True)

    def write(self, now_s: float) -> Written:
        """One transaction of the mix, committed.

        Args:
            now_s: seconds of any steady clock; chats arrive a while after their scorecards by it.
        """
        if self._late and self._late[0].due <= now_s and self.rng.random() < 0.2:
            return self._chat_arrives(heapq.heappop(self._late).card)
        change: Callable[[Session, float], Written | None] = self.rng.choices(self._changes, self._weights)[0]
        return change(self, now_s) or self.remark(now_s)

    def set_aside(self, card: Card) -> None:
        """Touch this scorecard no more: a later change would hide what a reader must see of the last one."""
        for held in (self.ordinary, self.process, self.appeals):
            if held and held[-1] is card:  # a change puts the card it took to the end
                held.pop()
                return

    # --- content -----------------------------------------------------------------------------------------------------

    def rescore(self, _: float) -> Written | None:
        """Some scores of a scorecard and its own score, in one transaction. Now and then of an appeal."""
        hidden = self.rng.random() < 0.05 and bool(self.appeals)
        card = self._take(self.appeals if hidden else self._any())
        if card is None or not card.scores:
            return None
        chosen = self.rng.sample(card.scores, min(5, len(card.scores)))
        at = datetime.now(UTC)
        with self.connection.transaction():
            self._execute(
                "UPDATE app.scores SET numeric_value = round(random() * 20) / 4, updated_at = %s "
                "WHERE score_id = ANY(%s::uuid[])",
                at,
                chosen,
            )
            self._execute(
                "UPDATE app.scorecards SET score = random() * 100, updated_at = %s WHERE scorecard_id = %s",
                at,
                card.scorecard_id,
            )
        score_id = self.rng.choice([*chosen, None])
        return Written(len(chosen) + 1, None if hidden else self._seen("update", card, score_id, updated_us=_us(at)))

    def remark(self, _: float) -> Written:
        """A scorecard's comment."""
        card = self._take(self._any()) or self._take(self.ordinary)
        if card is None:
            raise RuntimeError("no scorecard is left to change")
        at = datetime.now(UTC)
        self._execute(
            "UPDATE app.scorecards SET comment = %s, updated_at = %s WHERE scorecard_id = %s",
            self.rng.choice(REMARKS),
            at,
            card.scorecard_id,
        )
        return Written(1, self._seen("update", card, updated_us=_us(at)))

    def recalibrate(self, _: float) -> Written | None:
        """The model's guesses of several scorecards at once."""
        cards = [card for card in (self._take(self.ordinary) for _ in range(3)) if card is not None]
        ids = [score_id for card in cards for score_id in card.scores]
        if not ids:
            return None
        at = datetime.now(UTC)
        self._execute(
            "UPDATE app.scores SET ai_value = random(), updated_at = %s WHERE score_id = ANY(%s::uuid[])", at, ids
        )
        last = cards[-1]
        seen = self._seen("update", last, self.rng.choice(last.scores), updated_us=_us(at)) if last.scores else None
        return Written(len(ids), seen)

    # --- coming and going --------------------------------------------------------------------------------------------

    def grade(self, _: float) -> Written:
        """A conversation, its scorecard and scores."""
        card = self._new_card(AUTO)
        start = card.event_time = self._when()
        with self.connection.transaction():
            self._execute(_CHAT, card.conversation_id, card.customer_id, start)
            at = self._insert(card, start)
        self.ordinary.append(card)
        return Written(
            len(card.scores) + 2, self._seen("insert", card, self.rng.choice(card.scores), updated_us=_us(at))
        )

    def grade_process(self, _: float) -> Written:
        """A process scorecard and its scores."""
        card = self._new_card(MANUAL)
        when = card.event_time = self._when()
        with self.connection.transaction():
            at = self._insert(card, when)
        self.process.append(card)
        return Written(len(card.scores) + 1, self._seen("insert", card, updated_us=_us(at)))

    def grade_early(self, now_s: float) -> Written:
        """A scorecard whose chat comes later."""
        card = self._new_card(AUTO)
        with self.connection.transaction():
            self._insert(card, self._when())
        heapq.heappush(self._late, _Late(now_s + self.rng.uniform(0.1, 2), card))
        return Written(len(card.scores) + 1)

    def _chat_arrives(self, card: Card) -> Written:
        start = card.event_time = self._when()
        self._execute(_CHAT, card.conversation_id, card.customer_id, start)
        self.ordinary.append(card)
        return Written(1, self._seen("chat late", card, event_us=_us(start)))

    def drop_score(self, _: float) -> Written | None:
        """One score is deleted."""
        card = self._take(self._any())
        if card is None or len(card.scores) < 2:
            return None
        score_id = card.scores.pop()
        self._execute("DELETE FROM app.scores WHERE score_id = %s", score_id)
        return Written(1, self._seen("delete", card, score_id))

    def drop_scorecard(self, _: float) -> Written | None:
        """A scorecard is deleted, its scores with it."""
        held = self._any()
        card = self._take(held)
        if card is None or len(held) < 20:
            return None
        held.pop()
        self._execute("DELETE FROM app.scorecards WHERE scorecard_id = %s", card.scorecard_id)
        return Written(len(card.scores) + 1, self._seen("delete", card, self.rng.choice([*card.scores, None])))

    # --- appeals -----------------------------------------------------------------------------------------------------

    def turn_into_appeal(self, _: float) -> Written | None:
        """An ordinary scorecard becomes an appeal request."""
        card = self._take(self.ordinary)
        if card is None:
            return None
        self.ordinary.pop()
        self.appeals.append(card)
        self._retype(card, REQUEST)
        return Written(1, self._seen("appeal filed", card, self.rng.choice([*card.scores, None])))

    def file_appeal(self, _: float) -> Written | None:
        """An appeal beside the scorecard that it is about: a replica and a request. Never to be seen."""
        original = self._take(self.ordinary)
        if original is None:
            return None
        changes = 0
        self._shared.add(original.conversation_id or "")
        with self.connection.transaction():
            for kind in (REPLICA, REQUEST, RESOLVE)[: self.rng.choice((2, 2, 3))]:
                card = Card(original.customer_id, new_id(self.rng), original.conversation_id, [], original.template_id)
                card.scores = [new_id(self.rng) for _ in range(self.rng.choice(SCORES_OF_A_SCORECARD))]
                self._insert(card, self._when(), kind=kind)
                self.appeals.append(card)
                changes += len(card.scores) + 1
        return Written(changes)

    def withdraw_appeal(self, _: float) -> Written | None:
        """An appeal becomes an ordinary scorecard (again)."""
        card = self._take(self.appeals)
        if card is None:
            return None
        self.appeals.pop()
        self.ordinary.append(card)
        at = self._retype(card, None)
        return Written(1, self._seen("appeal withdrawn", card, updated_us=_us(at)))

    # --- times -------------------------------------------------------------------------------------------------------

    def move_process(self, _: float) -> Written | None:
        """A process scorecard's time: another day, mostly in another month."""
        card = self._take(self.process)
        if card is None:
            return None
        when, at = self._when() + timedelta(days=31), datetime.now(UTC)
        self._execute(
            "UPDATE app.scorecards SET scorecard_time = %s, updated_at = %s WHERE scorecard_id = %s",
            when,
            at,
            card.scorecard_id,
        )
        card.event_time = when
        return Written(
            1, Seen("process moved", card, event_us=_us(when))
        )  # in both places: it must have left the old one

    def correct_start(self, _: float) -> Written | None:
        """A chat's started_at."""
        card = self._take(self.ordinary)
        if card is None:
            return None
        when = self._when()
        self._execute("UPDATE app.chats SET started_at = %s WHERE conversation_id = %s", when, card.conversation_id)
        card.event_time = when
        # With two scorecards in a conversation another session may correct it again at any time.
        alone = card.conversation_id not in self._shared
        return Written(1, Seen("start corrected", card, event_us=_us(when)) if alone else None)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _any(self) -> list[Card]:
        return self.process if self.process and self.rng.random() < 0.1 else self.ordinary

    def _when(self) -> datetime:
        return random_time(self.rng, last=RECENT_DAYS if self.rng.random() < self.recent else DAYS)

    def _take(self, held: list[Card]) -> Card | None:
        """A random card, put to the end of its list, from where it is popped cheaply."""
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

    def _new_card(self, kind: int) -> Card:
        customer_id, template_kind = self.rng.choice([key for key in self.templates if key[1] == kind])
        scores = [new_id(self.rng) for _ in range(self.rng.choice(SCORES_OF_A_SCORECARD))]
        conversation_id = new_id(self.rng) if kind == AUTO else None
        template_id = self.rng.choice(self.templates[customer_id, template_kind])
        return Card(customer_id, new_id(self.rng), conversation_id, scores, template_id)

    def _insert(self, card: Card, when: datetime, *, kind: int | None = None) -> datetime:
        at = datetime.now(UTC)
        process = card.conversation_id is None
        self._execute(
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
        self._execute(_SCORES, card.scorecard_id, at, card.scores)
        return at

    def _seen(
        self,
        kind: str,
        card: Card,
        score_id: str | None = None,
        *,
        updated_us: int | None = None,
        event_us: int | None = None,
    ) -> Seen:
        alone = card.event_time is not None and card.conversation_id not in self._shared
        near_us = _us(card.event_time) if alone and card.event_time is not None else None
        return Seen(kind, card, score_id, updated_us=updated_us, event_us=event_us, near_us=near_us)

    def _retype(self, card: Card, kind: int | None) -> datetime:
        at = datetime.now(UTC)
        self._execute(
            "UPDATE app.scorecards SET scorecard_type = %s, updated_at = %s WHERE scorecard_id = %s",
            kind,
            at,
            card.scorecard_id,
        )
        return at

    def _execute(self, statement: str, *values: Any) -> None:
        self.connection.execute(statement.encode(), values)


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


Mix = tuple[tuple[Callable[[Session, float], Written | None], int], ...]

# Weights are of transactions; either mix averages about six row changes in each.
EVERYTHING: Mix = (
    (Session.rescore, 30),
    (Session.remark, 20),
    (Session.recalibrate, 6),
    (Session.grade, 12),
    (Session.grade_process, 4),
    (Session.grade_early, 3),
    (Session.drop_score, 5),
    (Session.drop_scorecard, 3),
    (Session.turn_into_appeal, 4),
    (Session.file_appeal, 1),
    (Session.withdraw_appeal, 4),
    (Session.move_process, 5),
    (Session.correct_start, 5),
)  # every fifth transaction changes a place: to try them all in a short time
ORDINARY: Mix = (
    (Session.rescore, 60),
    (Session.remark, 60),
    (Session.recalibrate, 4),
    (Session.grade, 40),
    (Session.grade_process, 6),
    (Session.grade_early, 4),
    (Session.drop_score, 4),
    (Session.drop_scorecard, 1),
    (Session.turn_into_appeal, 1),
    (Session.file_appeal, 1),
    (Session.withdraw_appeal, 1),
    (Session.move_process, 1),
    (Session.correct_start, 1),
)  # a working day: mostly new scorecards and corrections, some chats late, few appeals
MOVES: Mix = (
    (Session.turn_into_appeal, 4),
    (Session.withdraw_appeal, 4),
    (Session.move_process, 5),
    (Session.correct_start, 5),
)  # every row change is a change of place: each scorecard is read, retired and written anew
