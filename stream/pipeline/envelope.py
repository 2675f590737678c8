"""Debezium's change events as typed structs, made from stream/tables.py: one change, or a batch of upserts as columns.

Enters: the declared columns. Leaves: types to decode into (stream/pipeline/decoder.py, upserts.py). Other columns are
skipped. Nothing is decoded here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from stream.errors import Refused
from stream.tables import CHATS, EXTRA, SCORE, SCORECARD, Kind, Table, columns_of

READ, CREATE, UPDATE, DELETE = "r", "c", "u", "d"
UPSERTS = frozenset({READ, CREATE, UPDATE})


class Origin(msgspec.Struct, gc=False):
    """What Debezium says about the origin of a change; the order is in `sequence`."""

    table: str
    ts_ms: int  # commit time, milliseconds since 1970
    sequence: str | None = None
    snapshot: str | bool | None = None  # "true", "first", "last", ... "incremental"; false when streamed
    txId: int | None = None


class Envelope(msgspec.Struct, gc=False):
    """A change of one row.

    Where the table's replica identity is not FULL, an update has no `before`. A delete's `before` then has the primary
    key and blanks: "" for a text or UUID that may not be NULL, None otherwise.
    """

    op: str
    source: Origin
    after: Any = None
    before: Any = None
    version: int = 0  # set after decoding
    unordered: bool = False  # set after decoding; see ordering.lacks_commit

    @property
    def is_incremental(self) -> bool:
        """Whether an incremental snapshot read it, which an operator asked for."""
        return self.source.snapshot == "incremental"


@dataclass(slots=True)
class Upserts:
    """Upserts of one table, one for each message, with all columns and no change of place.

    `stays`: no message moves a score to another scorecard. A scorecard keeps its customer, kind and conversation, and
    its time where that decides. `newest`: False for those that a later message of the batch supersedes; None: there are
    none.
    """

    table: Table
    scorecards: list[str] = field(default_factory=list)
    columns: list[list[Any]] = field(default_factory=list)  # as in Table.columns
    versions: list[int] = field(default_factory=list)
    commit_ms: list[int] = field(default_factory=list)
    transactions: set[int] = field(default_factory=set)  # transactions that a look-up has to see first
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


UNREADABLE = object()  # in a before-image, stands for a value that does not fit its column; equal to nothing

Decoded = Envelope | Refused | None

FAULTS = (msgspec.MsgspecError, ValueError, RecursionError)  # errors of decoding

# These must be UUIDs before a look-up uses them.
ID_COLUMNS: dict[str, tuple[str, ...]] = {
    SCORECARD.source: ("scorecard_id",),
    SCORE.source: ("score_id", "scorecard_id"),
    CHATS: ("conversation_id",),
}

JSON_TYPES: dict[Kind, Any] = {
    "uuid": str,
    "text": str,
    "time": Annotated[datetime, msgspec.Meta(tz=True)] | int,
    "float": float | str,
    "int": Annotated[int, msgspec.Meta(ge=-(2**15), le=2**15 - 1)],
    "bool": bool,
}

STARTED_AT = EXTRA[CHATS][2]


def after_type(table: str) -> type[msgspec.Struct]:
    fields = [(c.name, (JSON_TYPES[c.kind] | None) if c.nullable else JSON_TYPES[c.kind]) for c in columns_of(table)]
    return msgspec.defstruct(f"{table}_after", fields, gc=False)


def before_type(table: str) -> type[msgspec.Struct]:
    """The type of a before-image: only the columns that decide a place or may be TOASTed. It is half of the bytes."""
    wanted = {
        "scorecard_id",
        "customer_id",
        "scorecard_type",
        "conversation_id",
        "scorecard_time",
        "started_at",
        "score_id",
    }
    fields = [
        (c.name, JSON_TYPES[c.kind] | None, None) for c in columns_of(table) if c.name in wanted or c.kind == "text"
    ]
    return msgspec.defstruct(f"{table}_before", fields, gc=False)


def envelope_type(table: str) -> Any:
    fields: list[Any] = [
        ("op", str),
        ("source", Origin),
        ("after", after_type(table) | None, None),
        ("before", before_type(table) | None, None),
    ]
    return msgspec.defstruct(f"{table}_envelope", fields, bases=(Envelope,), gc=False)


def upsert_type(table: str) -> Any:
    """An upsert whose op, table and snapshot are literals, so that decoding allocates no strings for them."""
    snapshots = Literal["true", "false", "first", "last", "incremental"]
    fields: list[Any] = [("table", Literal[table]), ("ts_ms", int), ("sequence", str)]
    fields += [("snapshot", snapshots | bool | None, None), ("txId", int | None, None)]
    source = msgspec.defstruct(f"{table}_source", fields, gc=False)
    fields = [("op", Literal["r", "c", "u"]), ("source", source), ("after", after_type(table))]
    fields += [("before", before_type(table) | None, None)]
    return msgspec.defstruct(f"{table}_upsert", fields, bases=(Envelope,), gc=False)
