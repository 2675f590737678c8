"""Dead letters by the id of their row: they explain why a row is missing.

A letter is settled when an operator or a redrive settled it. It is also settled when its row was reindexed in its
place, or when ClickHouse holds a later state of the row.
A settled letter is evidence of the past and explains no difference of today.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping

from stream.errors import KafkaUnavailable, Refused
from stream.kafka import dead_letters as dead_letter_log
from stream.kafka import settled_letters
from stream.kafka.broker import Broker
from stream.pipeline.ordering import of_marker, version
from stream.pipeline.stored import Key
from stream.pipeline.values import uuid_text
from stream.tables import SCORE, SCORECARD

log = logging.getLogger(__name__)

MOST = 1_000_000  # letters read; those after them are not looked at
_WITHHELD = re.compile(r"\bwithheld=(\d+)")


class DeadLetterIndex:
    """Reads the topic once, when first asked.

    Args:
        broker: None = there is no Kafka, and no letter is known.

    Attributes:
        unread: why the letters could not be read; reasons may then be missing. Empty where they were.
    """

    def __init__(self, broker: Broker | None, *, epoch: int) -> None:
        self._broker = broker
        self._epoch = epoch
        self._by_row: dict[str, str] | None = None
        self._versions: dict[str, int | None] = {}
        self._applied: set[str] = set()
        self.unread = ""

    def by_row(self) -> dict[str, str]:
        """Id of a row -> `dead letter <topic>-<partition>@<offset> (<reason>: <error>)`, the latest of each."""
        if self._by_row is None:
            self._by_row = {}
            if self._broker is not None:
                try:
                    self._read(self._broker)
                except KafkaUnavailable as error:
                    self.unread = str(error)
                    log.warning("dead letters not read", extra={"cause": str(error)})
        return self._by_row

    def settled(self, highest: Mapping[Key, tuple[int, bool]]) -> set[str]:
        """Ids of rows whose latest letter explains nothing any more.

        Args:
            highest: by sort key, the highest version in ClickHouse, and whether a delete marker has it.
        """
        found = set(self._applied)
        for key, (stands, marker) in highest.items():
            row_id = uuid_text(key.row_id)
            of_letter = self._versions.get(row_id)
            # A marker of the letter's own version was written because the row could not be.
            if of_letter is not None and (stands > of_marker(of_letter) or (stands >= of_letter and not marker)):
                found.add(row_id)
        return found

    def _read(self, broker: Broker) -> None:
        assert self._by_row is not None
        settled = settled_letters.settled(broker)
        for count, kept in enumerate(dead_letter_log.read(broker)):
            if count >= MOST:
                log.warning("only the first dead letters were read", extra={"letters": MOST})
                return
            at = kept.letter.message
            text = (
                f"dead letter {broker.topics.dead_letters}-{kept.partition}@{kept.offset} "
                f"(of {at.topic}-{at.partition}@{at.offset}; {kept.letter.reason}: {kept.letter.error[:200]})"
            )
            if (row_id := row_of_key(at.key)) is not None:
                self._by_row[row_id] = text
                self._versions[row_id] = version_of(at.value, epoch=self._epoch)
                done = whole(kept.letter.applied) or settled.state(kept) != settled_letters.OPEN
                (self._applied.add if done else self._applied.discard)(row_id)


def whole(applied: str) -> bool:
    """Whether Postgres' state of everything that the message names was applied: `reindexed=1 retired=0 withheld=0`."""
    withheld = _WITHHELD.search(applied)
    return withheld is not None and int(withheld[1]) == 0


def version_of(value: bytes | None, *, epoch: int) -> int | None:
    """The version of a refused message; None where it is unknown.

    Args:
        epoch: the present one. A letter of an earlier epoch looks newer than it is, and stays open.
    """
    try:
        document = json.loads(value or b"")
        if "payload" in document:
            document = document["payload"]
        return version(document["source"]["sequence"], epoch=epoch)
    except (ValueError, KeyError, TypeError, Refused):
        return None


def row_of_key(key: bytes | None) -> str | None:
    """The row's own id in a message's key, which is JSON: {"score_id": .., "scorecard_id": ..}, perhaps in a schema."""
    try:
        document = json.loads(key or b"")
    except ValueError:
        return None
    if isinstance(document, dict) and isinstance(document.get("payload"), dict):
        document = document["payload"]
    if not isinstance(document, dict):
        return None
    for name in (SCORE.id, SCORECARD.id, "conversation_id"):  # a score's key names its scorecard, too
        if name in document:
            return str(document[name]).lower()
    return None
