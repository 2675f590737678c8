"""The processes of this program: members of the live group, and the web servers of those that the settings list.

Enters: the consumer group, and URLs to ask. Leaves: findings. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from stream.doctor.finding import ERROR, HINT, WARNING, Checks, DoctorFinding
from stream.kafka.groups import Group
from stream.kafka.topic_partition import TP
from stream.monitor.sources.processes import addresses
from stream.web.asker import AskFailed

CHECKS = Checks("processes")
SILENT = CHECKS.add(
    "group-unknown",
    ERROR,
    "the brokers do not tell about the live group, or refuse it to this user",
    "the workers cannot join the group, or no one knows whether they have",
    "start the brokers; if they answer: kafka-acls.sh --add --allow-principal User:.. --operation Read --group GROUP",
)
EMPTY = CHECKS.add(
    "group-empty",
    ERROR,
    "no worker is a member of the live group",
    "no change reaches ClickHouse",
    "scorestream worker --restart",
)
UNHELD = CHECKS.add(
    "partition-unheld",
    ERROR,
    "a partition of the topics of rows is held by no member of the group",
    "changes of a part of the scorecards do not reach ClickHouse",
    "restart the workers, one after another: another release or another topic prefix is in the group",
)
AHEAD = CHECKS.add(
    "offset-ahead",
    ERROR,
    "the live group has committed an offset that lies behind the end of the log",
    "the topic was created again, or the brokers lost its end: workers skip messages up to that offset",
    "stop the workers; scorestream rewind --to-earliest --yes; start them; scorestream verify --repair",
)
TRIMMED = CHECKS.add(
    "offset-trimmed",
    ERROR,
    "the live group has not read messages that the log no longer has",
    "changes of these messages never reach ClickHouse by themselves",
    "scorestream verify --repair",
)
IDLE = CHECKS.add(
    "worker-idle",
    HINT,
    "a worker holds no partition: there are more workers than partitions",
    "it does nothing, and takes over only when another one leaves",
    "stop it, or keep it as a spare",
)
AWAY = CHECKS.add(
    "process-silent",
    WARNING,
    "a process that SCORESTREAM_MONITOR_PROCESSES lists does not answer",
    "the monitor does not see what it does, and its alerts stay silent",
    "start it, or take its URL out of SCORESTREAM_MONITOR_PROCESSES",
)
UNREADY = CHECKS.add(
    "process-unready",
    ERROR,
    "a process answers, and says that it does not do its work",
    "changes wait for it",
)


class Members(Protocol):
    """What is asked of the brokers; as stream.kafka.broker.Broker. Raises KafkaUnavailable."""

    def group(self, name: str) -> Group: ...
    def partitions(self, topics: Iterable[str]) -> list[TP]: ...
    def committed(self, group: str, tps: Sequence[TP]) -> dict[TP, int]: ...
    def ends(self, tps: Sequence[TP]) -> dict[TP, int]: ...
    def starts(self, tps: Sequence[TP]) -> dict[TP, int]: ...


def examine(
    members: Members, *, group: str, topics: Sequence[str], urls: Mapping[str, bool], get: Callable[[str], bytes]
) -> Iterator[DoctorFinding]:
    """Everything that is wrong.

    Args:
        urls: of a process -> whether it must answer.
        get: the body that a URL answers with; raises AskFailed.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    tps = members.partitions(topics)
    yield from _group(members.group(group), group, tps)
    yield from _offsets(members, group, tps)
    for url, must in urls.items():
        found = addresses([url])
        if must and not found:
            yield AWAY.found(f"{url}: its host has no address")
        for address in found:
            yield from _process(address, must, get)


def _group(found: Group, name: str, partitions: Sequence[TP]) -> Iterator[DoctorFinding]:
    if not found.members:
        yield EMPTY.found(f"group {name} has no member")
        return
    if found.state != "STABLE":  # who holds what is being decided
        return
    held = found.holders()
    if unheld := set(partitions) - held.keys():
        yield UNHELD.found(f"no member of group {name} holds {_names(unheld)}")
    for member in found.members:
        if not member.partitions:
            yield IDLE.found(f"worker {member.client_id} on {member.host} holds no partition")


def _offsets(members: Members, group: str, tps: Sequence[TP]) -> Iterator[DoctorFinding]:
    """The start is asked before the committed offset, and the end after it: both only grow while all is well."""
    starts, committed, ends = members.starts(tps), members.committed(group, tps), members.ends(tps)
    if ahead := {tp for tp, offset in committed.items() if offset > ends.get(tp, offset)}:
        yield AHEAD.found(f"group {group} has committed offsets behind the end of {_names(ahead)}")
    # A compacted topic begins where its first message is; only deletion by age or by hand moves its start.
    if trimmed := {tp for tp, offset in committed.items() if offset < starts.get(tp, offset)}:
        yield TRIMMED.found(f"group {group} has not read what was deleted from {_names(trimmed)}")


def _names(tps: Iterable[TP]) -> str:
    ordered = sorted(tps)
    more = f" and {len(ordered) - 5} more" if len(ordered) > 5 else ""
    return ", ".join(f"{tp.topic}-{tp.partition}" for tp in ordered[:5]) + more


def _process(url: str, must: bool, get: Callable[[str], bytes]) -> Iterator[DoctorFinding]:
    try:
        get(url + "/readyz")
    except AskFailed as error:
        if str(error) == "status 503":
            yield UNREADY.found(f"{url}/readyz: not ready", f"curl -s {url}/readyz")
        elif must:
            yield AWAY.found(f"{url}: {error}")
