"""Dead letters by the row that they are of: why a row is missing, said where the row is looked for."""

from __future__ import annotations

import json
import logging

from stream.config import Settings
from stream.errors import KafkaUnavailable
from stream.kafka import dead_letters as dead_letter_log
from stream.tables import SCORE, SCORECARD

log = logging.getLogger(__name__)

MOST = 1_000_000  # letters read; what comes after them is not looked at


class DeadLetterIndex:
    """Reads the topic once, when first asked.

    Args:
        settings: None = there is no Kafka, and no letter is known.
    """

    def __init__(self, settings: Settings | None) -> None:
        self._settings = settings
        self._by_row: dict[str, str] | None = None

    def by_row(self) -> dict[str, str]:
        """Id of a row -> `dead letter <topic>-<partition>@<offset> (<reason>: <error>)`, the latest of each."""
        if self._by_row is None:
            self._by_row = {}
            if self._settings is not None:
                try:
                    self._read(self._settings)
                except KafkaUnavailable as error:
                    log.warning("dead letters not read cause=%r", str(error))
        return self._by_row

    def _read(self, settings: Settings) -> None:
        assert self._by_row is not None
        for count, kept in enumerate(dead_letter_log.read(settings)):
            if count >= MOST:
                log.warning("only the first %d dead letters were looked at", MOST)
                return
            at = kept.letter.message
            told = (
                f"dead letter {settings.dead_letter_topic}-{kept.partition}@{kept.offset} "
                f"(of {at.topic}-{at.partition}@{at.offset}; {kept.letter.reason}: {kept.letter.error[:200]})"
            )
            if (row_id := row_of_key(at.key)) is not None:
                self._by_row[row_id] = told


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
