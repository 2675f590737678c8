"""The file of the installations: what it gives, and all its faults at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.errors import ConfigError
from stream.installations import Installation, read

FILE = """
[eu-1]
monitor_url = "https://scorestream.eu-1.example/"
cluster = "A"
[eu-1.kafka]
bootstrap_servers = "kafka.eu-1:9092"
[eu-1.clickhouse]
shards = ["https://ch-0.eu-1:8443", "https://ch-1.eu-1:8443"]
password_file = "{secret}"

[us-1.kafka]
bootstrap_servers = "kafka.us-1:9092"
topic_prefix = "us"
[us-1.postgres]
password_env = "US1_PG_PASSWORD"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    secret = tmp_path / "secret"
    secret.write_text("hush\n", "utf-8")
    path = tmp_path / "installations.toml"
    path.write_text(FILE.format(secret=secret), "utf-8")
    return path


def found(file: Path) -> dict[str, Installation]:
    return {each.name: each for each in read(file, {"US1_PG_PASSWORD": "hush too"})}


def test_each_table_is_an_installation_with_its_own_settings(file: Path) -> None:
    eu, us = found(file).values()
    assert (eu.name, eu.monitor, eu.cluster) == ("eu-1", "https://scorestream.eu-1.example", "A")
    assert (us.name, us.monitor, us.cluster) == ("us-1", None, None)
    assert [each.settings.kafka.bootstrap_servers for each in (eu, us)] == ["kafka.eu-1:9092", "kafka.us-1:9092"]
    assert eu.settings.clickhouse.password.get_secret_value() == "hush"
    assert us.settings.postgres.password is not None
    assert us.settings.postgres.password.get_secret_value() == "hush too"
    assert us.settings.topics.of("scores") == "us.app.scores"


def test_nothing_of_this_host_is_taken_for_an_installations(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given an environment of another installation, as on a bastion
    monkeypatch.setenv("SCORESTREAM_KAFKA_GROUP", "of-the-bastion")
    monkeypatch.setenv("SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS", "kafka.bastion:9092")
    # when the file is read
    settings = found(file)["us-1"].settings
    # then it does not count, nor do the processes of this host, and offsets are kept apart
    assert (settings.kafka.group, settings.kafka.bootstrap_servers) == ("scorestream-live", "kafka.us-1:9092")
    assert settings.monitor.processes == []
    assert settings.state_dir.name == "us-1"


def test_every_fault_is_told_with_its_table_and_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "installations.toml"
    path.write_text(
        'eu = 3\n[a.kafak]\ngroup = "x"\n[b.kafka]\ngruop = "x"\n[c.postgres]\npassword_env = "NOT_THERE"\n'
        '[d.clickhouse]\npassword_file = "no/such/file"\n',
        "utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        read(path, {})
    text = str(caught.value)
    for part in (
        "[eu] is no table",
        "[a]: kafak: no such section or setting; did you mean kafka?",
        "SCORESTREAM_KAFKA_GRUOP: no such setting; did you mean SCORESTREAM_KAFKA_GROUP?",
        "[c] postgres.password_env: the variable NOT_THERE is not set",
        "[d] clickhouse.password_file",
    ):
        assert part in text


def test_a_file_that_cannot_be_read_and_one_without_a_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read(tmp_path / "none.toml")
    (tmp_path / "empty.toml").write_text("", "utf-8")
    with pytest.raises(ConfigError, match="names no installation"):
        read(tmp_path / "empty.toml")
