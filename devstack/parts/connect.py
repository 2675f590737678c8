"""A worker of Kafka Connect, distributed, with Debezium's Postgres connector on its class path."""

from __future__ import annotations

import base64
import os
import urllib.error
import urllib.request

from devstack.parts import security
from devstack.parts.base import NotReady, Part
from devstack.parts.kafka import jvm_command
from devstack.parts.postgres import CDC_ROLE, DATABASE
from devstack.process import write_atomically
from devstack.tls import Tls

REST_USER = "connect-rest"
PROVIDERS = "org.apache.kafka.common.config.provider"


class Connect(Part):
    """Secrets by reference: `${env:SCORESTREAM_CDC_PASSWORD}` or `${file:<DEVSTACK_CDC_FILE>:password}`."""

    stop_timeout_s = 30

    @property
    def heap_mb(self) -> int:
        return int(os.environ.get("DEVSTACK_CONNECT_HEAP_MB", "768" if self.site.connect_workers == 1 else "384"))

    @property
    def cdc(self) -> dict[str, str]:
        """The connector's access to Postgres."""
        return {
            "host": "127.0.0.1",
            "port": str(self.site.ports["postgres"]),
            "user": CDC_ROLE,
            "password": self.site.passwords[CDC_ROLE],
            "database": DATABASE,
        }

    def prepare(self) -> None:
        secrets = self.site.root / "connect" / "secrets" / "cdc.properties"  # one path for all workers
        replicas = str(self.site.brokers)
        if self.name == "connect":
            write_atomically(secrets, "".join(f"{name}={value}\n" for name, value in self.cdc.items()))
        properties = {
            "bootstrap.servers": self.site.bootstrap_servers,
            "listeners": f"{self.site.scheme}://127.0.0.1:{self.port}",
            "rest.advertised.host.name": "127.0.0.1",
            "rest.advertised.port": str(self.port),
            "group.id": "devstack-connect",
            "config.storage.topic": "devstack-connect-configs",
            "config.storage.replication.factor": replicas,
            "offset.storage.topic": "devstack-connect-offsets",
            "offset.storage.replication.factor": replicas,
            "offset.storage.partitions": "4",
            "status.storage.topic": "devstack-connect-status",
            "status.storage.replication.factor": replicas,
            "status.storage.partitions": "2",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "key.converter.schemas.enable": "false",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter.schemas.enable": "false",
            "exactly.once.source.support": "enabled",
            "plugin.discovery": "service_load",
            "scheduled.rebalance.max.delay.ms": "0",
            "offset.flush.interval.ms": "5000",
            "task.shutdown.graceful.timeout.ms": "8000",
            "reconnect.backoff.max.ms": "500",
            "config.providers": "env,file",
            "config.providers.env.class": f"{PROVIDERS}.EnvVarConfigProvider",
            "config.providers.env.param.allowlist.pattern": "SCORESTREAM_CDC_.*",
            "config.providers.file.class": f"{PROVIDERS}.FileConfigProvider",
            "config.providers.file.param.allowed.paths": str(secrets.parent),
        }
        if self.site.tls is not None:
            properties |= self._secured(self.site.tls)
        write_atomically(self.data / "connect.properties", "".join(f"{k}={v}\n" for k, v in properties.items()))

    def command(self) -> tuple[list[str], dict[str, str]]:
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        config = str(self.data / "connect.properties")
        login = (f"-Djava.security.auth.login.config={self.data / 'jaas.conf'}",) if self.site.tls else ()
        program = jvm_command(main, config, heap_mb=self.heap_mb, folder=self.data, options=login)
        return program, dict(os.environ) | {
            f"SCORESTREAM_CDC_{name.upper()}": value for name, value in self.cdc.items()
        }

    @property
    def url(self) -> str:
        return f"{self.site.scheme}://127.0.0.1:{self.port}"

    def _secured(self, tls: Tls) -> dict[str, str]:
        """Log in to the brokers by password, and serve with TLS whom a file names."""
        passwords = self.site.passwords
        users, jaas = self.data / "users.properties", self.data / "jaas.conf"
        module = "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule"
        write_atomically(users, f"{REST_USER}={passwords[REST_USER]}\n")
        write_atomically(jaas, f'KafkaConnect {{ {module} required file="{users}"; }};\n')
        clients = ("", "producer.", "consumer.", "admin.")
        return {
            **{
                name: value
                for prefix in clients
                for name, value in security.of_client(tls, security.CONNECT, passwords, prefix=prefix).items()
            },
            **{f"listeners.https.{name}": value for name, value in security.stores(tls, passwords).items()},
            "rest.extension.classes": "org.apache.kafka.connect.rest.basic.auth.extension."
            "BasicAuthSecurityRestExtension",
        }

    def probe(self) -> None:
        request = urllib.request.Request(self.url + "/connectors")
        context = None
        if self.site.tls is not None:
            context = self.site.tls.context()
            login = base64.b64encode(f"{REST_USER}:{self.site.passwords[REST_USER]}".encode()).decode()
            request.add_header("Authorization", f"Basic {login}")
        try:
            urllib.request.urlopen(request, timeout=3, context=context).close()
        except (OSError, urllib.error.URLError) as error:
            raise NotReady(str(error)) from error
