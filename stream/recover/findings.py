"""Facts -> what is wrong with slot, offsets, publication, topics and connector. Pure.

A healthy connector stores an offset before it confirms the slot, so slot <= offset <= end of the WAL. Anything else
means that the two are not of one history.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stream.pipeline.ordering import epoch_of, reached_lsn
from stream.postgres.replication import text
from stream.recover.facts import Facts

# More than that is not written as filler: the versions get another epoch instead.
PASS_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class RecoveryFinding:
    """One thing that is wrong. `gap`: changes may be in no message, so only a comparison finds them."""

    id: str
    what: str
    gap: bool = False


def findings(facts: Facts) -> list[RecoveryFinding]:
    """Everything that is wrong, causes first."""
    return [*_source(facts), *_offsets(facts), *_versions(facts), *_topics(facts), *_connector(facts)]


def needs_slot(facts: Facts) -> bool:
    """Whether the slot has to be made again."""
    return facts.slot is None or bool(facts.slot.lost) or facts.unpublished is None


def highest_epoch(facts: Facts) -> int:
    """The highest epoch that ClickHouse knows of."""
    return max(epoch_of(facts.highest), *(each.epoch for each in facts.stored), 0)


def reached(facts: Facts) -> int:
    """The LSN that Postgres has to pass before workers start: of the versions, and of what workers wrote down."""
    of_rows = reached_lsn(facts.highest) if epoch_of(facts.highest) == facts.epoch else 0
    return max(of_rows, *(each.lsn for each in facts.stored if each.epoch == facts.epoch), 0)


def is_other_cluster(facts: Facts) -> bool:
    """Whether workers of this epoch read another cluster last; they refuse this one, wherever its WAL is."""
    same = [each for each in facts.stored if each.epoch == facts.epoch]
    if not same:
        return False
    return max(same, key=lambda each: (each.timeline, each.lsn)).identifier not in (0, int(facts.server.system))


def versions_ahead(facts: Facts) -> int:
    """Bytes of WAL by which ClickHouse is beyond Postgres; 0: it is not.

    A later epoch than that of the settings, and another cluster, count as beyond all that filler could bridge.
    """
    if highest_epoch(facts) > facts.epoch or is_other_cluster(facts):
        return PASS_BYTES + 1
    return max(0, reached(facts) - facts.server.lsn)


def _source(facts: Facts) -> Iterator[RecoveryFinding]:
    if facts.unpublished is None:
        yield RecoveryFinding("publication-missing", "the publication does not exist", gap=True)
    elif facts.unpublished:
        yield RecoveryFinding(
            "publication-tables", f"the publication leaves out {', '.join(facts.unpublished)}", gap=True
        )
    if facts.slot is None:
        yield RecoveryFinding("slot-missing", "the replication slot does not exist", gap=True)
    elif facts.slot.lost:
        yield RecoveryFinding("slot-lost", f"Postgres invalidated the slot ({facts.slot.lost})", gap=True)
    if facts.server.foreign_horizon:
        yield RecoveryFinding("horizon-foreign", "the horizon table has transaction ids of another server")


def _offsets(facts: Facts) -> Iterator[RecoveryFinding]:
    position, slot = facts.position, facts.slot
    if position is None:
        if facts.connector is not None:  # without a connector Connect tells no offsets
            yield RecoveryFinding("offsets-missing", "Connect has no offset of the connector")
        return
    if position.lsn > facts.server.lsn:
        yield RecoveryFinding(
            "offsets-ahead",
            f"the connector's offset {text(position.lsn)} is beyond Postgres' WAL, which ends at "
            f"{text(facts.server.lsn)}: it is another server's, or of changes that a fail over lost",
            gap=True,
        )
    elif slot is not None and not slot.lost and position.lsn < slot.confirmed:
        yield RecoveryFinding(
            "offsets-behind",
            f"the slot begins at {text(slot.confirmed)}, after the connector's offset {text(position.lsn)}: it is "
            "another slot of the same name",
            gap=True,
        )


def _versions(facts: Facts) -> Iterator[RecoveryFinding]:
    if is_other_cluster(facts):
        yield RecoveryFinding(
            "versions-ahead", "Postgres is another cluster than the one that the rows come from", gap=True
        )
    elif ahead := versions_ahead(facts):
        beyond = f"{ahead:,} bytes of WAL" if ahead <= PASS_BYTES else "far"
        yield RecoveryFinding(
            "versions-ahead", f"ClickHouse has versions {beyond} beyond Postgres: new changes would lose"
        )


def _topics(facts: Facts) -> Iterator[RecoveryFinding]:
    if facts.missing_topics:
        yield RecoveryFinding("topics-missing", f"no topic {', '.join(facts.missing_topics)}", gap=True)


def _connector(facts: Facts) -> Iterator[RecoveryFinding]:
    if facts.connector is None:
        yield RecoveryFinding("connector-missing", "Kafka Connect has no connector of this name")
    elif facts.connector == "FAILED":
        yield RecoveryFinding("connector-failed", "; ".join(facts.failures) or "the connector failed")
    elif facts.connector in {"PAUSED", "STOPPED"}:
        yield RecoveryFinding("connector-stopped", f"the connector is {facts.connector}")
    if facts.drifted:
        yield RecoveryFinding("config-drift", f"the connector's config differs in {', '.join(facts.drifted)}")
