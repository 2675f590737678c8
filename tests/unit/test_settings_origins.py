"""Where each setting came from, and that no secret is shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stream.config import load
from stream.errors import ConfigError
from stream.settings_origins import DEFAULT, Effective, effective, without_secrets

pytestmark = pytest.mark.usefixtures("plain_environment")


def found() -> dict[str, Effective]:
    return {each.variable.removeprefix("SCORESTREAM_"): each for each in effective(load(), os.environ)}


def test_a_setting_comes_from_the_environment_a_file_or_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # given a file, a variable that wins over it, and a secret in a file of its own
    file, secret = tmp_path / "settings.toml", tmp_path / "password"
    file.write_text('version_epoch = 3\n[kafka]\ngroup = "of-file"\ntopic_prefix = "p"\n', "utf-8")
    secret.write_text("hush", "utf-8")
    monkeypatch.setenv("SCORESTREAM_CONFIG", str(file))
    monkeypatch.setenv("SCORESTREAM_KAFKA_GROUP", "of-environment")
    monkeypatch.setenv("SCORESTREAM_POSTGRES_PASSWORD_FILE", str(secret))
    # when the settings are shown
    shown = found()
    # then each names its source
    origins = {name: (each.value, each.origin) for name, each in shown.items()}
    assert origins["KAFKA_GROUP"] == ("of-environment", "environment")
    assert origins["KAFKA_TOPIC_PREFIX"] == ("p", str(file))
    assert origins["VERSION_EPOCH"] == (3, str(file))
    assert origins["POSTGRES_PASSWORD"] == ("hidden", str(secret))
    assert origins["KAFKA_PARTITIONS"] == (16, DEFAULT)
    assert shown["KAFKA_GROUP"].default == "scorestream-live"


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "CLICKHOUSE_PASSWORD": "hush-1",
        "CONNECT_PASSWORD": "hush-2",
        "POSTGRES_DSN": "postgresql://reader:hush-3@pg.example/app?sslpassword=hush-4",
        "BACKFILL_DSN": "host=pg.example user=cdc password='hush-5 x' dbname=app",
        "CONNECT_URL": "http://admin:hush-6@connect.example:8083",
        "MONITOR_PROCESSES": "http://a:hush-7@w1:6066,http://w2:6066",
    }.items():
        monkeypatch.setenv(f"SCORESTREAM_{name}", value)
    shown = found()
    assert "hush" not in str(shown)
    assert shown["MONITOR_PROCESSES"].value == ["http://a:hidden@w1:6066", "http://w2:6066"]
    assert shown["POSTGRES_PASSWORD"].value is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:p@ss@h/d", "postgresql://u:hidden@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("host=h PASSWORD = p user=u", "host=h PASSWORD = hidden user=u"),
        ("http://h:8083/x", "http://h:8083/x"),
    ],
)
def test_passwords_leave_urls_and_dsns(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_a_name_that_a_file_misspells_is_a_fault_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('log_levl = "debug"\n[kafak]\ngroup = "x"\n[connect]\nurll = "x"\n', "utf-8")
    monkeypatch.setenv("SCORESTREAM_CONFIG", str(file))
    with pytest.raises(ConfigError) as caught:
        load()
    text = str(caught.value)
    for part in ("kafak: no such section or setting; did you mean kafka?", "did you mean log_level?"):
        assert part in text
    assert "SCORESTREAM_CONNECT_URLL: no such setting; did you mean SCORESTREAM_CONNECT_URL?" in text
