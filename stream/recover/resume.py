"""Whether a connector can go on from its offset: asked before it is resumed, or gets another config.

Enters: Postgres and Connect. Leaves: the findings with which Debezium fails for good, or leaves changes out.
Reads only.
"""

from __future__ import annotations

from stream.connect.rest import Connect
from stream.postgres import replication
from stream.postgres.connection import Postgres
from stream.recover.facts import Facts
from stream.recover.findings import RecoveryFinding, findings
from stream.recover.systems import Wanted, position_of

_ENDS = {"slot-missing", "slot-lost", "offsets-ahead", "offsets-behind"}


def cannot_go_on(postgres: Postgres, connect: Connect, wanted: Wanted) -> list[RecoveryFinding]:
    """What keeps the connector from going on; nothing when it can. The slot is asked before the offset.

    Raises:
        Retry, PostgresRefused, ConnectError: a system does not answer, or refuses.
    """
    with postgres.asking() as connection:
        slot = replication.slot(connection, wanted.slot)
    position = position_of(connect.offsets(wanted.connector))
    with postgres.asking() as connection:
        server = replication.server(connection, postgres.schema)
    facts = Facts(
        server=server,
        slot=slot,
        unpublished=(),
        connector="STOPPED",
        failures=(),
        drifted=(),
        position=position,
        missing_topics=(),
        empty_topics=(),
        highest=0,
        stored=(),
        epoch=0,
        workers=0,
    )
    if slot is None and position is None:
        return []  # its first start: it makes the slot, and begins with a snapshot
    return [each for each in findings(facts) if each.id in _ENDS]
