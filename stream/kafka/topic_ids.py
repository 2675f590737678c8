"""The id of each topic: a topic that was deleted and created again keeps its name and gets another id.

Enters: names of topics. Leaves: their ids, and which of them have changed since the look before.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from stream.errors import KafkaUnavailable

_TIMEOUT_S: Final = 5.0


class TopicIds:
    """Remembers the ids of some topics. For one thread.

    Args:
        admin: of the brokers that have the topics.
    """

    def __init__(self, admin: AdminClient, topics: Collection[str]) -> None:
        self._admin = admin
        self._topics = list(topics)
        self._known: dict[str, str] = {}

    def changed(self) -> set[str]:
        """The topics whose id has changed since the look before. A missing topic does not count as changed.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        found = self._read()
        changed = {topic for topic, own in found.items() if self._known.get(topic, own) != own}
        self._known |= found
        return changed

    def _read(self) -> dict[str, str]:
        answers = self._admin.describe_topics(TopicCollection(self._topics), request_timeout=_TIMEOUT_S)
        found = {}
        for topic, answer in answers.items():
            try:
                found[topic] = str(answer.result(timeout=2 * _TIMEOUT_S).topic_id)
            except KafkaException as error:
                if error.args[0].retriable() or error.args[0].code() < 0:
                    raise KafkaUnavailable(f"ids of topics: {error.args[0].str()}") from error
            except TimeoutError as error:
                raise KafkaUnavailable("ids of topics: no answer") from error
        return found
