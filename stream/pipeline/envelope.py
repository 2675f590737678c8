"""Bytes -> Envelope: Debezium's change events as typed structs, made from stream/tables.py.

Enters: the values of Kafka messages of one source table. Leaves: an Envelope for each change, a Refused for each
message that is none, None for a tombstone. Unknown extra columns are skipped; a required one that is missing is
refused. The shape of the values is checked here, their content in stream/pipeline/values.py. A before-image is never
a reason to refuse: what cannot be read of it counts as changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec

from stream.errors import Refused
from stream.pipeline.ordering import lacks_commit, version, versions
from stream.pipeline.values import are_uuids, uuid_int
from stream.tables import CHATS, SCORE, SCORECARD, Column, Kind, Table

READ, CREATE, UPDATE, DELETE = "r", "c", "u", "d"
UPSERTS = frozenset({READ, CREATE, UPDATE})


class Source(msgspec.Struct, gc=False):
    """What Debezium says of where a change comes from; the order is in `sequence`."""

    table: str
    ts_ms: int  # commit time, milliseconds since 1970
    sequence: str | None = None
    snapshot: str | bool | None = None  # "true", "first", "last", ... "incremental"; false when streamed
    txId: int | None = None


class Envelope(msgspec.Struct, gc=False):
    """A change of one row.

    Where the table's replica identity is not FULL, an update has no `before`, and that of a delete has the primary key
    and blanks: "" for a text or UUID that may not be NULL, None for what may.
    """

    op: str
    source: Source
    after: Any = None
    before: Any = None
    version: int = 0  # set after decoding
    unordered: bool = False  # set after decoding; see ordering.lacks_commit

    @property
    def is_incremental(self) -> bool:
        """Read by an incremental snapshot, that is on somebody's demand."""
        return self.source.snapshot == "incremental"


@dataclass(slots=True)
class Upserts:
    """Upserts of one table, each of which has all columns and stays in its place. One item a message.

    `stays`: a score with its scorecard; a scorecard with its customer, kind, conversation, and time where that decides.
    `newest`: False for those that a later message of the batch supersedes; None: there are none.
    """

    table: Table
    scorecards: list[str] = field(default_factory=list)
    columns: list[list[Any]] = field(default_factory=list)  # as in Table.columns
    versions: list[int] = field(default_factory=list)
    commit_ms: list[int] = field(default_factory=list)
    transactions: set[int] = field(default_factory=set)  # that a look-up has to see first
    newest: list[bool] | None = None

    def __len__(self) -> int:
        return len(self.scorecards)

    def highest(self) -> dict[str, int]:
        """The highest version among the changes of each scorecard, or of its scores."""
        found: dict[str, int] = {}
        for scorecard_id, number in zip(self.scorecards, self.versions, strict=True):
            if found.get(scorecard_id, -1) < number:
                found[scorecard_id] = number
        return found


UNREADABLE = object()  # stands in a before-image for a value that is none of its column's; equal to nothing

Decoded = Envelope | Refused | None

FAULTS = (msgspec.MsgspecError, ValueError, RecursionError)  # of decoding

# Must be UUIDs before anything is looked up by them.
ID_COLUMNS: dict[str, tuple[str, ...]] = {
    SCORECARD.source: ("scorecard_id",),
    SCORE.source: ("score_id", "scorecard_id"),
    CHATS: ("conversation_id",),
}

_TYPES: dict[Kind, Any] = {
    "uuid": str,
    "text": str,
    "time": Annotated[datetime, msgspec.Meta(tz=True)] | int,
    "float": float | str,
    "int": Annotated[int, msgspec.Meta(ge=-(2**15), le=2**15 - 1)],
    "bool": bool,
}

# Source columns that are read and not copied.
EXTRA: dict[str, tuple[Column, ...]] = {
    SCORECARD.source: (
        Column("scorecard_id", "uuid", nullable=False),
        Column("customer_id", "text", nullable=False),
        Column("scorecard_type", "int"),
    ),
    SCORE.source: (Column("scorecard_id", "uuid", nullable=False),),
    CHATS: (
        Column("conversation_id", "uuid", nullable=False),
        Column("customer_id", "text", nullable=False),
        Column("started_at", "time"),
    ),
}
STARTED_AT = EXTRA[CHATS][2]
_COPIED: dict[str, Table] = {SCORECARD.source: SCORECARD, SCORE.source: SCORE}


def _columns(table: str) -> tuple[Column, ...]:
    copied = _COPIED[table].columns if table in _COPIED else ()
    return EXTRA[table] + copied


def _after_type(table: str) -> type[msgspec.Struct]:
    fields = [(c.name, (_TYPES[c.kind] | None) if c.nullable else _TYPES[c.kind]) for c in _columns(table)]
    return msgspec.defstruct(f"{table}_after", fields, gc=False)


def _before_type(table: str) -> type[msgspec.Struct]:
    """Of a before-image only the columns that decide a place or may be TOASTed are read: it is half of the bytes."""
    wanted = {
        "scorecard_id",
        "customer_id",
        "scorecard_type",
        "conversation_id",
        "scorecard_time",
        "started_at",
        "score_id",
    }
    fields = [(c.name, _TYPES[c.kind] | None, None) for c in _columns(table) if c.name in wanted or c.kind == "text"]
    return msgspec.defstruct(f"{table}_before", fields, gc=False)


def _envelope_type(table: str, before: Any) -> Any:
    fields: list[Any] = [
        ("op", str),
        ("source", Source),
        ("after", _after_type(table) | None, None),
        ("before", before | None, None),
    ]
    return msgspec.defstruct(f"{table}_envelope", fields, bases=(Envelope,), gc=False)


class _Lenient:
    """Decodes an envelope whose before-image has values that its columns cannot have."""

    def __init__(self, table: str) -> None:
        self._before = _before_type(table)
        kinds = {column.name: column.kind for column in _columns(table)}
        self._types = {name: _TYPES[kinds[name]] for name in self._before.__struct_fields__}
        envelope = _envelope_type(table, dict[str, Any])
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(envelope).decode
        wrapped = msgspec.defstruct(f"{table}_lenient", [("payload", envelope | None)])
        self._decode_wrapped: Callable[[bytes], Any] = msgspec.json.Decoder(wrapped).decode

    def decode(self, value: bytes, *, wrapped: bool) -> Envelope | None:
        """Raises one of FAULTS when more is wrong than the before-image."""
        change: Any = self._decode_wrapped(value).payload if wrapped else self._decode(value)
        if change is not None and change.before is not None:
            row = change.before
            change.before = self._before(**{name: self._known(name, row.get(name)) for name in self._types})
        return change  # type: ignore[no-any-return]

    def _known(self, name: str, value: Any) -> Any:
        if value is None:
            return None
        try:
            return msgspec.convert(value, self._types[name])
        except FAULTS:
            # A text or an id that is none is not known, as in an image that is not full.
            return None if self._types[name] is str else UNREADABLE


def upsert_type(table: str) -> Any:
    """An upsert with the words that Debezium nearly always uses, which then cost no string each."""
    snapshots = Literal["true", "false", "first", "last", "incremental"]
    fields: list[Any] = [("table", Literal[table]), ("ts_ms", int), ("sequence", str)]
    fields += [("snapshot", snapshots | bool | None, None), ("txId", int | None, None)]
    source = msgspec.defstruct(f"{table}_source", fields, gc=False)
    fields = [("op", Literal["r", "c", "u"]), ("source", source), ("after", _after_type(table))]
    fields += [("before", _before_type(table) | None, None)]
    return msgspec.defstruct(f"{table}_upsert", fields, bases=(Envelope,), gc=False)


class Decoder:
    """Decodes the messages of one source table.

    Args:
        table: name of the source table; a message of another one is refused.
        epoch: see stream/pipeline/ordering.py.
    """

    def __init__(self, table: str, *, epoch: int = 0) -> None:
        envelope = _envelope_type(table, _before_type(table))
        self.table = table
        self._epoch = epoch
        self._decode: Callable[[bytes], Envelope] = msgspec.json.Decoder(envelope).decode
        self._decode_usual: Callable[[bytes], Envelope] = msgspec.json.Decoder(upsert_type(table)).decode
        wrapped = msgspec.defstruct(f"{table}_wrapped", [("payload", envelope | None)])
        self._decode_wrapped = msgspec.json.Decoder(wrapped).decode
        self._lenient = _Lenient(table)

    def decode(self, values: Sequence[bytes | None]) -> list[Decoded]:
        """One item for each value, in order; never raises for what is in a message."""
        out: list[Decoded]
        try:
            # Nearly every batch has upserts only, in the usual form: they need no decision each.
            changes = list(map(self._decode_usual, values))  # type: ignore[arg-type]
            self._order(changes)
            out = list(changes)
            if self._have_ids(changes):
                return out
        except (*FAULTS, Refused, TypeError):  # a tombstone is no bytes
            out = [self._any(value) for value in values]
        self._check_ids(out)
        return out

    def _order(self, changes: Sequence[Envelope]) -> None:
        sequences: list[Any] = [change.source.sequence for change in changes]
        for change, number in zip(changes, versions(sequences, epoch=self._epoch), strict=True):
            change.version = number
        if "null" in "".join(sequences):
            for change, sequence in zip(changes, sequences, strict=True):
                change.unordered = lacks_commit(sequence, change.source.snapshot)

    def _any(self, value: bytes | None) -> Decoded:
        if value is None:
            return None
        try:
            change = self._decode_usual(value)
            change.version = version(change.source.sequence, epoch=self._epoch)
            change.unordered = lacks_commit(change.source.sequence or "", change.source.snapshot)
        except (*FAULTS, Refused):
            return self._unusual(value)
        return change

    def _have_ids(self, upserts: Sequence[Envelope]) -> bool:
        """Whether all ids of these are UUIDs."""
        afters = [change.after for change in upserts]
        befores = [before for change in upserts if (before := change.before) is not None]
        for at, name in enumerate(ID_COLUMNS[self.table]):
            get = attrgetter(name)
            ids = list(map(get, afters)) + list(map(get, befores))
            if at:  # a scorecard has many scores
                ids = list(set(ids))
            if None in ids or not are_uuids(ids):
                return False
        return True

    def _unusual(self, value: bytes) -> Decoded:
        """A delete, an envelope in another form, or what is refused, with the reason."""
        try:
            return self._one(value)
        except Refused as refused:
            return refused

    def _check_ids(self, out: list[Decoded]) -> None:
        """Refuse what has an id that is no UUID: a look-up for a whole batch must not fail because of one message."""
        changes = [item for item in out if isinstance(item, Envelope)]
        images = [change.after for change in changes if change.after is not None]
        images += [change.before for change in changes if change.before is not None]
        for name in ID_COLUMNS[self.table]:
            ids = set(map(attrgetter(name), images))
            if None not in ids and are_uuids(list(ids)):
                continue
            rows = [
                (index, item, row)
                for index, item in enumerate(out)
                if isinstance(item, Envelope)
                for row in (item.after, item.before)
                if row is not None
            ]
            for index, change, row in rows:
                if (text := getattr(row, name)) is None:  # a before-image that is not full
                    continue
                try:
                    uuid_int(text)  # its spelling is left as it is: a text column in Postgres is asked by it
                except ValueError:
                    if row is change.before and change.op != DELETE:
                        setattr(row, name, None)  # no row can stand under it
                    else:
                        out[index] = Refused("bad_uuid", f"{name} is not a UUID")

    def _one(self, value: bytes) -> Envelope | None:
        try:
            envelope = self._decode(value)
        except FAULTS as error:
            found = self._unwrap(value, error)
            if found is None:
                return None
            envelope = found
        op = envelope.op
        if envelope.source.table != self.table:
            raise Refused("unknown_table", f"source.table is {envelope.source.table[:60]!r}, not {self.table!r}")
        if op in UPSERTS:
            if envelope.after is None:
                raise Refused("no_after", f"op {op!r} without after")
        elif op == DELETE:
            if envelope.before is None or not all(getattr(envelope.before, name) for name in ID_COLUMNS[self.table]):
                raise Refused("no_before", "op 'd' without the ids of the row in before: is the replica identity FULL?")
        else:
            raise Refused("unknown_op", f"op {op[:20]!r}")
        envelope.version = version(envelope.source.sequence, epoch=self._epoch)
        envelope.unordered = lacks_commit(envelope.source.sequence or "", envelope.source.snapshot)
        return envelope

    def _unwrap(self, value: bytes, error: Exception) -> Envelope | None:
        """`schemas.enable=true` wraps the envelope: {"schema": .., "payload": ..}; a null payload is a tombstone."""
        try:
            keys = msgspec.json.decode(value, type=dict[str, msgspec.Raw]).keys()
        except FAULTS:
            raise Refused("not_json", str(error)) from error
        wrapped = "payload" in keys
        try:
            if wrapped:
                payload: Envelope | None = self._decode_wrapped(value).payload  # type: ignore[attr-defined]
                return payload
        except FAULTS as inner:
            error = inner
        try:
            return self._lenient.decode(value, wrapped=wrapped)
        except FAULTS as inner:
            # The first error names a value of the before-image if one is wrong; this one cannot.
            raise Refused(_reason(inner), str(inner)) from error


def _reason(error: Exception) -> str:
    return "missing_field" if "missing required field" in str(error) else "wrong_type"
