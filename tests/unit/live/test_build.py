"""The way to the brokers: addresses and credentials for Faust."""

from __future__ import annotations

import ssl
from pathlib import Path

from confluent_kafka import Producer
from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials
from pydantic import SecretStr

from stream.kafka.client import client_options
from stream.live.build import build_app, faust_broker_options
from stream.live.oauth import OidcTokens
from stream.settings_sections import BatchSettings, KafkaSettings, RetrySettings


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


def test_tokens() -> None:
    for protocol in ("SASL_SSL", "SASL_PLAINTEXT"):
        settings = KafkaSettings.model_validate(
            {
                "security_protocol": protocol,
                "sasl_mechanism": "OAUTHBEARER",
                "sasl_oauthbearer_token_endpoint_url": "https://login.example/token",
                "sasl_oauthbearer_client_id": "scorestream",
                "sasl_oauthbearer_client_secret": "secret",
            }
        )
        credentials = faust_broker_options(settings)["broker_credentials"]
        assert isinstance(credentials, OAuthCredentials)
        assert (credentials.protocol.value, credentials.mechanism.value) == (protocol, "OAUTHBEARER")
        assert isinstance(credentials.oauth_cb, OidcTokens)
        # and librdkafka takes the same settings, and asks for tokens itself
        options = client_options(settings)
        assert options["sasl.oauthbearer.method"] == "oidc"
        Producer(options)
        assert not {"sasl.username", "sasl.password"} & options.keys()


def test_the_app_holds_back_by_the_size_of_its_batches(tmp_path: Path) -> None:
    # given two apps in one process
    apps = []
    for most in (100, 1_000):
        batch = BatchSettings(max_messages=most)
        apps.append(build_app(KafkaSettings(), batch, RetrySettings(), state_dir=tmp_path / str(most)).app)
    # then each has limits and a memory of its own
    assert [app.limits.hold_messages for app in apps] == [200, 2_000]
    assert apps[0].newest is not apps[1].newest
    consumers = [app._new_consumer() for app in apps]
    assert [consumer.limits for consumer in consumers] == [app.limits for app in apps]
    assert [consumer.newest for consumer in consumers] == [app.newest for app in apps]
