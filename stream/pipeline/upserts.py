"""Messages of scores or scorecards -> columns: the short way for a batch whose messages need no decision of their own.

Enters: the values of messages. Leaves: Upserts, whose columns are checked and converted. None, when some message is no
plain upsert: a delete, a move, a tombstone, a refused message. Then the whole batch goes the long way, by
stream/pipeline/envelope.py and stream/pipeline/plan.py.

The structs live for a thousand messages and not for the batch. So the processor's cache still has what is read of them,
and memory holds the columns only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec
from msgspec.structs import astuple

from stream.epochs import ONE_EPOCH, Epochs
from stream.errors import Refused
from stream.pipeline import moves
from stream.pipeline.cut_texts import any_may_be_cut
from stream.pipeline.envelope import FAULTS, UPDATE, Envelope, Upserts, upsert_type
from stream.pipeline.ordering import lacks_commit, versions
from stream.pipeline.values import UNAVAILABLE, Bad, are_uuids, convert
from stream.pipeline.visibility import RECENT_MS, transactions
from stream.tables import EXTRA, SCORE, SCORECARD

_CHUNK = 1_000
_SCORE_ID = [column.name for column in SCORE.columns].index(SCORE.id)
_TABLES = {table.source: table for table in (SCORE, SCORECARD)}


class UpsertDecoder:
    """Decodes messages of the topic of scores or of scorecards."""

    def __init__(self, table: str, *, epochs: Epochs = ONE_EPOCH) -> None:
        self._table = _TABLES[table]
        self._epochs = epochs
        self._decode: Callable[[Any], Envelope] = msgspec.json.Decoder(upsert_type(table)).decode
        self._extra = [column.name for column in EXTRA[table]]  # these come before the table's own columns
        self._texts = [at for at, column in enumerate(self._table.columns) if column.kind == "text"]
        self._stays = _stays if self._table is SCORE else moves.stays

    def decode(self, values: Sequence[bytes | None]) -> Upserts | None:
        """Decode a batch. None: some message needs a decision of its own."""
        found = Upserts(self._table, columns=[[] for _ in self._table.columns])
        since_ms = int(time.time() * 1000) - RECENT_MS
        for start in range(0, len(values), _CHUNK):
            try:
                if not self._add(found, values[start : start + _CHUNK], since_ms=since_ms):
                    return None
            except (*FAULTS, Refused, TypeError):  # a tombstone has no bytes
                return None
        cards = set(found.scorecards)
        if not are_uuids(list(cards)):
            return None
        if self._table is SCORE:
            ids: list[Any] = found.columns[_SCORE_ID]
            if len(set(ids)) < len(found):
                found.newest = _newest(list(zip(ids, found.scorecards, strict=True)), found.versions)
        elif len(cards) < len(found):
            found.newest = _newest(found.scorecards, found.versions)
        return found

    def _add(self, found: Upserts, values: Sequence[bytes | None], *, since_ms: int) -> bool:
        changes = list(map(self._decode, values))
        if not self._are_plain(changes):
            return False
        taken = list(map(list, zip(*[astuple(change.after) for change in changes], strict=True)))
        extra = dict(zip(self._extra, taken, strict=False))
        columns = taken[len(extra) :]
        texts = [columns[at] for at in self._texts]
        if any(UNAVAILABLE in each for each in texts) or any_may_be_cut(values, [extra.get("customer_id", ()), *texts]):
            return False
        if any(moves.kind_of(kind) == "unknown" for kind in set(extra.get("scorecard_type", ()))):
            return False
        bad: Bad = {}
        for column, held, more in zip(self._table.columns, found.columns, columns, strict=True):
            held.extend(convert(column, more, bad))
        if bad:
            return False
        found.scorecards += extra["scorecard_id"]
        sources = [change.source for change in changes]
        sequences: list[Any] = list(map(attrgetter("sequence"), sources))
        commit_ms = list(map(attrgetter("ts_ms"), sources))
        epoch = self._epochs.common(commit_ms)
        may_lack = "null" in "".join(sequences)
        if epoch is None or (may_lack and any(lacks_commit(each.sequence or "", each.snapshot) for each in sources)):
            return False
        found.versions += versions(sequences, epoch=epoch)
        found.commit_ms += commit_ms
        if max(commit_ms) >= since_ms:
            found.transactions |= transactions(sources, since_ms=since_ms)
        return True

    def _are_plain(self, changes: Sequence[Envelope]) -> bool:
        stays = self._stays
        for change in changes:
            if (before := change.before) is None:
                if change.op == UPDATE and self._table is not SCORE:
                    return False
            elif not stays(before, change.after):
                return False
        return True


def _newest(keys: Sequence[Any], of: Sequence[int]) -> list[bool]:
    """Which messages are the newest of their row; of equal ones the later."""
    latest: dict[Any, int] = {}
    for index, key in enumerate(keys):
        held = latest.get(key)
        if held is None or of[held] <= of[index]:
            latest[key] = index
    newest = [False] * len(keys)
    for index in latest.values():
        newest[index] = True
    return newest


def _stays(before: Any, after: Any) -> bool:
    """Whether both images have the same ids; a before-image that is not full may lack them."""
    card, score = before.scorecard_id, before.score_id
    return (card == after.scorecard_id or not card) and (score == after.score_id or not score)
