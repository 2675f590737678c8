"""A Kafka broker that is its own controller (KRaft), started from jars."""

from __future__ import annotations

import os
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from devstack.jars import jars, java
from devstack.parts.base import NotReady, Part, Site
from devstack.process import PartFailed, write_atomically

# One GC thread, and no second compiler tier for code that runs once: a start takes seconds on two shared cores.
JVM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:-UsePerfData", "-Djava.awt.headless=true"]

LOG4J2 = """status = warn
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %-5p %m (%c{1})%n%throwable{40}
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
"""
QUIET = {  # loggers of a page of configuration for each client, or a line for each segment
    "config": "org.apache.kafka.common.config.AbstractConfig",
    "clients": "org.apache.kafka.clients",
    "network": "org.apache.kafka.clients.NetworkClient",
    "appinfo": "org.apache.kafka.common.utils.AppInfoParser",
    "cleaner": "org.apache.kafka.storage.internals.log.LogCleaner",
    "jetty": "org.eclipse.jetty",
}


def jvm_command(main: str, *arguments: str, heap_mb: int, folder: Path, options: tuple[str, ...] = ()) -> list[str]:
    """A java command; the log goes to stdout, as configured in `folder`/log4j2.properties."""
    quiet = [
        line
        for name, log in QUIET.items()
        for line in (f"logger.{name}.name = {log}", f"logger.{name}.level = {'error' if name == 'network' else 'warn'}")
    ]
    write_atomically(folder / "log4j2.properties", LOG4J2 + "\n".join(quiet) + "\n", 0o644)
    log4j = f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"
    return [java(), f"-Xmx{heap_mb}m", *JVM, *options, log4j, "-cp", f"{jars()}/*", main, *arguments]


class Kafka(Part):
    """One broker on 127.0.0.1."""

    heap_mb = int(os.environ.get("DEVSTACK_KAFKA_HEAP_MB", "512"))

    def __init__(self, name: str, site: Site) -> None:
        super().__init__(name, site)
        self.bootstrap_servers = f"127.0.0.1:{self.port}"

    def prepare(self) -> None:
        controller = self.site.ports["kafka-controller"]
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.data / "data"),
            # Commands create topics, compacted and with the right number of partitions. A typing error must not.
            "auto.create.topics.enable": "false",
            "default.replication.factor": "1",
            "min.insync.replicas": "1",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "8",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "8",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "log.cleaner.enable": "true",
            "log.cleaner.threads": "1",
            "log.cleaner.dedupe.buffer.size": str(32 << 20),  # 128 MiB by default, a quarter of the heap
            "message.max.bytes": str(8 << 20),
            "replica.fetch.max.bytes": str(8 << 20),
            "num.network.threads": "2",
            "num.io.threads": "4",
            "background.threads": "2",
            "num.recovery.threads.per.data.dir": "2",
        }
        config = self.data / "server.properties"
        write_atomically(config, "".join(f"{name}={value}\n" for name, value in properties.items()))
        if not (self.data / "data" / "meta.properties").exists():
            self._format(config)

    def command(self) -> tuple[list[str], dict[str, str]]:
        config = str(self.data / "server.properties")
        return jvm_command("kafka.Kafka", config, heap_mb=self.heap_mb, folder=self.data), dict(os.environ)

    def probe(self) -> None:
        client = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        try:
            brokers = client.list_topics(timeout=1).brokers
        except KafkaException as error:
            raise NotReady(str(error)) from error
        if not brokers:
            raise NotReady("the broker is not registered yet")

    def _format(self, config: Path) -> None:
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "a")
        arguments = ("format", "--standalone", "-t", cluster, "-c", str(config))
        command = jvm_command("kafka.tools.StorageTool", *arguments, heap_mb=128, folder=self.data)
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise PartFailed(f"kafka: formatting its storage failed\n{(done.stdout + done.stderr)[-4000:]}")
