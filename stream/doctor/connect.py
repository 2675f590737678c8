"""Kafka Connect: the workers, Debezium's plugin, the connector, its tasks, its config and its offsets.

Enters: the REST client, and the config that the settings make. Leaves: findings. Reads only: to
validate a config changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Protocol

from stream.connect.connector import CREATE_AGAIN, differences, shown
from stream.connect.rest import ConnectorStatus, Fault
from stream.doctor.finding import ERROR, RECOVER, WARNING, Checks, DoctorFinding

CHECKS = Checks("connect")
SILENT = CHECKS.add(
    "connect-unreachable",
    ERROR,
    "Kafka Connect does not answer at SCORESTREAM_CONNECT_URL, or refuses the credentials",
    "no change may reach Kafka, and nobody restarts a task that fails",
    "start Kafka Connect, or correct the settings SCORESTREAM_CONNECT_*",
)
PLUGIN = CHECKS.add(
    "connect-plugin",
    ERROR,
    "Connect has no Debezium connector for Postgres, or one older than 3.7",
    "the connector cannot start, or it leaves out changes after a restart (dbz#76, dbz#1554), without an error",
    "install Debezium 3.7 on every Connect worker (connectors/pom.xml) and restart the workers",
)
MISSING = CHECKS.add(
    "connector-missing",
    ERROR,
    "Connect has no connector of this name",
    "no change reaches Kafka",
    CREATE_AGAIN,
)
FAILED = CHECKS.add(
    "connector-failed",
    ERROR,
    "the connector or its task has failed",
    "no change reaches Kafka, and Postgres keeps WAL for the slot",
    "scorestream connectors restart",
)
PAUSED = CHECKS.add(
    "connector-paused",
    ERROR,
    "the connector is paused or stopped",
    "no change reaches Kafka, and Postgres keeps WAL for the slot",
    "scorestream connectors resume",
)
TASK = CHECKS.add(
    "connector-task",
    ERROR,
    "the connector has no task that runs",
    "no change reaches Kafka. After the death of a Connect worker its tasks wait for scheduled.rebalance.max.delay.ms, "
    "which is 5 minutes by default",
    "set scheduled.rebalance.max.delay.ms=0 on every Connect worker; `scorestream connectors restart --all`",
)
CONFIG = CHECKS.add(
    "connector-config",
    WARNING,
    "the connector's config differs from the one that the settings make",
    "the connector works by values that no one reviewed; the next `connectors apply` changes them",
    "scorestream connectors apply",
)
INVALID = CHECKS.add(
    "connector-invalid",
    ERROR,
    "Connect refuses the config: a wrong password, a secret that does not resolve, no exactly-once support",
    "the connector fails at its next start",
)

# What a trace says -> the way out, where a restart alone would fail again. The cause is in the WAL or in Postgres.
_CAUSES = (
    (
        "RecordTooLarge",
        "scorestream connectors apply, which leaves out the columns that nothing reads, and cuts long texts",
    ),
    (r"slot.*(does not exist|lost|invalidated)|snapshot mode when needed|offset.*no longer available", RECOVER),
    (
        "DateTimeParseException",
        "Debezium cannot read a value (before 3.7: a timetz whose offset from UTC has seconds), and the WAL holds it: "
        "correct the row, `SELECT pg_drop_replication_slot(..);`, then `scorestream recover`",
    ),
    (r"slot.*is active for PID", "SELECT pg_terminate_backend(..); -- the PID that is named, if it is no connector's"),
    (r"permission denied|password authentication|publication.*does not exist", "scorestream doctor --only postgres"),
)
OLDEST = (3, 7)  # 3.6.3 lost rows at each of four kills amid a COPY
_RESTORED = (
    "a ${env:..} reference is read from the environment of every Connect worker; correct it there and restart them"
)


class Client(Protocol):
    """What is asked; as stream.connect.rest.Connect. Every method raises Retry or ConnectError."""

    def plugins(self) -> dict[str, str]: ...
    def config(self, name: str) -> dict[str, str] | None: ...
    def validate(self, config: Mapping[str, str], *, name: str) -> list[Fault]: ...
    def status(self, name: str) -> ConnectorStatus | None: ...


def examine(client: Client, name: str, wanted: Mapping[str, str]) -> Iterator[DoctorFinding]:
    """Everything that is wrong.

    Args:
        wanted: the config that the settings make.

    Raises:
        Retry, ConnectError: Connect does not answer, or refuses.
    """
    plugin = wanted.get("connector.class", "")
    plugins = client.plugins()
    yield from _plugin(plugins, plugin)
    if plugin not in plugins:
        return
    held = client.config(name)
    status = client.status(name)
    if held is None and status is None:
        yield MISSING.found(f"Kafka Connect has no connector {name}")
    if status is not None:
        yield from _state(status)
    if held is not None:
        yield from _drift(held, dict(wanted) | {"name": name})
    for fault in client.validate(wanted, name=name):
        yield from refusal(fault)


def refusal(fault: Fault) -> Iterator[DoctorFinding]:
    """What Connect has against one field; `connectors apply` shows the same."""
    value = shown(fault.name, fault.value)
    for message in fault.messages:
        way = (
            _RESTORED
            if "${" in (fault.value or "") or fault.name.startswith("database.")
            else (f"correct {fault.name} in the settings, or in the file that SCORESTREAM_CONNECT_CONFIG names")
        )
        if "exactly-once" in message or fault.name == "exactly.once.support":
            way = "set exactly.once.source.support=enabled on every Connect worker, and restart them"
        yield INVALID.found(f"{fault.name} = {value}: {message}", way)


def _plugin(plugins: Mapping[str, str], wanted: str) -> Iterator[DoctorFinding]:
    if wanted not in plugins:
        yield PLUGIN.found(f"Kafka Connect has no plugin {wanted}")
    elif (found := re.match(r"(\d+)\.(\d+)", plugins[wanted])) and (int(found[1]), int(found[2])) < OLDEST:
        yield PLUGIN.found(f"Debezium is {plugins[wanted]}", severity=WARNING)


def _state(status: ConnectorStatus) -> Iterator[DoctorFinding]:
    if status.failures:
        causes = "; ".join(status.failures)
        way = next((way for cause, way in _CAUSES if re.search(cause, causes)), "")
        yield FAILED.found(f"connector {status.name}: {causes[:400]}", way)
    elif status.state in ("PAUSED", "STOPPED"):
        yield PAUSED.found(f"connector {status.name} is {status.state}")
    elif not status.running:
        states = ", ".join(f"task {task.id} is {task.state}" for task in status.tasks) or "there is no task"
        yield TASK.found(f"connector {status.name} is {status.state}, and {states}")


def _drift(held: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[DoctorFinding]:
    if differ := differences(held, wanted):
        yield CONFIG.found(f"{len(differ)} keys differ: {'; '.join(differ.values())[:600]}")
