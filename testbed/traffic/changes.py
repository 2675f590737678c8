"""The mix of live changes: an application's changes of scorecards, one transaction at a time.

Each change returns how many rows it touched and, where a reader can tell, the state that a reader must see afterwards.
"""

from __future__ import annotations

import heapq
from datetime import UTC, datetime, timedelta

from testbed.traffic.customers import AUTO, MANUAL, REPLICA, REQUEST, RESOLVE
from testbed.traffic.seen import Seen, Written, micros
from testbed.traffic.session import CHAT, Late, Mix, Session
from testbed.traffic.workload import SCORES_OF_A_SCORECARD, Card, new_id


def rescore(session: Session, _: float) -> Written | None:
    """Some scores of a scorecard and its own score, in one transaction. Now and then of an appeal."""
    hidden = session.rng.random() < 0.05 and bool(session.appeals)
    card = session.take(session.appeals if hidden else session.some())
    if card is None or not card.scores:
        return None
    chosen = session.rng.sample(card.scores, min(5, len(card.scores)))
    at = datetime.now(UTC)
    with session.connection.transaction():
        session.execute(
            "UPDATE app.scores SET numeric_value = round(random() * 20) / 4, updated_at = %s "
            "WHERE score_id = ANY(%s::uuid[])",
            at,
            chosen,
        )
        session.execute(
            "UPDATE app.scorecards SET score = random() * 100, updated_at = %s WHERE scorecard_id = %s",
            at,
            card.scorecard_id,
        )
    score_id = session.rng.choice([*chosen, None])
    return Written(len(chosen) + 1, None if hidden else session.seen("update", card, score_id, updated_us=micros(at)))


def recalibrate(session: Session, _: float) -> Written | None:
    """The model's guesses of several scorecards at once."""
    cards = [card for card in (session.take(session.ordinary) for _ in range(3)) if card is not None]
    ids = [score_id for card in cards for score_id in card.scores]
    if not ids:
        return None
    at = datetime.now(UTC)
    session.execute(
        "UPDATE app.scores SET ai_value = random(), updated_at = %s WHERE score_id = ANY(%s::uuid[])", at, ids
    )
    last = cards[-1]
    seen = session.seen("update", last, session.rng.choice(last.scores), updated_us=micros(at)) if last.scores else None
    return Written(len(ids), seen)


def grade(session: Session, _: float) -> Written:
    """A conversation, its scorecard and scores."""
    card = session.new_card(AUTO)
    start = card.event_time = session.when()
    with session.connection.transaction():
        session.execute(CHAT, card.conversation_id, card.customer_id, start)
        at = session.insert(card, start)
    session.ordinary.append(card)
    return Written(
        len(card.scores) + 2, session.seen("insert", card, session.rng.choice(card.scores), updated_us=micros(at))
    )


def grade_process(session: Session, _: float) -> Written:
    """A process scorecard and its scores."""
    card = session.new_card(MANUAL)
    when = card.event_time = session.when()
    with session.connection.transaction():
        at = session.insert(card, when)
    session.process.append(card)
    return Written(len(card.scores) + 1, session.seen("insert", card, updated_us=micros(at)))


def grade_early(session: Session, now_s: float) -> Written:
    """A scorecard whose chat comes later."""
    card = session.new_card(AUTO)
    with session.connection.transaction():
        session.insert(card, session.when())
    heapq.heappush(session.late, Late(now_s + session.rng.uniform(0.1, 2), card))
    return Written(len(card.scores) + 1)


def drop_score(session: Session, _: float) -> Written | None:
    """One score is deleted."""
    card = session.take(session.some())
    if card is None or len(card.scores) < 2:
        return None
    score_id = card.scores.pop()
    session.execute("DELETE FROM app.scores WHERE score_id = %s", score_id)
    return Written(1, session.seen("delete", card, score_id))


def drop_scorecard(session: Session, _: float) -> Written | None:
    """A scorecard is deleted, its scores with it."""
    held = session.some()
    card = session.take(held)
    if card is None or len(held) < 20:
        return None
    held.pop()
    session.execute("DELETE FROM app.scorecards WHERE scorecard_id = %s", card.scorecard_id)
    return Written(len(card.scores) + 1, session.seen("delete", card, session.rng.choice([*card.scores, None])))


def turn_into_appeal(session: Session, _: float) -> Written | None:
    """An ordinary scorecard becomes an appeal request."""
    card = session.take(session.ordinary)
    if card is None:
        return None
    session.ordinary.pop()
    session.appeals.append(card)
    session.retype(card, REQUEST)
    return Written(1, session.seen("appeal filed", card, session.rng.choice([*card.scores, None])))


def file_appeal(session: Session, _: float) -> Written | None:
    """An appeal beside the scorecard that it is about: a replica and a request. No reader may ever see them."""
    original = session.take(session.ordinary)
    if original is None:
        return None
    changes = 0
    session.shared.add(original.conversation_id or "")
    with session.connection.transaction():
        for kind in (REPLICA, REQUEST, RESOLVE)[: session.rng.choice((2, 2, 3))]:
            card = Card(original.customer_id, new_id(session.rng), original.conversation_id, [], original.template_id)
            card.scores = [new_id(session.rng) for _ in range(session.rng.choice(SCORES_OF_A_SCORECARD))]
            session.insert(card, session.when(), kind=kind)
            session.appeals.append(card)
            changes += len(card.scores) + 1
    return Written(changes)


def withdraw_appeal(session: Session, _: float) -> Written | None:
    """An appeal becomes an ordinary scorecard (again)."""
    card = session.take(session.appeals)
    if card is None:
        return None
    session.appeals.pop()
    session.ordinary.append(card)
    at = session.retype(card, None)
    return Written(1, session.seen("appeal withdrawn", card, updated_us=micros(at)))


def move_process(session: Session, _: float) -> Written | None:
    """A process scorecard's time: another day, mostly in another month."""
    card = session.take(session.process)
    if card is None:
        return None
    when, at = session.when() + timedelta(days=31), datetime.now(UTC)
    session.execute(
        "UPDATE app.scorecards SET scorecard_time = %s, updated_at = %s WHERE scorecard_id = %s",
        when,
        at,
        card.scorecard_id,
    )
    card.event_time = when
    return Written(
        1, Seen("process moved", card, event_us=micros(when))
    )  # in both places: it must have left the old one


def correct_start(session: Session, _: float) -> Written | None:
    """A chat's started_at."""
    card = session.take(session.ordinary)
    if card is None:
        return None
    when = session.when()
    session.execute("UPDATE app.chats SET started_at = %s WHERE conversation_id = %s", when, card.conversation_id)
    card.event_time = when
    # With two scorecards in a conversation another session may correct it again at any time.
    alone = card.conversation_id not in session.shared
    return Written(1, Seen("start corrected", card, event_us=micros(when)) if alone else None)


# Weights are of transactions. Either mix averages about six row changes in each.
EVERYTHING: Mix = (
    (rescore, 30),
    (Session.remark, 20),
    (recalibrate, 6),
    (grade, 12),
    (grade_process, 4),
    (grade_early, 3),
    (drop_score, 5),
    (drop_scorecard, 3),
    (turn_into_appeal, 4),
    (file_appeal, 1),
    (withdraw_appeal, 4),
    (move_process, 5),
    (correct_start, 5),
)  # every fifth transaction changes a place: to try them all in a short time
ORDINARY: Mix = (
    (rescore, 60),
    (Session.remark, 60),
    (recalibrate, 4),
    (grade, 40),
    (grade_process, 6),
    (grade_early, 4),
    (drop_score, 4),
    (drop_scorecard, 1),
    (turn_into_appeal, 1),
    (file_appeal, 1),
    (withdraw_appeal, 1),
    (move_process, 1),
    (correct_start, 1),
)  # a working day: mostly new scorecards and corrections, some chats late, few appeals
MOVES: Mix = (
    (turn_into_appeal, 4),
    (withdraw_appeal, 4),
    (move_process, 5),
    (correct_start, 5),
)  # every row change is a change of place: each scorecard is read, retired and written again
