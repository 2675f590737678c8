"""Messages of the scores topic -> columns: the short way for a batch in which no message needs a decision of its own.

Enters: the values of messages. Leaves: Upserts, whose columns are checked and converted, or None when some message is
anything but a plain upsert (a delete, a move, a tombstone, a row that comes twice, whatever is refused): then the whole
batch goes the long way, stream/envelope.py and stream/transform.py, which knows all of that.

The structs live for a thousand messages and not for the batch: what is read of them is still in the processor's cache,
and memory holds the columns only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import Any

import msgspec
from msgspec.structs import astuple

from stream.envelope import FAULTS, Envelope, upsert_type
from stream.errors import Refused
from stream.ordering import versions
from stream.tables import SCORE
from stream.values import UNAVAILABLE, Bad, are_uuids, convert

_CHUNK = 1_000
_TEXTS = tuple(at for at, column in enumerate(SCORE.columns) if column.kind == "text")
_SCORE_ID = [column.name for column in SCORE.columns].index(SCORE.id)


@dataclass(slots=True)
class Upserts:
    """Upserts of different scores, each of which has all columns and stays with its scorecard. One item a message."""

    scorecards: list[str] = field(default_factory=list)
    columns: list[list[Any]] = field(default_factory=lambda: [[] for _ in SCORE.columns])  # as in SCORE.columns
    versions: list[int] = field(default_factory=list)
    commit_ms: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.scorecards)

    def highest(self) -> dict[str, int]:
        """The highest version among the scores of each scorecard."""
        found: dict[str, int] = {}
        for scorecard_id, version in zip(self.scorecards, self.versions, strict=True):
            if found.get(scorecard_id, -1) < version:
                found[scorecard_id] = version
        return found


class UpsertDecoder:
    """Decodes messages of the scores topic."""

    def __init__(self, *, epoch: int = 0) -> None:
        self._epoch = epoch
        self._decode: Callable[[Any], Envelope] = msgspec.json.Decoder(upsert_type(SCORE.source)).decode

    def decode(self, values: Sequence[bytes | None]) -> Upserts | None:
        """None: some message needs a decision of its own."""
        found = Upserts()
        for start in range(0, len(values), _CHUNK):
            try:
                if not self._add(found, values[start : start + _CHUNK]):
                    return None
            except (*FAULTS, Refused, TypeError):  # a tombstone is no bytes
                return None
        different = len(set(found.columns[_SCORE_ID])) == len(found)
        return found if different and are_uuids(list(set(found.scorecards))) else None

    def _add(self, found: Upserts, values: Sequence[bytes | None]) -> bool:
        changes = list(map(self._decode, values))
        if not all(change.before is None or _stays(change.before, change.after) for change in changes):
            return False
        scorecards, *columns = map(list, zip(*[astuple(change.after) for change in changes], strict=True))
        if any(UNAVAILABLE in columns[at] for at in _TEXTS):
            return False
        bad: Bad = {}
        for column, held, more in zip(SCORE.columns, found.columns, columns, strict=True):
            held.extend(convert(column.kind, column.name, more, bad))
        if bad:
            return False
        found.scorecards += scorecards
        sources = [change.source for change in changes]
        found.versions += versions(list(map(attrgetter("sequence"), sources)), epoch=self._epoch)
        found.commit_ms += map(attrgetter("ts_ms"), sources)
        return True


def _stays(before: Any, after: Any) -> bool:
    """Whether both images have the same ids; a before-image that is not full may lack them."""
    return before.scorecard_id in {after.scorecard_id, None, ""} and before.score_id in {after.score_id, None, ""}


def split(scorecards: Sequence[str], shards: Mapping[str, int]) -> dict[int, list[int]]:
    """Indexes of the messages of each shard; scorecards without a shard are left out."""
    found: dict[int, list[int]] = {shard: [] for shard in sorted(set(shards.values()))}
    if len(found) == 1 and len(shards) == len(set(scorecards)):
        return {shard: list(range(len(scorecards))) for shard in found}
    for shard, own in found.items():
        own += [at for at, scorecard_id in enumerate(scorecards) if shards.get(scorecard_id) == shard]
    return found


def picker(indexes: Sequence[int]) -> Callable[[Sequence[Any]], list[Any]]:
    """Takes the values at these indexes out of a column."""
    if len(indexes) < 2:  # itemgetter would give a value and no tuple
        return lambda column: [column[at] for at in indexes]
    pick = itemgetter(*indexes)
    return lambda column: list(pick(column))
