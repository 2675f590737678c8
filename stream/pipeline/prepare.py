"""A batch, decoded ahead, because decoding needs no outside system; and which messages have no place in the order.

Enters: messages of one table. Leaves: Prepared. The short way (stream/pipeline/upserts.py) takes nearly every batch,
because its messages need no decision of their own. The long way decodes each message for itself.
"""

from __future__ import annotations

import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple
from uuid import UUID

from stream.epochs import ONE_EPOCH, Epochs
from stream.errors import Refused
from stream.pipeline.ahead import FAR_BYTES, Ceiling
from stream.pipeline.decoder import Decoder
from stream.pipeline.envelope import DELETE, Decoded, Envelope, Upserts
from stream.pipeline.fetched import Fetched
from stream.pipeline.late import Newest, Where, late_of
from stream.pipeline.ordering import LSN_BITS
from stream.pipeline.refusal import Refusal, refusal_of
from stream.pipeline.upserts import UpsertDecoder
from stream.tables import CHATS, SCORE


class Misplaced(NamedTuple):
    """Messages whose versions do not tell the order, by index; and what the partitions have reached."""

    late: set[int]  # older than one before them
    ahead: set[int]  # newer than anything that Postgres has written
    reached: dict[Where, int]  # the highest version of each partition


@dataclass(slots=True)
class Prepared:
    """A batch, decoded."""

    upserts: Upserts | None  # the whole batch, when it could go the short way
    messages: list[Decoded]  # else
    refusals: dict[int, Refusal]  # index of the message -> what a refused one still names
    seconds: float

    @property
    def versions(self) -> list[int]:
        """Of each message; 0 where it has none, or one that says nothing of the order."""
        if self.upserts is not None:
            return self.upserts.versions
        numbers = [item.version if isinstance(item, Envelope) and not item.unordered else 0 for item in self.messages]
        for index, refusal in self.refusals.items():
            numbers[index] = 0 if refusal.unordered else refusal.version
        return numbers


class BatchDecoder:
    """Decodes batches of one source table. For any thread."""

    def __init__(self, table: str, *, epochs: Epochs = ONE_EPOCH) -> None:
        self._table = table
        self._epochs = epochs
        self._decoder = Decoder(table, epochs=epochs)
        self._upserts_of = UpsertDecoder(table, epochs=epochs).decode if table != CHATS else None

    def prepare(self, fetched: Sequence[Fetched]) -> Prepared:
        """Decode messages of this table."""
        began = time.perf_counter()
        upserts = self._upserts(fetched)
        messages, refusals = self._messages(fetched) if upserts is None else ([], {})
        return Prepared(upserts, messages, refusals, time.perf_counter() - began)

    def find_misplaced(self, fetched: Sequence[Fetched], prepared: Prepared, newest: Newest, top: Ceiling) -> Misplaced:
        """Take the order from messages that are late (stream/pipeline/late.py) or ahead (stream/pipeline/ahead.py).

        So their scorecards are reindexed. What is ahead makes nothing late.
        """
        numbers = prepared.versions
        highest = max(numbers, default=0)
        ceiling = top.above(highest)
        ahead = {index for index, number in enumerate(numbers) if number > ceiling} if highest > ceiling else set()
        if ahead:
            numbers = [0 if index in ahead else number for index, number in enumerate(numbers)]
        starts = [0, *accumulate(len(part.values) for part in fetched)]
        parts = [
            ((part.topic, part.partition), part.start, numbers[start:end])
            for part, (start, end) in zip(fetched, pairwise(starts), strict=True)
        ]
        late, reached = late_of(parts, newest, most=ceiling + (FAR_BYTES << LSN_BITS))
        self.take_order(fetched, prepared, late, ahead)
        return Misplaced(late, ahead, reached)

    def take_order(
        self, fetched: Sequence[Fetched], prepared: Prepared, late: set[int], ahead: Set[int] = frozenset()
    ) -> None:
        """Let these messages tell no order, by index: their scorecards are reindexed."""
        if (late or ahead) and prepared.upserts is not None:
            prepared.upserts = None
            prepared.messages, prepared.refusals = self._messages(fetched)
        for index in late | ahead:
            item = prepared.messages[index]
            change = item if isinstance(item, Envelope) else prepared.refusals[index]
            change.unordered = True
            if index in ahead:  # no change of Postgres would win over rows of that version
                change.version = 0

    @staticmethod
    def scores(prepared: Prepared) -> tuple[list[int], list[str], list[str]]:
        """Index, score id and scorecard id of each message that says that a score stands in a scorecard."""
        if (upserts := prepared.upserts) is not None:
            (at,) = (n for n, column in enumerate(SCORE.columns) if column.name == SCORE.id)
            return list(range(len(upserts))), [str(UUID(int=n)) for n in upserts.columns[at]], upserts.scorecards
        found = [
            (index, item.after.score_id, item.after.scorecard_id)
            for index, item in enumerate(prepared.messages)
            if isinstance(item, Envelope) and item.op != DELETE
        ]
        return [each[0] for each in found], [each[1] for each in found], [each[2] for each in found]

    def _upserts(self, fetched: Sequence[Fetched]) -> Upserts | None:
        """The batch as columns, when nothing in it needs a decision of its own: nearly every one of scores."""
        if self._upserts_of is None or any(None in part.keys for part in fetched):
            return None
        return self._upserts_of([value for part in fetched for value in part.values])

    def _messages(self, fetched: Sequence[Fetched]) -> tuple[list[Decoded], dict[int, Refusal]]:
        """The long way: each message for itself, and what the refused ones name."""
        messages: list[Decoded] = []
        refusals: dict[int, Refusal] = {}
        for part in fetched:
            for index, item in enumerate(self._decode(part)):
                if isinstance(item, Refused):
                    key, value = part.keys[index], part.values[index]
                    refusals[len(messages)] = refusal_of(self._table, key, value, item, epochs=self._epochs)
                messages.append(item)
        return messages, refusals

    def _decode(self, part: Fetched) -> list[Decoded]:
        """Decode, and refuse what has no key: the topics are keyed by primary key, so it is not Debezium's."""
        out = self._decoder.decode(part.values)
        keys = part.keys
        if None in keys:
            for index, key in enumerate(keys):
                if key is None and out[index] is not None:
                    out[index] = Refused("null_key", "the message has no key")
        return out
