"""Names of this installation's topics, made once from the settings. The only place that puts them together."""

from __future__ import annotations

from dataclasses import dataclass

from stream.tables import SOURCES


@dataclass(frozen=True, slots=True)
class TopicNames:
    """All names that the pipeline uses.

    Attributes:
        prefix: Debezium's topic.prefix.
        schema: schema of the source tables in Postgres.
        dead_letters: topic for refused messages.
    """

    prefix: str
    schema: str
    dead_letters: str

    def of(self, table: str) -> str:
        """Topic that carries the changes of a source table."""
        return f"{self.prefix}.{self.schema}.{table}"

    @property
    def sources(self) -> tuple[str, ...]:
        """Topics of all source tables."""
        return tuple(map(self.of, SOURCES))

    @property
    def notifications(self) -> str:
        """Topic in which Debezium reports the progress of its snapshots."""
        return f"{self.prefix}.notifications"

    @property
    def debezium_heartbeat(self) -> str:
        """Topic of Debezium's own heartbeat messages; its prefix is topic.heartbeat.prefix."""
        return f"__debezium-heartbeat.{self.prefix}"

    @property
    def settled_letters(self) -> str:
        """Topic that says which dead letters are settled."""
        return f"{self.dead_letters}-settled"

    @property
    def audit(self) -> str:
        """Topic that holds who changed what, and when."""
        return f"{self.prefix}.audit"

    @property
    def replays(self) -> str:
        """Topic that holds the state of all replays."""
        return f"{self.prefix}.replays"

    @property
    def outages(self) -> str:
        """Topic that notes outages longer than the compaction lag."""
        return f"{self.prefix}.outages"

    @property
    def backfills(self) -> str:
        """Topic that holds the state of all backfills."""
        return f"{self.prefix}.backfills"
