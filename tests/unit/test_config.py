"""config: all faults at once, secrets never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.config import load
from stream.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("SCORESTREAM_"):
            monkeypatch.delenv(name)


def test_every_fault_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORESTREAM_KAFKA_PARTITIONS", "many")
    monkeypatch.setenv("SCORESTREAM_CLICKHOUSE_SHARDS", "ftp://x")
    monkeypatch.setenv("SCORESTREAM_KAFKA_GRUOP", "x")
    monkeypatch.setenv("SCORESTREAM_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    with pytest.raises(ConfigError) as caught:
        load()
    text = str(caught.value)
    for part in ("SCORESTREAM_KAFKA_PARTITIONS", "SHARDS", "did you mean SCORESTREAM_KAFKA_GROUP"):
        assert part in text


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('version_epoch = 3\n[kafka]\ngroup = "of-file"\ntopic_prefix = "p"\n', "utf-8")
    monkeypatch.setenv("SCORESTREAM_CONFIG", str(file))
    monkeypatch.setenv("SCORESTREAM_KAFKA_GROUP", "of-environment")
    settings = load()
    assert (settings.version_epoch, settings.kafka.group, settings.kafka.topic_prefix) == (3, "of-environment", "p")
    assert settings.topics.of("scores") == "p.app.scores"


def test_secrets_come_from_files_and_are_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hush\n", "utf-8")
    monkeypatch.setenv("SCORESTREAM_POSTGRES_PASSWORD_FILE", str(secret))
    monkeypatch.setenv("SCORESTREAM_CLICKHOUSE_PASSWORD", "hush too")
    settings = load()
    assert settings.postgres.password is not None
    assert settings.postgres.password.get_secret_value() == "hush"
    assert "hush" not in repr(settings)
    assert "hush" not in str(settings.model_dump())


def test_a_secret_file_that_is_missing_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORESTREAM_CLICKHOUSE_PASSWORD_FILE", "no/such/file")
    with pytest.raises(ConfigError, match="SCORESTREAM_CLICKHOUSE_PASSWORD_FILE"):
        load()


def test_the_variables_that_kubernetes_sets_for_services_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a namespace with the Services scorestream-monitor and scorestream
    for service in ("SCORESTREAM_MONITOR", "SCORESTREAM"):
        for name, value in {
            "SERVICE_HOST": "10.0.0.1",
            "SERVICE_PORT": "6067",
            "SERVICE_PORT_HTTP": "6067",
            "PORT": "tcp://10.0.0.1:6067",
            "PORT_6067_TCP": "tcp://10.0.0.1:6067",
            "PORT_6067_TCP_PROTO": "tcp",
            "PORT_6067_TCP_PORT": "6067",
            "PORT_6067_TCP_ADDR": "10.0.0.1",
        }.items():
            monkeypatch.setenv(f"{service}_{name}", value)
    # then the settings are the defaults, and a port that an operator sets is still one
    assert load().monitor.port == 6067
    monkeypatch.setenv("SCORESTREAM_MONITOR_PORT", "7000")
    assert load().monitor.port == 7000
    # and a misspelt setting is still a fault
    monkeypatch.setenv("SCORESTREAM_MONITOR_PROT", "7000")
    with pytest.raises(ConfigError, match="did you mean SCORESTREAM_MONITOR_PORT"):
        load()


@pytest.mark.parametrize(
    ("mechanism", "says"),
    [
        ("GSSAPI", "built without Kerberos"),
        ("AWS_MSK_IAM", "MSK takes"),
        (
            "OAUTHBEARER",
            "sasl_oauthbearer_token_endpoint_url, sasl_oauthbearer_client_id, sasl_oauthbearer_client_secret",
        ),
        ("PLAIN", "sasl_username and sasl_password"),
    ],
)
def test_a_login_at_kafka_that_cannot_work_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, mechanism: str, says: str
) -> None:
    monkeypatch.setenv("SCORESTREAM_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("SCORESTREAM_KAFKA_SASL_MECHANISM", mechanism)
    with pytest.raises(ConfigError, match=says):
        load()


def test_the_secret_of_a_token_client_may_come_from_a_file_and_is_hidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush\n", "utf-8")
    monkeypatch.setenv("SCORESTREAM_KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET_FILE", str(secret))
    settings = load()
    assert settings.kafka.sasl_oauthbearer_client_secret is not None
    assert settings.kafka.sasl_oauthbearer_client_secret.get_secret_value() == "hush"
    assert "hush" not in repr(settings)
