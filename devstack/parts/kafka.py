"""A Kafka broker that is a controller, too (KRaft), started from jars: alone, or one of several."""

from __future__ import annotations

import os
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from devstack import oidc
from devstack.jars import jars, java
from devstack.parts import security
from devstack.parts.base import NotReady, Part, Site, numbered
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
    """A java command; the log goes to stdout, as configured in `folder`/log4j2.properties.

    DEVSTACK_LOGGERS sets levels of further loggers, for one who looks for a cause: `kafka.coordinator=debug,..`.
    """
    chosen = [each.split("=") for each in os.environ.get("DEVSTACK_LOGGERS", "").split(",") if each]
    more = [
        line
        for number, (log, level) in enumerate(chosen)
        for line in (f"logger.chosen{number}.name = {log}", f"logger.chosen{number}.level = {level}")
    ]
    quiet = [
        line
        for name, log in QUIET.items()
        for line in (f"logger.{name}.name = {log}", f"logger.{name}.level = {'error' if name == 'network' else 'warn'}")
    ]
    write_atomically(folder / "log4j2.properties", LOG4J2 + "\n".join(quiet + more) + "\n", 0o644)
    log4j = f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"
    return [java(), f"-Xmx{heap_mb}m", *JVM, *options, log4j, "-cp", f"{jars()}/*", main, *arguments]


def controllers(brokers: int) -> list[str]:
    """Names of the controllers' ports, in the order of the brokers."""
    return numbered("kafka-controller", brokers)


def certified(brokers: int) -> list[str]:
    """Names of the ports at which clients of a secured stack log in by certificate, in the order of the brokers."""
    return numbered("kafka-mtls", brokers)


class Kafka(Part):
    """One broker on 127.0.0.1. Of three brokers two must have each message, and one may be away."""

    def __init__(self, name: str, site: Site, number: int = 1) -> None:
        super().__init__(name, site)
        self._number = number

    @property
    def heap_mb(self) -> int:
        return int(os.environ.get("DEVSTACK_KAFKA_HEAP_MB", "512" if self.site.brokers == 1 else "256"))

    def prepare(self) -> None:
        controller = self.site.ports[controllers(self.site.brokers)[self._number - 1]]
        replicas, in_sync = str(self.site.brokers), str(self.site.brokers // 2 + 1)
        properties = {
            "process.roles": "broker,controller",
            "node.id": str(self._number),
            **self._quorum(),
            **self._listeners(controller),
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.data / "data"),
            # Commands create topics, compacted and with the right number of partitions. A typing error must not.
            "auto.create.topics.enable": "false",
            "default.replication.factor": replicas,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": replicas,
            "offsets.topic.num.partitions": "8",
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": "8",
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": in_sync,
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
        if self.site.tls is not None:
            properties |= security.of_broker(self.site.tls, self.site.passwords)
        config = self.data / "server.properties"
        write_atomically(config, "".join(f"{name}={value}\n" for name, value in properties.items()))
        if not (self.data / "data" / "meta.properties").exists():
            self._format(config)

    def command(self) -> tuple[list[str], dict[str, str]]:
        config = str(self.data / "server.properties")
        options = () if self.site.tls is None else oidc.jvm_options(self.site.tls.folder)
        return jvm_command("kafka.Kafka", config, heap_mb=self.heap_mb, folder=self.data, options=options), dict(
            os.environ
        )

    def probe(self) -> None:
        client = self._client()
        try:
            brokers = client.list_topics(timeout=1).brokers
        except KafkaException as error:
            raise NotReady(str(error)) from error
        if self._number not in brokers:
            raise NotReady("the broker is not registered yet")

    def set_up(self) -> None:
        """Create the users of a secured stack."""
        if self.site.tls is not None:
            security.set_up(self._client(), self.site.passwords)

    def _client(self) -> AdminClient:
        quiet: dict[str, str | int] = {"log_level": 0}
        if self.site.tls is None:
            return AdminClient({**quiet, "bootstrap.servers": f"127.0.0.1:{self.port}"})
        address = f"127.0.0.1:{self._certified}"
        return AdminClient({**quiet, "bootstrap.servers": address, **security.of_operator(self.site.tls)})

    @property
    def _certified(self) -> int:
        return self.site.ports[certified(self.site.brokers)[self._number - 1]]

    def _listeners(self, controller: int) -> dict[str, str]:
        if self.site.tls is None:
            return {
                "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
                "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
                "inter.broker.listener.name": "PLAINTEXT",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            }
        own = f"SASL_SSL://127.0.0.1:{self.port},SSL://127.0.0.1:{self._certified}"
        return {
            "listeners": f"{own},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": own,
            "inter.broker.listener.name": "SSL",
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:SSL",
        }

    def _quorum(self) -> dict[str, str]:
        ports = [self.site.ports[name] for name in controllers(self.site.brokers)]
        if len(ports) == 1:
            return {"controller.quorum.bootstrap.servers": f"127.0.0.1:{ports[0]}"}
        voters = ",".join(f"{number}@127.0.0.1:{port}" for number, port in enumerate(ports, 1))
        return {"controller.quorum.voters": voters}

    def _format(self, config: Path) -> None:
        # All brokers of a stack must have the same id, and those of two stacks must not: the stack's secret makes it.
        made = uuid.uuid5(uuid.NAMESPACE_OID, self.site.passwords["cluster"])
        cluster = urlsafe_b64encode(made.bytes).decode().rstrip("=").replace("-", "a")
        alone = ("--standalone",) if self.site.brokers == 1 else ()
        arguments = ("format", *alone, "-t", cluster, "-c", str(config))
        command = jvm_command("kafka.tools.StorageTool", *arguments, heap_mb=128, folder=self.data)
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise PartFailed(f"kafka: formatting its storage failed\n{(done.stdout + done.stderr)[-4000:]}")
