"""The settings of scorestream for one stack: the content of `.devstack/env`."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from devstack.parts import postgres, security
from devstack.parts.base import numbered
from devstack.parts.connect import REST_USER
from devstack.parts.postgres import CDC_ROLE, READER_ROLE, SUPERUSER

if TYPE_CHECKING:
    from devstack.parts.base import Site
    from devstack.tls import Tls

CLICKHOUSE_USER = "scorestream"
# `cluster` opens nothing: the id of the Kafka cluster is made from it.
PASSWORDS = (SUPERUSER, CDC_ROLE, READER_ROLE, CLICKHOUSE_USER, "cluster")
SECURED = (*security.USERS, security.STORES, REST_USER)  # of a secured stack, beside these


def variables(site: Site, server: postgres.Postgres) -> dict[str, str]:
    """SCORESTREAM_* as in stream/config.py, and DEVSTACK_* for values that are not settings of scorestream.

    It has no DEVSTACK_<PART>_PORT: a user fixes a port by that. A shell that has sourced one stack's `env` would give
    its ports to the next.
    """
    ports = site.ports
    shards = ",".join(f"{site.scheme}://127.0.0.1:{ports[f'clickhouse-{shard}']}" for shard in range(site.shards))
    workers = ",".join(f"{site.scheme}://127.0.0.1:{ports[name]}" for name in numbered("connect", site.connect_workers))
    return {
        "SCORESTREAM_POSTGRES_DSN": server.url(READER_ROLE, password=False),
        "SCORESTREAM_POSTGRES_PASSWORD": site.passwords[READER_ROLE],
        "SCORESTREAM_BACKFILL_DSN": server.url(CDC_ROLE, password=False),  # the reader may not write signals
        "SCORESTREAM_BACKFILL_PASSWORD": site.passwords[CDC_ROLE],
        "SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS": site.bootstrap_servers,
        "SCORESTREAM_KAFKA_PARTITIONS": os.environ.get("SCORESTREAM_KAFKA_PARTITIONS", "16"),
        "SCORESTREAM_CLICKHOUSE_SHARDS": shards,
        "SCORESTREAM_CLICKHOUSE_USER": CLICKHOUSE_USER,
        "SCORESTREAM_CLICKHOUSE_PASSWORD": site.passwords[CLICKHOUSE_USER],
        "SCORESTREAM_CONNECT_URL": workers,
        "SCORESTREAM_WEB_PORT": str(ports["web"]),
        "SCORESTREAM_STATE_DIR": str(site.root / "state"),
        "DEVSTACK_DIR": str(site.root),
        "DEVSTACK_PIDS_DIR": str(site.root / "run"),
        "DEVSTACK_LOGS_DIR": str(site.root / "log"),
        "DEVSTACK_PSQL": str(postgres.bin_dir() / "psql"),
        "DEVSTACK_POSTGRES_URL": server.url(),  # the superuser: writes the source tables in the demo and the tests
        "DEVSTACK_CDC_FILE": str(site.root / "connect" / "secrets" / "cdc.properties"),
        **({} if site.tls is None else _secured(site, site.tls)),
    }


def _secured(site: Site, tls: Tls) -> dict[str, str]:
    certified = ",".join(f"127.0.0.1:{site.ports[name]}" for name in numbered("kafka-mtls", site.brokers))
    return {
        "SCORESTREAM_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "SCORESTREAM_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "SCORESTREAM_KAFKA_SASL_USERNAME": security.CLIENT,
        "SCORESTREAM_KAFKA_SASL_PASSWORD": site.passwords[security.CLIENT],
        "SCORESTREAM_KAFKA_SSL_CA_LOCATION": str(tls.ca),
        "SCORESTREAM_CLICKHOUSE_CA_CERT": str(tls.ca),
        "SCORESTREAM_CONNECT_CA_CERT": str(tls.ca),
        "SCORESTREAM_CONNECT_USERNAME": REST_USER,
        "SCORESTREAM_CONNECT_PASSWORD": site.passwords[REST_USER],
        "DEVSTACK_TLS_DIR": str(tls.folder),
        "DEVSTACK_KAFKA_MTLS": certified,  # brokers' addresses for clients that log in by certificate
        "DEVSTACK_KAFKA_CONNECT_USER": security.CONNECT,
    }


def as_shell(values: dict[str, str]) -> str:
    """Lines `export NAME=value`, quoted for a shell."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())
