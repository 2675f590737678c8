"""The processes of this program: members of the live group, and the web servers of those that the settings list.

Enters: the consumer group, and URLs to ask. Leaves: findings. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from stream.doctor.finding import ERROR, HINT, WARNING, Checks, Finding
from stream.kafka.groups import Group
from stream.kafka.offsets import TP
from stream.monitor.sources.processes import addresses
from stream.web.asker import AskFailed

CHECKS = Checks("processes")
SILENT = CHECKS.add(
    "group-unknown",
    ERROR,
    "the brokers do not tell about the live group, or refuse it to this user",
    "the workers cannot join the group, or no one knows whether they have",
    "kafka-acls.sh --add --allow-principal User:.. --operation Read --group GROUP",
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


def examine(
    members: Members, *, group: str, topics: Sequence[str], urls: Mapping[str, bool], get: Callable[[str], bytes]
) -> Iterator[Finding]:
    """Everything that is wrong.

    Args:
        urls: of a process -> whether it must answer.
        get: the body that a URL answers with; raises AskFailed.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    yield from _group(members.group(group), group, members.partitions(topics))
    for url, must in urls.items():
        found = addresses([url])
        if must and not found:
            yield AWAY.found(f"{url}: its host has no address")
        for address in found:
            yield from _process(address, must, get)


def _group(found: Group, name: str, partitions: Sequence[TP]) -> Iterator[Finding]:
    if not found.members:
        yield EMPTY.found(f"group {name} has no member")
        return
    if found.state != "STABLE":  # who holds what is being decided
        return
    held = found.holders()
    if unheld := sorted(set(partitions) - held.keys()):
        names = ", ".join(f"{tp.topic}-{tp.partition}" for tp in unheld[:5])
        more = f" and {len(unheld) - 5} more" if len(unheld) > 5 else ""
        yield UNHELD.found(f"no member of group {name} holds {names}{more}")
    for member in found.members:
        if not member.partitions:
            yield IDLE.found(f"worker {member.client_id} on {member.host} holds no partition")


def _process(url: str, must: bool, get: Callable[[str], bytes]) -> Iterator[Finding]:
    try:
        get(url + "/readyz")
    except AskFailed as error:
        if str(error) == "status 503":
            yield UNREADY.found(f"{url}/readyz: not ready", f"curl -s {url}/readyz")
        elif must:
            yield AWAY.found(f"{url}: {error}")
