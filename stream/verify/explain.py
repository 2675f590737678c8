"""One scorecard: its state in Postgres, its rows on every shard, dead letters, the last messages, and a sentence.

Enters: a scorecard id. Leaves: an Explanation. Reads only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from stream.clickhouse.sharding import layout_of
from stream.clickhouse.shards import Shards
from stream.clickhouse.versions import highest
from stream.errors import Retry, Stop
from stream.kafka.broker import Broker
from stream.pipeline.ordering import commit_lsn, lsn, lsn_text
from stream.pipeline.placement import APPEALS, ORDINARY, State, month_of
from stream.pipeline.values import uuid_text
from stream.postgres.connection import LSN_NOW, Postgres
from stream.postgres.defining_query import source_of
from stream.stores import Stores
from stream.tables import SCORE, SCORECARD, TARGETS
from stream.times import moment
from stream.verify.caught_up import CaughtUp
from stream.verify.dead_letter_index import DeadLetterIndex
from stream.verify.findings import APPEAL_NAMES, RowDifference, compare, not_shown
from stream.verify.last_messages import LogEntry, last_messages
from stream.verify.row_states import Card, InPostgres, in_postgres, shown

log = logging.getLogger(__name__)

_LOOKS = 3


@dataclass(frozen=True, slots=True)
class StoredState:
    """States of one sort key on one shard, not collapsed: rows as they lie in the parts."""

    shard: int
    table: str
    customer_id: str
    month: int
    event_time_us: int
    is_process: bool
    version: int
    deleted: bool
    indexed_at: str
    rows: int  # 1 for the scorecard; how many scores have this version and place

    def as_json(self) -> dict[str, Any]:
        return {
            "shard": self.shard,
            "table": self.table,
            "customer_id": self.customer_id,
            "partition": self.month,
            "event_time": moment(self.event_time_us).isoformat(),
            "kind": "process" if self.is_process else "conversation",
            "version": str(self.version),
            "commit_lsn": lsn_text(commit_lsn(self.version)),
            "lsn": lsn_text(lsn(self.version)),
            "delete_marker": self.deleted,
            "indexed_at": self.indexed_at,
            "rows": self.rows,
        }


@dataclass(slots=True)
class Explanation:
    """All facts about one scorecard."""

    scorecard_id: str
    card: Card | None = None
    scores: int = 0  # in Postgres
    shard: int | None = None  # where it belongs
    shown: dict[str, int] = field(default_factory=dict)  # table -> rows that ClickHouse shows
    stored: list[StoredState] = field(default_factory=list)
    findings: list[RowDifference] = field(default_factory=list)
    dead_letters: list[str] = field(default_factory=list)
    lag: str = ""  # what the pipeline has not passed yet; empty when it is up to date, or not asked
    log: list[LogEntry] | None = None  # None: not asked for
    verdict: str = ""
    sentence: str = ""

    def as_json(self) -> dict[str, Any]:
        card = self.card
        place = None
        if card is not None:
            at = card.place.event_time_us
            place = {
                "state": card.place.state.name.lower(),
                "event_time": None if at is None else moment(at).isoformat(),
                "kind": "process" if card.place.is_process else "conversation",
                "partition": None if at is None else month_of(at),
                "shard": self.shard,
            }
        return {
            "scorecard_id": self.scorecard_id,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "postgres": None
            if card is None
            else {
                "customer_id": card.place.customer_id,
                "scorecard_type": card.scorecard_type,
                "template_id": card.template_id,
                "conversation_id": card.conversation_id,
                "conversation_in_postgres": card.has_chat,
                "updated_at": None if card.updated_at_us is None else moment(card.updated_at_us).isoformat(),
                "scores": self.scores,
            },
            "place": place,
            "shown": self.shown,
            "clickhouse": [each.as_json() for each in self.stored],
            "findings": [each.as_json() for each in self.findings],
            "dead_letters": self.dead_letters,
            "lag": self.lag,
            "log": None if self.log is None else [entry.as_json() for entry in self.log],
        }


def explain(
    stores: Stores,
    scorecard_id: str,
    *,
    customers: Iterable[str] = (),
    kafka: bool = True,
    timeout_s: float = 12,
    log_messages: int = 0,
) -> Explanation:
    """Collect the facts from every place.

    Args:
        scorecard_id: a canonical UUID.
        customers: other customers under which it may stand. A scorecard that is gone in Postgres is sought under all.
        kafka: False = neither lag nor dead letters nor the log.
        timeout_s: limit of each wait for the pipeline, where something is wrong. The connector's heartbeat moves the
            slot every few seconds, so a pipeline that has not passed after some of them is behind.
        log_messages: number of last messages of its partitions to look through; 0 = none.
    """
    out = Explanation(scorecard_id)
    postgres, shards, broker = stores.postgres, stores.shards, stores.broker
    letters = DeadLetterIndex(broker if kafka else None, epoch=stores.epochs.first)
    with postgres.asking() as connection:
        source = source_of(connection, postgres.schema)
        for look in range(_LOOKS):  # the first without waiting; again when something is wrong, or moved meanwhile
            before = in_postgres(connection, source, [scorecard_id])
            if look and kafka:
                at = connection.execute(LSN_NOW).fetchone()
                out.lag = _lag(broker, postgres, int(at[0]) if at is not None else 0, timeout_s)
            out.stored = _stored(shards, scorecard_id)
            known = {each.customer_id for each in out.stored} | set(customers)
            known |= {card.place.customer_id for card in before.cards.values()}
            _compare(out, before, shards, letters, sorted(known))
            if not out.findings or (look and in_postgres(connection, source, [scorecard_id]) == before):
                break
        out.dead_letters = _letters(letters, before, out)
        if letters.unread:
            out.dead_letters.append(f"the dead letters could not be read: {letters.unread}")
        if kafka and log_messages:
            out.log = last_messages(broker, stores.epochs, scorecard_id, most=log_messages)
    out.verdict, out.sentence = verdict(out)
    return out


def verdict(out: Explanation) -> tuple[str, str]:  # noqa: PLR0911  one return for each answer
    """A word and a sentence."""
    card = out.card
    repair = f"`scorestream reindex --id {out.scorecard_id}` repairs it"
    wrong = "; ".join(dict.fromkeys(f"{f.what} {f.table}: {f.reason}" for f in out.findings))
    if out.findings and out.lag:
        return "not yet", f"Not yet: {out.lag}; so far {wrong}."
    letter = next((f for f in out.findings if "dead letter" in f.reason or "cannot be indexed" in f.reason), None)
    if letter is not None:
        return "dead letter", f"Not indexed as it is in Postgres: {letter.table} {letter.row_id}: {letter.reason}."
    if out.findings:
        return "wrong", f"Wrong: {wrong}; {repair}."
    if card is None:
        return "not in postgres", "Not in Postgres, and ClickHouse shows nothing of it."
    if card.scorecard_type in APPEALS:
        kind = f"scorecard_type {card.scorecard_type}, {APPEAL_NAMES[card.scorecard_type or 0]}"
        since = f", since {moment(card.updated_at_us).isoformat()} at the latest" if card.updated_at_us else ""
        return "appeal", f"An appeal ({kind}){since}: nothing of it is visible."
    if card.scorecard_type not in ORDINARY:
        return "unknown type", f"Not shown: {not_shown(card)}; its message is a dead letter."
    if card.place.state is State.WAITING:
        return "waiting", f"Waiting: {not_shown(card)}; it is indexed when that changes."
    scores = out.shown.get(SCORE.target, 0)
    return "indexed", f"Indexed: on shard {out.shard} with {scores} scores, equal to Postgres in all columns."


def _compare(
    out: Explanation,
    postgres_has: InPostgres,
    shards: Shards,
    letters: DeadLetterIndex,
    customers: list[str],
) -> None:
    number = int(out.scorecard_id.replace("-", ""), 16)
    out.card = postgres_has.cards.get(number)
    out.scores = sum(table == SCORE.target for table, _ in postgres_has.rows)
    at = None if out.card is None else out.card.place.event_time_us
    spread = layout_of(shards)
    out.shard = None if at is None else spread.shard(at)
    there = shown(shards, [out.scorecard_id], customers)
    out.shown = {table.target: sum(row.key.table == table.target for row in there) for table in TARGETS}
    held = highest(shards, [out.scorecard_id], customers)
    out.findings = compare(postgres_has, there, spread, highest=held, dead_letters={})
    if any(finding.what != "extra" for finding in out.findings):
        known = letters.by_row()
        settled = letters.settled(held)
        out.findings = compare(postgres_has, there, spread, highest=held, dead_letters=known, settled=settled)


def _stored(shards: Shards, scorecard_id: str) -> list[StoredState]:
    """Everything on every shard, under any customer.

    The sort key does not start with the id, so this reads a column.
    """
    found = []
    for table in (SCORECARD, SCORE):
        query = (
            "SELECT toString(customer_id) AS customer, toYYYYMM(event_time) AS month, "
            "toUnixTimestamp64Micro(event_time) AS at, is_process, _version, _deleted, toString(max(_indexed_at)), "
            f"count() FROM {{database}}.{table.target} WHERE scorecard_id = %(id)s "
            "GROUP BY customer, month, at, is_process, _version, _deleted ORDER BY _version DESC, _deleted"
        )
        for shard, customer, month, at, process, version, deleted, indexed_at, rows in shards.everywhere(
            query, {"id": scorecard_id}
        ):
            found.append(
                StoredState(
                    shard, table.target, customer, month, at, bool(process), version, bool(deleted), indexed_at, rows
                )
            )
    return found


def _letters(letters: DeadLetterIndex, postgres_has: InPostgres, out: Explanation) -> list[str]:
    """Letters of the scorecard, and of the scores that Postgres has of it."""
    known = letters.by_row()
    ids = [out.scorecard_id, *(uuid_text(row_id) for _, row_id in postgres_has.rows)]
    return list(dict.fromkeys(known[i] for i in ids if i in known))


def _lag(broker: Broker, postgres: Postgres, at: int, timeout_s: float) -> str:
    """Why the pipeline may not have indexed everything before this LSN yet; asked only when something is wrong."""
    caught_up = CaughtUp(broker, postgres)
    try:
        return "" if caught_up.wait(at, timeout_s=timeout_s) else caught_up.why
    except (Retry, Stop) as error:
        log.warning("lag not known", extra={"cause": str(error)})
        return ""
