"""Shared by the benchmarks: the surroundings of a result (versions, machine), and the position of a consumer group."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import psutil
import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from devstack.process import PartFailed
from stream import __version__
from stream.clickhouse.shards import connect
from stream.config import Settings
from stream.connect.rest import Connect
from stream.kafka.client import client_options
from stream.kafka.groups import describe
from stream.settings_sections import ClickHouseSettings
from stream.tables import SOURCES, TARGETS
from testbed.rig import Died

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("faust-streaming", "aiokafka", "clickhouse-connect", "confluent-kafka", "msgspec", "psycopg", "chdb")

Offsets = dict[tuple[str, int], int]  # (topic, partition) -> next offset to read


def say(line: str) -> None:
    """Progress goes to stderr: the last line of stdout is the result."""
    print(line, file=sys.stderr, flush=True)


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """The arguments of every benchmark on the demo's rows: --scale and --dir."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1, help="of the rows loaded before (default: 1)")
    parser.add_argument("--dir", type=Path, default=Path(".devstack"), help="folder of the stack (default: .devstack)")
    return parser


def run(name: str, bench: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """The benchmark's exit code; 1 with a line on stderr when a part of the stack failed."""
    try:
        return bench(options)
    except (Died, PartFailed) as error:
        say(f"{name}: {error}")
        return 1


class Measured(Protocol):
    """A system that was measured: its settings, and a connection to its Postgres."""

    @property
    def settings(self) -> Settings: ...

    def postgres(self) -> psycopg.Connection[Any]: ...


def publish(result: dict[str, Any], *, detail: dict[str, Any], rig: Measured, folder: Path = RESULTS) -> None:
    """Print the line of JSON, and keep it in the folder with the detail, the versions and the machine.

    Args:
        result: the line itself; `bench` in it names the file.
        detail: figures worth keeping beside it.
    """
    folder.mkdir(exist_ok=True)
    kept = result | {
        "detail": detail,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(rig),
        "machine": machine(),
    }
    (folder / f"{result['bench']}.json").write_text(json.dumps(kept, indent=2) + "\n", "utf-8")
    print(json.dumps(result), flush=True)


def machine() -> dict[str, Any]:
    """The machine's facts that a reader needs to judge a figure; no names. `load_average` shows other load."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu": model,
        "ram_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": [round(load, 1) for load in os.getloadavg()],
    }


def versions(rig: Measured) -> dict[str, str]:
    """Versions of the parts that a message passes."""
    found = {"scorestream": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    with rig.postgres() as connection:
        found["postgres"] = connection.info.parameter_status("server_version") or ""
    client = connect(rig.settings.clickhouse, 0)
    found["clickhouse"] = str(client.command("SELECT version()"))
    client.close()
    with Connect(rig.settings.connect) as rest:
        plugins = rest.plugins()
    for kind, number in plugins.items():
        if kind.endswith("PostgresConnector"):
            found["debezium"] = number
        if kind.endswith("MirrorSourceConnector") or kind.endswith("FileStreamSourceConnector"):
            found["kafka"] = number
    return found


def last_stored(settings: ClickHouseSettings, since: float) -> float:
    """When ClickHouse stored the last row (Unix time), by its own clock; `since` when that was before."""
    latest = since
    for shard in range(len(settings.shards)):
        client = connect(settings, shard)
        for table in TARGETS:
            latest = max(latest, float(client.command(f"SELECT toFloat64(max(_indexed_at)) FROM {table.target}")))
        client.close()
    return latest


class Group:
    """The live group's position in the topics of the source tables. It is not a member of any group."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._options = client_options(settings.kafka) | {"enable.auto.commit": False}
        self._admin = AdminClient(client_options(settings.kafka))
        self._reader = Consumer(self._options | {"group.id": settings.kafka.group})
        metadata = self._reader.list_topics(timeout=20).topics
        self._partitions = [
            TopicPartition(settings.topics.of(table), partition)
            for table in SOURCES
            for partition in metadata[settings.topics.of(table)].partitions
        ]

    def close(self) -> None:
        self._reader.close()

    def committed(self) -> Offsets:
        """Committed offsets; 0 where nothing was committed."""
        found = self._reader.committed([TopicPartition(p.topic, p.partition) for p in self._partitions], timeout=20)
        return {(each.topic, each.partition): max(0, each.offset) for each in found}

    def ends(self) -> Offsets:
        """End offsets. Control records of transactions count, so they are beyond the last message."""
        return {
            (each.topic, each.partition): self._reader.get_watermark_offsets(each, timeout=20)[1]
            for each in self._partitions
        }

    def assigned(self) -> bool:
        """Whether the group has members and all partitions are given to them."""
        try:
            group = describe(self._admin, self._settings.kafka.group, timeout_s=10)
        except KafkaException:
            return False
        return group.state == "STABLE" and len(group.holders()) >= len(self._partitions)

    def read(self, start: Offsets, end: Offsets) -> tuple[int, int, Offsets]:
        """Read, as any consumer could, the messages between two positions.

        Returns:
            Messages, their bytes (keys and values), and for each partition the offset after its last message. A group
            that has processed everything has committed that offset.
        """
        wanted = {tp for tp in end if end[tp] > start.get(tp, 0)}
        after = dict(start)
        messages = size = 0
        reader = Consumer(
            self._options
            | {"group.id": "benchmark-count", "isolation.level": "read_committed", "enable.partition.eof": True}
        )
        try:
            reader.assign(
                [TopicPartition(topic, partition, start.get((topic, partition), 0)) for topic, partition in wanted]
            )
            deadline = time.monotonic() + 120
            while wanted and time.monotonic() < deadline:
                for message in reader.consume(10_000, timeout=1):
                    tp = (message.topic(), message.partition())
                    if message.error():
                        wanted.discard(tp)  # the end of the partition
                    elif message.offset() < end[tp]:
                        messages += 1
                        size += len(message.value() or b"") + len(message.key() or b"")
                        after[tp] = message.offset() + 1
        finally:
            reader.close()
        if wanted:
            raise RuntimeError(f"the ends of {len(wanted)} partitions were not reached within 120 s")
        return messages, size, after
