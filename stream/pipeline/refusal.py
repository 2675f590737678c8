"""What a refused message still says: which rows it names, under which customers, at which version.

Enters: key and value of a message that cannot be indexed as it is. Leaves: a Refusal. The pipeline reindexes the named
scorecards from Postgres. So a bad value never hides an appeal, a delete or a change of place. No content of a message
raises here, and only ids and customers are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stream.epochs import ONE_EPOCH, Epochs
from stream.errors import Refused
from stream.pipeline.cut_texts import may_be_cut
from stream.pipeline.ordering import lacks_commit, version
from stream.pipeline.placement import Place, State
from stream.pipeline.values import uuid_int
from stream.pipeline.visibility import is_streamed
from stream.tables import CHATS, SCORECARD

_BORN = {"c", "r"}  # operations before which no row stood


@dataclass(slots=True)
class Refusal:
    """A refused message, and the scorecards to reindex in its place."""

    why: Refused
    ids: list[str] = field(default_factory=list)  # scorecards; for chats: conversations
    customers: set[str] = field(default_factory=set)  # customers under which rows may stand
    version: int = 0
    unordered: bool = False  # the version does not tell the order: write at the highest version that stands
    anywhere: bool = False  # rows may stand under a customer that the message does not name
    transaction: int | None = None  # its transaction's id, when it was streamed
    ts_ms: int = 0  # commit time, milliseconds since 1970


def refusal_of(
    table: str, key: bytes | None, value: bytes | None, why: Refused, *, epochs: Epochs = ONE_EPOCH
) -> Refusal:
    """What a refused message of this table's topic still names; nothing when it says that it is of another table."""
    refusal = Refusal(why)
    change = _unwrapped(_loads(value))
    source = _dict(change.get("source"))
    if source.get("table", table) != table:
        return refusal
    images = [image for name in ("after", "before") if (image := _dict(change.get(name)))]
    column = "conversation_id" if table == CHATS else "scorecard_id"
    named: list[Any] = [row.get(column) for row in (*images, _unwrapped(_loads(key)))]
    refusal.ids = list(dict.fromkeys(text for text in named if _is_uuid(text)))
    refusal.customers = {customer for row in images if isinstance(customer := row.get("customer_id"), str)}
    before = _dict(change.get("before"))
    customer = before.get("customer_id")
    # Without REPLICA IDENTITY FULL a delete's before-image has blanks beside the key.
    named_one = isinstance(customer, str) and customer and not may_be_cut(customer)
    known = named_one or change.get("op") in _BORN
    refusal.anywhere = table == SCORECARD.source and not known
    if is_streamed(source.get("snapshot")) and isinstance(xid := source.get("txId"), int):
        refusal.transaction = xid
        refusal.ts_ms = at if isinstance(at := source.get("ts_ms"), int) else 0
    sequence = source.get("sequence")
    try:
        commit_ms = source.get("ts_ms")
        epoch = epochs.of(commit_ms) if isinstance(commit_ms, int) else epochs.first
        refusal.version = version(sequence if isinstance(sequence, str) else None, epoch=epoch)
        refusal.unordered = lacks_commit(str(sequence), source.get("snapshot")) or not isinstance(commit_ms, int)
    except Refused:
        refusal.unordered = True
    return refusal


def _loads(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    try:  # NaN, lone surrogates, and bytes that are not UTF-8
        return json.loads(value.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def _unwrapped(body: Any) -> dict[str, Any]:
    """The payload of {"schema": .., "payload": ..}."""
    found = _dict(body)
    return _dict(found["payload"]) if "payload" in found else found


def _dict(body: Any) -> dict[str, Any]:
    return body if isinstance(body, dict) else {}


def _is_uuid(text: Any) -> bool:
    try:
        uuid_int(text)
    except (ValueError, TypeError, AttributeError):
        return False
    return True


def applied(scorecards: Iterable[str], places: Mapping[str, Place], withheld: Mapping[str, int]) -> str:
    """What was done in place of a refused message, for its dead letter: `reindexed=1 retired=0 withheld=2`.

    Args:
        scorecards: scorecards that the message names.
        places: where the batch wrote them; scorecards outside a replay's filter are missing.
        withheld: by scorecard, rows in Postgres that ClickHouse cannot hold.
    """
    touched = [scorecard_id for scorecard_id in scorecards if scorecard_id in places]
    if not touched:
        return "none"
    visible = sum(places[scorecard_id].state == State.VISIBLE for scorecard_id in touched)
    rows = sum(withheld.get(scorecard_id, 0) for scorecard_id in touched)
    return f"reindexed={visible} retired={len(touched) - visible} withheld={rows}"
