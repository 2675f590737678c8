"""The Faust app without a broker: the way to the brokers, one list prepared while another is indexed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from faust.auth import SASLCredentials, SSLCredentials
from pydantic import SecretStr

from stream.config import BatchSettings, KafkaSettings, Settings
from stream.live.app import LiveApp, faust_broker_options
from stream.live.record_batch import RecordBatch
from tests.unit.live.batches import batch_of
from tests.unit.live.test_gather import Stream


def test_hosts_become_urls() -> None:
    options = faust_broker_options(KafkaSettings(bootstrap_servers="a:1, b:2"))
    assert options == {
        "broker_consumer": ["batches://a:1", "batches://b:2"],
        "broker_producer": ["kafka://a:1", "kafka://b:2"],
    }


def test_tls_and_sasl() -> None:
    # given TLS alone
    credentials = faust_broker_options(KafkaSettings(security_protocol="SSL"))["broker_credentials"]
    assert isinstance(credentials, SSLCredentials)
    assert credentials.context.verify_mode == ssl.CERT_REQUIRED
    # and SASL with and without TLS
    for protocol in ("SASL_SSL", "SASL_PLAINTEXT"):
        settings = KafkaSettings(
            security_protocol=protocol,
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username="worker",
            sasl_password=SecretStr("secret"),
        )
        credentials = faust_broker_options(settings)["broker_credentials"]
        assert isinstance(credentials, SASLCredentials)
        assert (credentials.protocol.value, credentials.mechanism.value) == (protocol, "SCRAM-SHA-512")
        assert (credentials.username, credentials.password) == ("worker", "secret")


def test_a_full_list_is_prepared_while_the_one_before_is_indexed_and_acknowledged_in_order() -> None:
    async def run() -> list[str]:
        told: list[str] = []
        first_may_end = asyncio.Event()

        async def prepare(batches: Sequence[RecordBatch]) -> int:
            told.append(f"prepare {len(batches)}")
            first_may_end.set()
            return len(batches)

        async def index(batches: Sequence[RecordBatch], prepared: int | None) -> None:
            told.append(f"index {len(batches)} {prepared}")
            await first_may_end.wait()  # which never comes unless the next list is prepared meanwhile
            told.append(f"indexed {len(batches)}")

        agents: list[Any] = []
        app = SimpleNamespace(
            agent=lambda *_, **__: agents.append,
            topic=lambda *_, **__: None,
            on_partitions_assigned=SimpleNamespace(connect=lambda _: None),
        )
        live = LiveApp(app, Settings(batch=BatchSettings(max_messages=10)))
        live.add_agent("scores", index, prepare=prepare)
        stream = Stream()
        stream.put(batch_of(10, age_s=1), batch_of(5, age_s=1), batch_of(5, age_s=1))
        stream.close()
        await asyncio.wait_for(agents[0](stream), 10)
        assert [len(batch) for batch in stream.acked] == [10, 5, 5]
        return told

    assert asyncio.run(run()) == ["index 1 None", "prepare 2", "indexed 1", "index 2 2", "indexed 2"]
