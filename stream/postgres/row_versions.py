"""Whether rows of Postgres are still those that were read, judged by their place (ctid) and their writer (xmin).

Enters: what a look-up saw of a scorecard and its conversation. Leaves: which of them are gone or were written since.

An update never changes a row in its place: it leaves a dead row there and writes another elsewhere. A ctid is reused
only after a vacuum, and the row that reuses it has another xmin. So a row that is visible at the same ctid with the
same xmin is the row that was read. VACUUM FULL and CLUSTER move rows into another file and keep their xmin. Where a
table's file is another one than before, every row counts as written.

The check uses no index and sends nothing for an unwritten row: it costs Postgres a quarter of the look-up. It works for
plain tables only: in a partitioned one a ctid has a row in each partition.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format
from psycopg.types.string import ByteaBinaryLoader

from stream.postgres.connection import Connection

# Scalar subqueries leave Postgres one plan. For joins it chose whole scans of tables of some 100,000 rows.
CHANGED = """
    SELECT w.n FROM unnest(%s, %s, %s, %s) WITH ORDINALITY AS w(card, card_by, chat, chat_by, n)
    WHERE (SELECT {files}) <> %s OR (SELECT s.xmin FROM {scorecards} s WHERE s.ctid = w.card) IS DISTINCT FROM w.card_by
    OR (SELECT c.xmin FROM {chats} c WHERE c.ctid = w.chat) IS DISTINCT FROM w.chat_by"""
# One number for both tables' files, evaluated once in a statement. The tables are names in quotes.
FILES = "(pg_relation_filenode({scorecards})::bigint << 32) | pg_relation_filenode({chats})::bigint"
COLUMNS = "s.ctid, s.xmin, c.ctid, c.xmin"  # columns of the look-up, in the order of Seen

_TID, _XID, _TIDS, _XIDS = 27, 28, 1010, 1011  # oids of the types (pg_type.dat)
_ARRAY = struct.Struct(">iiIii").pack  # dimensions, flags, oid of the elements, their number, number of the first
_LENGTH = struct.Struct(">i").pack


# Of a scorecard and its conversation: ctid and xmin of each, as Postgres sends them; None where a row is missing.
Seen = tuple[bytes, bytes, bytes | None, bytes | None]


def changed(connection: Connection, query: str, seen: Sequence[Seen], files: int) -> list[int]:
    """Indexes of those whose scorecard or conversation differs from what was seen.

    Args:
        query: CHANGED with its tables.
        files: the value of FILES in the statement that saw them.
    """
    if not seen:
        return []
    # Scorecards without a conversation come last: unnest fills the shorter arrays up with NULL.
    order = sorted(range(len(seen)), key=[chat is None for _, _, chat, _ in seen].__getitem__)
    cards, cards_by, chats, chats_by = zip(*[seen[at] for at in order], strict=True)
    known = len(chats) - chats.count(None)
    arrays = _Tids(cards), _Xids(cards_by), _Tids(chats[:known]), _Xids(chats_by[:known]), files
    with connection.cursor(binary=True) as cursor:
        for name, dumper in ((_Tids, _TidsDumper), (_Xids, _XidsDumper)):
            cursor.adapters.register_dumper(name, dumper)
        return [order[at - 1] for (at,) in cursor.execute(query.encode(), arrays, prepare=True)]


def load_as_sent(adapters: AdaptersMap) -> None:
    """Let a binary cursor return ctid, xmin and times as the bytes that Postgres sent."""
    for name in ("tid", "xid", "timestamptz"):
        adapters.register_loader(name, ByteaBinaryLoader)


class _Tids(tuple[bytes, ...]):
    __slots__ = ()


class _Xids(tuple[bytes, ...]):
    __slots__ = ()


class _ArrayDumper(Dumper):
    """An array whose elements are in Postgres' own binary form already."""

    format = Format.BINARY
    element = 0

    def dump(self, obj: Sequence[bytes]) -> Buffer:
        if not obj:
            return _ARRAY(0, 0, self.element, 0, 1)[:12]
        length = _LENGTH(len(obj[0]))
        return _ARRAY(1, 0, self.element, len(obj), 1) + length + length.join(obj)


class _TidsDumper(_ArrayDumper):
    oid, element = _TIDS, _TID


class _XidsDumper(_ArrayDumper):
    oid, element = _XIDS, _XID
