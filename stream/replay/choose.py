"""Which messages of a batch a replay hands to the pipeline. The others cost a slim decode and one look-up.

Enters: keys or values of messages. Leaves: indexes. This module reads ids only. So dropping nine customers of ten is
much faster than indexing them. A message that cannot be decoded is handed on: the pipeline knows how to refuse it.
Pure, but for the look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from stream.pipeline.moves import may_move
from stream.pipeline.placement import GONE, Place, State
from stream.pipeline.values import are_uuids
from stream.scope import Scope
from stream.tables import CHATS, SCORE

Chooser = Callable[[Sequence[str]], set[str]]  # scorecard ids -> those that are wanted


class PlaceSource(Protocol):
    """Postgres, as in stream/postgres/places.py."""

    def places(self, ids: Sequence[str]) -> Mapping[str, Place]: ...
    def owners(self, ids: Sequence[str]) -> Mapping[str, str]: ...


def keep(scope: Scope) -> Callable[[Place], bool] | None:
    """Whether changes of a scorecard in this place are wanted; None when all are.

    One that is gone from Postgres is wanted: nothing of it is written, and its delete retires what stands.
    """
    if scope.is_empty:
        return None
    customers = frozenset(scope.customers)
    start, end, kind = scope.start_us, scope.end_us, scope.kind

    def wanted(place: Place) -> bool:
        if place.state is State.GONE:
            return True
        if customers and place.customer_id not in customers:
            return False
        if kind != "all" and place.is_process != (kind == "process"):
            return False
        at = place.event_time_us
        if start is None and end is None:
            return True
        return at is not None and (start is None or at >= start) and (end is None or at < end)

    return wanted


def chooser(wanted: Scope, source: PlaceSource) -> Chooser | None:
    """Which scorecards a scope wants, by one look-up; those that are gone, too. None: all."""
    kept = keep(wanted)
    if kept is None:
        return None
    if not wanted.names_customers_only:

        def in_place(ids: Sequence[str]) -> set[str]:
            known = source.places(ids)
            return {scorecard_id for scorecard_id in ids if kept(known.get(scorecard_id, GONE))}

        return in_place
    customers = frozenset(wanted.customers)

    def of_owner(ids: Sequence[str]) -> set[str]:
        known = source.owners(ids)
        return {scorecard_id for scorecard_id in ids if scorecard_id not in known or known[scorecard_id] in customers}

    return of_owner


class _Ids(msgspec.Struct, gc=False):
    scorecard_id: str | None = None
    customer_id: str | None = None


class _Slim(msgspec.Struct, gc=False):
    after: _Ids | None = None
    before: _Ids | None = None


class _Score(msgspec.Struct, gc=False):
    scorecard_id: str | None = None


class _SlimScore(msgspec.Struct, gc=False):
    after: _Score | None = None
    before: _Score | None = None


class _Named(msgspec.Struct, gc=False):
    scorecard_id: str


class _SlimUpsert(msgspec.Struct, gc=False):
    after: _Named
    before: _Score | None = None


_decode = msgspec.json.Decoder(_Slim).decode
_decode_upsert = msgspec.json.Decoder(_SlimUpsert).decode
_decode_score = msgspec.json.Decoder(_SlimScore).decode
# A score's key as Debezium writes it: always the same but for two UUIDs.
_KEY = b'{"scorecard_id":"%s","score_id":"%s"}' % (36 * b"?", 36 * b"?")
_KEY_CHARS = len(_KEY)
_KEY_FRAME = [(at, char) for at, char in enumerate(_KEY) if char != ord("?")]
_ID = slice(_KEY.index(b"?"), _KEY.index(b"?") + 36)
_FAULTS = (msgspec.MsgspecError, ValueError, RecursionError)


def by_key(keys: Sequence[bytes | None], choose: Chooser) -> list[int] | None:
    """Indexes of the scores whose scorecard is wanted, by their keys. None: some key has another form than Debezium's.

    A score that moves to another scorecard changes its key, so a message is about one scorecard only.
    """
    if None in keys or set(map(len, keys)) != {_KEY_CHARS}:  # type: ignore[arg-type]
        return None
    joined = b"".join(keys)  # type: ignore[arg-type]
    if any(joined[at::_KEY_CHARS] != bytes([char]) * len(keys) for at, char in _KEY_FRAME):
        return None
    own = [key[_ID] for key in keys]  # type: ignore[index]
    texts = {raw: raw.decode("latin-1") for raw in dict.fromkeys(own)}
    if not are_uuids(list(texts.values())):
        return None
    chosen = choose(list(texts.values()))
    kept = {raw for raw, scorecard_id in texts.items() if scorecard_id in chosen}
    return [index for index, raw in enumerate(own) if raw in kept]


def by_filter(table: str, values: Sequence[bytes | None], wanted: Scope, choose: Chooser) -> list[int]:
    """Indexes of the messages whose scorecard is wanted, and of those that cannot be decoded.

    Args:
        choose: the look-up of this filter; asked once, for the scorecards that their own messages do not rule out.
    """
    if table == CHATS:
        return [index for index, value in enumerate(values) if _of_customers(value, wanted.customers)]
    if table == SCORE.source and (own := _scorecards_of(values)) is not None:
        kept = choose(list(dict.fromkeys(own)))
        return [index for index, scorecard_id in enumerate(own) if scorecard_id in kept]
    ids: dict[str, list[int]] = {}
    found: list[int] = []
    for index, value in enumerate(values):
        if value is None:
            continue
        try:
            change = _decode_score(value) if table == SCORE.source else _decode(value)
        except _FAULTS:
            found.append(index)
            continue
        rows = [row for row in (change.after, change.before) if row is not None and row.scorecard_id]
        if not rows:
            found.append(index)
        elif table == SCORE.source or not wanted.customers or _names(rows, wanted.customers):
            for row in rows:
                ids.setdefault(row.scorecard_id or "", []).append(index)
    for scorecard_id in choose(list(ids)) if ids else ():
        found += ids[scorecard_id]
    return sorted(set(found))


def _scorecards_of(values: Sequence[bytes | None]) -> list[str] | None:
    """The scorecard of each score, when all are upserts that name one and stay with it: nearly every batch."""
    try:
        changes = list(map(_decode_upsert, values))  # type: ignore[arg-type]
    except (*_FAULTS, TypeError):  # a tombstone has no bytes
        return None
    own = [change.after.scorecard_id for change in changes]
    moved = any(
        change.before is not None and change.before.scorecard_id != change.after.scorecard_id for change in changes
    )
    return None if moved or "" in own else own


def by_place(table: str, values: Sequence[bytes | None], customers: Sequence[str] = ()) -> list[int]:
    """Indexes of the deletes and the changes of place: what a tail pass applies."""
    return [index for index, value in enumerate(values) if may_move(table, value) and _of_customers(value, customers)]


def _names(rows: Sequence[Any], customers: Sequence[str]) -> bool:
    return any(row.customer_id in customers for row in rows)


def _of_customers(value: bytes | None, customers: Sequence[str]) -> bool:
    """Whether a message names one of the customers, or none at all: a score does not name its customer."""
    if value is None:
        return False
    if not customers:
        return True
    try:
        change = _decode(value)
    except _FAULTS:
        return True
    rows = [row for row in (change.after, change.before) if row is not None and row.customer_id]
    return not rows or _names(rows, customers)
