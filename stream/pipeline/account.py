"""What became of each message of a batch: its outcome in the ledger, and a dead letter for each refused message.

Enters: messages, outcomes and refusals. Leaves: dead letters, and the ledger with every message in one column. Sends
nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from stream.errors import Refused
from stream.pipeline.aside import Aside
from stream.pipeline.dead_letter import DeadLetter
from stream.pipeline.envelope import Decoded, Envelope
from stream.pipeline.fetched import Fetched
from stream.pipeline.ledger import Done, Outcome
from stream.pipeline.placement import Place
from stream.pipeline.plan import Plan
from stream.pipeline.refusal import Refusal, applied
from stream.tables import CHATS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _LaterLetter:
    """A letter without what was done; all scorecards that its message names; and what the batch did of them itself."""

    letter: DeadLetter
    scorecards: list[str]
    places: dict[str, Place]
    withheld: dict[str, int]

    def tell(self, places: Mapping[str, Place], withheld: Mapping[str, int]) -> DeadLetter:
        told = applied(self.scorecards, {**self.places, **places}, {**self.withheld, **withheld})
        return replace(self.letter, applied=told)


def account(
    fetched: Sequence[Fetched],
    outcomes: list[Outcome | None],
    refusals: Mapping[int, Refusal],
    plan: Plan,
    done: Done,
) -> list[DeadLetter]:
    """Count every message in `done`, and return a dead letter for each refused one.

    Letters about scorecards that are left aside go there instead.

    Args:
        outcomes: of each message, in order; None for the refused ones, which are filled in.
        refusals: index of the message -> why.
        plan: the plan, after it was carried out.
    """
    now_ms = int(time.time() * 1000)
    letters: list[DeadLetter] = []
    start = 0
    for part in fetched:
        end = start + len(part.values)
        for index in sorted(index for index in refusals if start <= index < end):
            refusal = refusals[index]
            cards = list(chain.from_iterable(plan.of_conversation.get(i, (i,)) for i in refusal.ids))
            instead = applied(cards, plan.used, done.withheld)
            letter = DeadLetter.of(part.message(index - start), refusal.why, now_ms=now_ms, applied=instead)
            done.refused[letter.reason] = done.refused.get(letter.reason, 0) + 1
            outcomes[index] = Outcome.DEAD_LETTER
            if done.aside is not None and not plan.aside.keys().isdisjoint(cards):
                now = {i: plan.used[i] for i in cards if i in plan.used}
                withheld = {i: done.withheld[i] for i in cards if i in done.withheld}
                done.aside.letters.append(_LaterLetter(letter, cards, now, withheld))
            else:
                letters.append(letter)
        known = [outcome for outcome in outcomes[start:end] if outcome is not None]
        done.ledger.add(part.partition, known, consumed=len(part.values))
        start = end
    return letters


def outcomes_of(messages: Sequence[Decoded], plan: Plan, misplaced: Collection[int]) -> list[Outcome | None]:
    """The outcome of each message; None for the refused ones.

    Args:
        misplaced: indexes of messages that tell no order: their scorecards were reindexed.
    """
    of_changes = iter(plan.outcomes)
    outcomes: list[Outcome | None] = [
        Outcome.TOMBSTONE if item is None else next(of_changes) if isinstance(item, Envelope) else None
        for item in messages
    ]
    for index in misplaced:
        if outcomes[index] in {Outcome.WRITTEN, Outcome.RETIRED}:
            outcomes[index] = Outcome.SUPERSEDED
    return outcomes


def left_aside(
    table: str,
    fetched: Sequence[Fetched],
    messages: Sequence[Decoded],
    refusals: Mapping[int, Refusal],
    plan: Plan,
    *,
    again: bool,
) -> Aside | None:
    """What the plan leaves aside, with the parts of the batch that ask for it; None: nothing.

    Args:
        again: as of `Pipeline.process`.
    """
    if not plan.aside:
        return None
    parts = parts_that_ask(table, fetched, messages, refusals, plan.aside, plan.of_conversation)
    gone = plan.gone & plan.aside.keys()
    return Aside(plan.aside, plan.customers, plan.unordered, plan.anywhere, gone, parts, again, plan.lost)


def parts_that_ask(
    table: str,
    fetched: Sequence[Fetched],
    messages: Sequence[Decoded],
    refusals: Mapping[int, Refusal],
    scorecards: Collection[str],
    indexed: Mapping[str, Sequence[str]],
) -> set[int]:
    """Indexes of the parts of a batch that have a message about one of these scorecards.

    Args:
        table: the source table of the messages.
        messages: of all parts, one after another.
        refusals: of messages, by index.
        indexed: for chats: conversation -> its scorecards.
    """
    wanted = set(scorecards)
    name = "scorecard_id"
    if table == CHATS:
        name, wanted = "conversation_id", {each for each, cards in indexed.items() if not wanted.isdisjoint(cards)}
    found: set[int] = set()
    start = 0
    for number, part in enumerate(fetched):
        end = start + len(part.values)
        named = chain.from_iterable(refusals[index].ids for index in refusals if start <= index < end)
        rows = (row for item in messages[start:end] if isinstance(item, Envelope) for row in (item.before, item.after))
        if not wanted.isdisjoint(named) or any(row is not None and getattr(row, name) in wanted for row in rows):
            found.add(number)
        start = end
    return found


def refusal_of_change(change: Envelope, why: Refused) -> Refusal:
    """The refusal of a change that was decoded, but whose content cannot be written."""
    row = change.after if change.before is None else change.before
    names = [getattr(row, name, None) for name in ("scorecard_id", "conversation_id")]
    return Refusal(why, ids=[name for name in names if name][:1])


def log_letters(letters: Sequence[DeadLetter]) -> None:
    """Log one line for each dead letter that the broker has acknowledged.

    The line omits the error, because it may quote the value. The letter has it, and `dead-letters list` shows it.
    """
    for letter in letters:
        at = letter.message
        log.warning(
            "dead letter",
            extra={
                "topic": at.topic,
                "partition": at.partition,
                "offset": at.offset,
                "reason": letter.reason,
                "applied": letter.applied,
            },
        )


def log_ahead(fetched: Sequence[Fetched], first: int, count: int) -> None:
    """Log one line for a batch's messages that are ahead of Postgres' WAL. `first`: index of the first one."""
    start = 0
    for part in fetched:
        if first < start + len(part.values):
            log.warning(
                "messages are newer than Postgres' WAL: their scorecards are reindexed instead",
                extra={
                    "topic": part.topic,
                    "partition": part.partition,
                    "offset": part.message(first - start).offset,
                    "messages": count,
                    "way_out": "find who else produces into the topic, or whether Postgres lost commits in a fail over",
                },
            )
            return
        start += len(part.values)
