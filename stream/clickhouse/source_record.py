"""What the shards know of the Postgres cluster that their rows come from: table `source`, and the highest version."""

from __future__ import annotations

import logging
from typing import NamedTuple

from stream.clickhouse.error_codes import code_of
from stream.clickhouse.shards import Shards
from stream.errors import ClickHouseRefused
from stream.tables import TARGETS

log = logging.getLogger(__name__)

_UNKNOWN_TABLE = 60
_READ = (
    "SELECT epoch, system_identifier, timeline, max(lsn), max(toUnixTimestamp64Milli(at)) "
    "FROM `{database}`.`source` GROUP BY 1, 2, 3"
)
_HIGHEST = " UNION ALL ".join(f"SELECT max(_version) FROM `{{database}}`.`{table.target}`" for table in TARGETS)


class Stored(NamedTuple):
    """How far a Postgres cluster was when a worker last looked. 0 for an identifier or a timeline that is not known."""

    epoch: int
    identifier: int
    timeline: int
    lsn: int
    at_ms: int = 0


class SourceRecord:
    """Reads and writes it on all shards, so that any shard that is left knows it.

    Raises ClickHouseUnavailable and ClickHouseRefused, naming the shard.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._said_missing = False

    def read(self) -> list[Stored]:
        """All that is stored; empty where no worker has written it yet, or `schema apply` has not made the table."""
        try:
            rows = self._shards.everywhere(_READ)
        except ClickHouseRefused as error:
            if not self._is_missing(error):
                raise
            return []
        return [Stored(*map(int, row)) for _, *row in rows]

    def write(self, stored: Stored) -> None:
        """Add a row on every shard; of one cluster and timeline the highest LSN remains."""
        values = f"{stored.epoch}, {stored.identifier}, {stored.timeline}, {stored.lsn}"
        sql = f"INSERT INTO `{{database}}`.`source` (epoch, system_identifier, timeline, lsn) VALUES ({values})"
        try:
            self._shards.each(lambda shard: self._shards.command(shard, sql))
        except ClickHouseRefused as error:
            if not self._is_missing(error):
                raise

    def highest(self) -> int:
        """The highest version of all rows; 0 without rows. It reads a whole column: for once, not for each start."""
        return max((int(version) for _, version in self._shards.everywhere(_HIGHEST)), default=0)

    def _is_missing(self, error: ClickHouseRefused) -> bool:
        if error.__cause__ is None or code_of(error.__cause__) != _UNKNOWN_TABLE:  # type: ignore[arg-type]
            return False
        if not self._said_missing:
            self._said_missing = True
            log.warning("no table `source` on the shards", extra={"way_out": "run `scorestream schema apply`"})
        return True
