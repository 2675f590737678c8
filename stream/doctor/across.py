"""What two systems must agree on: slot and offset, WAL and versions, the cluster of Connect and of the workers.

Enters: figures that were asked one after another. Leaves: findings. Pure.
A healthy connector stores its offset before it confirms the slot, and a version is of a change that is in the WAL. So
the slot is asked before the offset, and everything before the WAL: a later figure is never behind an earlier one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from stream.doctor.finding import ERROR, RECOVER, WARNING, Check, Checks, DoctorFinding
from stream.kafka.connect_workers import ConnectWorker
from stream.pipeline.ordering import epoch_of, lsn_text, reached_lsn
from stream.times import duration

_CONNECT, _SETTINGS = Checks("connect"), Checks("settings")
CLUSTER = _CONNECT.add(
    "connect-cluster",
    ERROR,
    "Kafka Connect works on another Kafka cluster than SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS names",
    "the connector writes to topics that no worker reads",
    "correct SCORESTREAM_CONNECT_URL or SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS",
)
UNKNOWN = _SETTINGS.add(
    "not-compared",
    WARNING,
    "two systems answer, and what they must agree on could not be asked",
    "a slot, an offset or a version of another server is not noticed here",
    "scorestream doctor --timeout 30",
)
DEAD = _CONNECT.add(
    "connect-worker-dead",
    ERROR,
    "the worker that Connect names for the connector or its task is no member of Connect's group",
    "no change reaches Kafka until the task moves: after scheduled.rebalance.max.delay.ms, 5 minutes by default",
    "start that worker; set scheduled.rebalance.max.delay.ms=0 on every Connect worker, and restart them",
)
WAITS = _CONNECT.add(
    "connect-rebalance",
    WARNING,
    "Connect waits for a worker that has left, before it moves that worker's tasks",
    "a connector that ran there does not run meanwhile",
    "start that worker; set scheduled.rebalance.max.delay.ms=0 on every Connect worker, and restart them",
)
BEHIND = _CONNECT.add(
    "offset-behind-slot",
    ERROR,
    "the slot begins after the connector's offset: it was made again, or moved",
    "the connector fails at its next start, and changes in between are missing",
    RECOVER,
)
AHEAD = _CONNECT.add(
    "offset-ahead-of-wal",
    ERROR,
    "the connector's offset is beyond the end of Postgres' WAL: it is another server's, or a failover lost changes",
    "the connector leaves out every change until the WAL has passed the offset, without an error",
    RECOVER,
)
EPOCH = _SETTINGS.add(
    "versions-ahead",
    ERROR,
    "ClickHouse has versions that are higher than any that Postgres can give now",
    "new changes of those rows lose against the old ones, without an error",
    RECOVER,
)
ALL: tuple[Check, ...] = (*_CONNECT.all, *_SETTINGS.all)


def offsets(
    *, begins: int | None, offset: int | None, wal: int | None, connector: str, slot: str
) -> Iterator[DoctorFinding]:
    """Slot, offset and WAL. LSNs are bytes from 0/0; None = not known.

    Args:
        begins: the slot's restart_lsn, asked first.
        offset: how far the connector has read, asked second.
        wal: the end of the WAL, asked last.
    """
    if begins is not None and offset is not None and begins > offset:
        what = f"slot {slot} begins at {lsn_text(begins)}, after the offset {lsn_text(offset)} of connector {connector}"
        yield BEHIND.found(what)
    if offset is not None and wal is not None and offset > wal:
        what = (
            f"the offset {lsn_text(offset)} of connector {connector} is beyond the WAL, which ends at {lsn_text(wal)}"
        )
        yield AHEAD.found(what)


def versions(highest: int, *, epoch: int, wal: int | None) -> Iterator[DoctorFinding]:
    """The highest version that ClickHouse has, asked first, against what Postgres can give.

    Args:
        epoch: of the changes that Postgres commits now.
        wal: the end of the WAL, asked last, bytes from 0/0.
    """
    stored = epoch_of(highest), reached_lsn(highest)
    if wal is not None and stored > (epoch, wal):
        text = f"ClickHouse has versions of epoch {stored[0]}, LSN {lsn_text(stored[1])}"
        yield EPOCH.found(f"{text}; Postgres is at epoch {epoch}, LSN {lsn_text(wal)}")


def clusters(ours: str | None, connects: str | None) -> Iterator[DoctorFinding]:
    """Whether Connect and the workers use one Kafka cluster; None = not known."""
    if ours is not None and connects is not None and ours != connects:
        yield CLUSTER.found(f"Kafka Connect uses cluster {connects}, the workers use {ours}")


def connect_group(
    living: Sequence[ConnectWorker], named: Mapping[str, str], *, rest: Collection[str]
) -> Iterator[DoctorFinding]:
    """Whether the workers that Connect names are alive.

    Args:
        living: the workers of all Connect clusters on the brokers.
        named: part of the connector (`connector`, `task 0`) -> worker that Connect names for it.
        rest: host:port of the REST interfaces of the settings.
    """
    known = {*rest, *named.values()}
    groups = {each.group for each in living}
    own = groups if len(groups) == 1 else {each.group for each in living if each.address in known}
    workers = [each for each in living if each.group in own]
    if not workers:  # another user's groups are hidden
        return
    addresses = {each.address for each in workers}
    for worker in sorted(set(named.values()) - addresses):
        parts = ", ".join(part for part, at in named.items() if at == worker)
        there = ", ".join(sorted(addresses))
        yield DEAD.found(f"Connect names worker {worker} for {parts}; only {there} lives")
    if waits_s := max(each.waits_s for each in workers):
        yield WAITS.found(f"Connect waits for {duration(waits_s)} before it moves the tasks of a worker that has left")
