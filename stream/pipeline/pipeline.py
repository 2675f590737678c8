"""decode -> place -> write -> confirm: one pipeline for live and replay. The caller commits offsets, afterwards.

    Fetched --decode--> changes --look up--> places --plan--> writes --> ClickHouse
                 \\-> dead letters                \\-> reindex of what moves, or is refused
    confirm: look the places up again and reindex what moved meanwhile, until nothing moves

Enters: messages of one source table. Leaves: rows in ClickHouse, dead letters in Kafka, and a Ledger. It never commits,
and it keeps nothing between batches: any process may process a batch, at any time, twice.

Plain synchronous code. It stops with the errors of stream/errors.py; `retry` repeats the steps that may be repeated.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from stream.epochs import ONE_EPOCH, Epochs
from stream.pipeline.account import account, left_aside, log_ahead, log_letters, outcomes_of, refusal_of_change
from stream.pipeline.ahead import Ceiling
from stream.pipeline.aside import of_large_conversations, of_masses
from stream.pipeline.dead_letter import DeadLetterGuard
from stream.pipeline.decisions import plan_scorecards, plan_scores
from stream.pipeline.envelope import DELETE, STARTED_AT, Envelope, Upserts
from stream.pipeline.fetched import Fetched
from stream.pipeline.late import Newest
from stream.pipeline.ledger import Done, Ledger, Outcome
from stream.pipeline.moves import moved_conversations
from stream.pipeline.placement import GONE, Place, own_row_changed
from stream.pipeline.plan import Plan, plan_upserts, scorecard_ids
from stream.pipeline.ports import DeadLetters, Retrying, Source, Target, no_retry
from stream.pipeline.prepare import BatchDecoder, Prepared
from stream.pipeline.refusal import Refusal
from stream.pipeline.settle import Settler
from stream.pipeline.stages import StageClock
from stream.pipeline.values import Bad, convert
from stream.pipeline.visibility import RECENT_MS, transactions
from stream.pipeline.wanted import plan_wanted
from stream.pipeline.writes import Layout
from stream.tables import CHATS, SCORE, SCORECARD

log = logging.getLogger(__name__)


class Pipeline:
    """Processes batches of one source table.

    Args:
        keep: a replay's filter: changes of scorecards whose place it refuses are ignored.
        in_order: the caller processes the batches of a partition one after another, in the order of the log. Then a
            later message settles a change of a scorecard's own row that happens during a batch of scorecards.
        guard: asked before dead letters are produced.
        newest: what the partitions have reached, to know late messages by; shared by all that process them.
        letters: False for messages that another pass refuses as well: that one produces their dead letters.
    """

    def __init__(
        self,
        table: str,
        *,
        source: Source,
        target: Target,
        dead_letters: DeadLetters,
        layout: Layout,
        epochs: Epochs = ONE_EPOCH,
        retry: Retrying = no_retry,
        keep: Callable[[Place], bool] | None = None,
        in_order: bool = False,
        guard: DeadLetterGuard | None = None,
        newest: Newest | None = None,
        letters: bool = True,
    ) -> None:
        self.table = table
        self._letters = letters
        self._newest = Newest() if newest is None else newest
        self._guard = guard
        self._batches = BatchDecoder(table, epochs=epochs)
        self._source = source
        self._target = target
        self._dead_letters = dead_letters
        self._layout = layout
        self._retry = retry
        self._settler = Settler(source=source, target=target, layout=layout, retry=retry)
        self._ceiling = Ceiling(partial(retry, source.position), epochs=epochs)
        self._keep = keep
        self._leaves_own = in_order and table == SCORECARD.source

    def prepare(self, fetched: Sequence[Fetched]) -> Prepared:
        """Decode messages of this pipeline's table. For any thread."""
        return self._batches.prepare(fetched)

    def process(
        self,
        fetched: Sequence[Fetched],
        *,
        prepared: Prepared | None = None,
        still_mine: Callable[[], bool] = lambda: True,
        again: bool = False,
        old: bool = False,
        leaves: bool = False,
    ) -> Done:
        """Process messages of this pipeline's table. On return the caller may commit their offsets.

        Args:
            prepared: what `prepare` returned for these messages.
            still_mine: asked at the end. If the worker may have lost the partitions meanwhile, it reindexes what it
                wrote, because the new owner may have retired those rows already.
            again: a worker that crashed before it confirmed may have processed these messages. The batch looks for rows
                that it left in places that were retired meanwhile, and reindexes those scorecards.
            old: the tables may hold later messages of the partitions already. Postgres is asked for each score, which
                may be gone, and its scorecard elsewhere.
            leaves: large reindexes may be left aside, in the result. The caller carries them out before it commits.
        """
        prepared = prepared or self.prepare(fetched)
        clock = StageClock(decode=prepared.seconds)
        late, ahead, reached = self._batches.find_misplaced(fetched, prepared, self._newest, self._ceiling)
        for part in fetched:  # at once: another thread may take what follows while this batch is under way
            self._newest.note((part.topic, part.partition), part.end, reached[part.topic, part.partition])
        gone = self._gone(prepared) if old and self.table == SCORE.source else set()
        self._batches.take_order(fetched, prepared, gone)
        upserts, messages = prepared.upserts, prepared.messages
        at = [index for index, item in enumerate(messages) if isinstance(item, Envelope)]
        changes: list[Envelope] = [messages[index] for index in at]  # type: ignore[misc]
        done = Done(ledger=Ledger(fetched[0].topic if fetched else self.table), late=len(late), ahead=len(ahead))
        if ahead:
            log_ahead(fetched, min(ahead), len(ahead))
        done.commit_ms = [change.source.ts_ms for change in changes] if upserts is None else upserts.commit_ms
        refusals = prepared.refusals
        named = list(refusals.values())
        plan = (
            self._index_chats(changes, named, done, clock, still_mine, again=again, leaves=leaves)
            if self.table == CHATS
            else self._index(
                changes if upserts is None else upserts, named, done, clock, still_mine, again=again, leaves=leaves
            )
        )
        done.aside = left_aside(self.table, fetched, messages, refusals, plan, again=again)
        outcomes = plan.outcomes
        if upserts is None:
            outcomes = outcomes_of(messages, plan, late | ahead | gone)
            for position, why in plan.refused.items():
                refusals[at[position]] = refusal_of_change(changes[position], why)
        self._close(fetched, outcomes, refusals, plan, done)
        clock.mark("close")
        done.stages = clock.seconds
        return done

    def _gone(self, prepared: Prepared) -> set[int]:
        """Messages of scores that Postgres no longer has where they say."""
        at, scores, scorecards = self._batches.scores(prepared)
        return {at[n] for n in self._retry(partial(self._source.lacking, scores, scorecards))}

    def _index(
        self,
        changes: list[Envelope] | Upserts,
        refusals: Sequence[Refusal],
        done: Done,
        clock: StageClock,
        still_mine: Callable[[], bool],
        *,
        again: bool,
        leaves: bool,
    ) -> Plan:
        ids = scorecard_ids(changes)
        if refusals:
            ids = list(dict.fromkeys([*ids, *(i for refusal in refusals for i in refusal.ids)]))
        self._expect(changes, refusals)
        places: Mapping[str, Place] = self._retry(partial(self._source.places, ids)) if ids else {}
        clock.mark("look_up")
        if self._keep is not None:
            ids = [scorecard_id for scorecard_id in ids if self._keep(places.get(scorecard_id, GONE))]
        if isinstance(changes, Upserts):
            plan = plan_upserts(changes, places, self._layout, wanted=ids)
        else:
            plan = self._plan(changes, refusals, places, set(ids))
        clock.mark("plan")
        plan.used = used = {i: places.get(i, GONE) for i in ids}
        if plan.reindex:
            plan.gone = plan.reindex.keys() - places.keys()
            used |= self._reindex(plan, done, leaves=leaves, refusals=refusals)
            if plan.aside:  # at the highest version of all that the batch has written of them: one confirm covers both
                highest = plan.versions(changes)
                plan.aside = {i: highest[i] for i in plan.aside}
                plan.used = used = {i: place for i, place in used.items() if i not in plan.aside}
        elif plan.writes:
            self._retry(partial(self._target.write, plan.writes))
            done.rows += plan.writes.rows
        clock.mark("write")
        plan.customers |= {place.customer_id for place in used.values()}
        self._confirm(used, places, changes, plan, done)
        plan.lost = not still_mine()
        if plan.lost or again:
            versions = plan.versions(changes)
            self._undo({i: versions[i] for i in used}, plan.customers, done, lost=plan.lost)
        clock.mark("confirm")
        return plan

    def _expect(self, changes: list[Envelope] | Upserts, refusals: Sequence[Refusal]) -> None:
        """Wait until look-ups see what the batch's transactions committed. Otherwise a new row would count as gone."""
        if isinstance(changes, Upserts):
            awaited = changes.transactions
        else:
            since_ms = int(time.time() * 1000) - RECENT_MS
            awaited = transactions((change.source for change in changes), since_ms=since_ms)
            awaited |= {r.transaction for r in refusals if r.transaction is not None and r.ts_ms >= since_ms}
        if awaited:
            self._retry(partial(self._source.expect, awaited))

    def _plan(
        self,
        changes: list[Envelope],
        refusals: Sequence[Refusal],
        places: Mapping[str, Place],
        wanted: set[str],
    ) -> Plan:
        planner = plan_scores if self.table == SCORE.source else plan_scorecards

        def plan(changes: Sequence[Envelope]) -> Plan:
            return planner(changes, places, self._layout, refusals=refusals, wanted=wanted)

        return plan(changes) if self._keep is None else plan_wanted(plan, changes, wanted)

    def _reindex(self, plan: Plan, done: Done, *, leaves: bool, refusals: Sequence[Refusal]) -> dict[str, Place]:
        """Reindex what the plan names; returns the places used. `plan.aside` has what is left aside."""
        masses = leaves and not (refusals or plan.refused)  # each of them would keep a dead letter in memory
        left = {i: plan.reindex.pop(i) for i in of_large_conversations(plan.of_conversation)} if leaves else {}
        if masses:
            left |= {i: plan.reindex.pop(i) for i in of_masses(plan.reindex, plan.gone)}
        plan.aside = dict(left)
        used = self._settler.reindex_ordered(
            plan.reindex,
            plan.customers,
            done,
            unordered=plan.unordered,
            anywhere=plan.anywhere,
            beside=plan.writes,
            aside=plan.aside if leaves else None,
            gone=plan.gone,
        )
        plan.reindex |= left
        return used

    def _index_chats(
        self,
        changes: list[Envelope],
        refusals: Sequence[Refusal],
        done: Done,
        clock: StageClock,
        still_mine: Callable[[], bool],
        *,
        again: bool,
        leaves: bool,
    ) -> Plan:
        plan = Plan(outcomes=[Outcome.IGNORED] * len(changes))
        bad: Bad = {}
        convert(STARTED_AT, [None if c.after is None else c.after.started_at for c in changes], bad)
        plan.refused = bad
        conversations = moved_conversations(changes, refusals)
        found: list[tuple[str, str, bool]] = []
        if conversations:
            self._expect(changes, refusals)
            found = self._retry(partial(self._source.scorecards_of, list(conversations)))
        clock.mark("look_up")
        indexed = plan.of_conversation
        for conversation_id, scorecard_id, covered in found:
            moved = conversations[conversation_id]
            # Scorecards written with the conversation or later have messages of their own, which find the conversation.
            if not (covered and moved.arrived):
                plan.reindex_at(scorecard_id, moved.version, unordered=moved.unordered)
                indexed.setdefault(conversation_id, []).append(scorecard_id)
        for index, change in enumerate(changes):
            row = change.before if change.op == DELETE else change.after
            if index in bad:
                plan.outcomes[index] = None
            elif row.conversation_id in indexed:
                plan.outcomes[index] = Outcome.RETIRED if change.op == DELETE else Outcome.WRITTEN
        known = set(plan.reindex)
        if plan.reindex:
            plan.used = self._reindex(plan, done, leaves=leaves, refusals=refusals)
            plan.customers |= {place.customer_id for place in plan.used.values()}
            clock.mark("write")
            self._settler.confirm(plan.used, plan.reindex, plan.customers, done)
            plan.lost = not still_mine()
            if plan.lost or again:
                self._undo({i: plan.reindex[i] for i in plan.used}, plan.customers, done, lost=plan.lost)
        if again:
            self._settler.undo_left({change.version for change in changes}, known, done)
        clock.mark("confirm")
        return plan

    def _confirm(
        self,
        used: dict[str, Place],
        looked: Mapping[str, Place],
        changes: list[Envelope] | Upserts,
        plan: Plan,
        done: Done,
    ) -> None:
        """Reindex the scorecards that have left the places used.

        `looked` is the look-up that most of those came from.
        """
        if not used:
            return
        now = self._retry(partial(self._source.moved, used, looked))
        moved = list(now)
        if self._leaves_own:
            # That change was committed after the first look-up. So its message follows this batch, and finds all that
            # the batch wrote.
            moved = [i for i in now if not own_row_changed(used[i], now[i])]
        if moved:
            versions = plan.versions(changes)
            self._settler.settle({i: versions[i] for i in moved}, used, now, plan.customers, done)

    def _undo(self, versions: dict[str, int], customers: set[str], done: Done, *, lost: bool) -> None:
        """Reindex scorecards whose rows this batch may have written after another worker had retired them."""
        if lost:
            log.warning(
                "lost the partitions in a batch: reindexing", extra={"table": self.table, "scorecards": len(versions)}
            )
            self._settler.rewrite(versions, customers, done)
        else:
            self._settler.undo(versions, customers, done)

    def _close(
        self,
        fetched: Sequence[Fetched],
        outcomes: list[Outcome | None],
        refusals: Mapping[int, Refusal],
        plan: Plan,
        done: Done,
    ) -> None:
        """Produce the dead letters, and account for every message.

        Raises:
            TooManyDeadLetters: before a letter is produced, so that a restart does not produce them again.
        """
        if self._guard is not None and self._letters:
            self._guard.add(
                done.ledger.topic, messages=sum(len(part.values) for part in fetched), refused=len(refusals)
            )
        letters = account(fetched, outcomes, refusals, plan, done)
        if not self._letters:
            done.refused = {}
        elif letters:
            self._retry(partial(self._dead_letters.send, letters))
            log_letters(letters)
        done.ledger.check()
