"""What `scorestream config` prints."""

from __future__ import annotations

import json

import pytest


def test_settings_that_are_not_the_default_are_printed_with_their_source(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORESTREAM_KAFKA_GROUP", "mine")
    monkeypatch.setenv("SCORESTREAM_CLICKHOUSE_SHARDS", "http://a:8123,http://b:8123")
    monkeypatch.setenv("SCORESTREAM_CLICKHOUSE_PASSWORD", "hush")
    code, out, err = run("config", "--changed")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["SCORESTREAM_KAFKA_GROUP", "mine", "environment"],
        ["SCORESTREAM_CLICKHOUSE_SHARDS", "http://a:8123,http://b:8123", "environment"],
        ["SCORESTREAM_CLICKHOUSE_PASSWORD", "hidden", "environment"],
    ]


def test_json_has_every_setting_with_its_default(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORESTREAM_WEB_PORT", "7000")
    code, out, _ = run("config", "--json")
    found = {each["variable"]: each for each in json.loads(out)}
    assert code == 0
    assert len(found) > 60
    assert found["SCORESTREAM_WEB_PORT"] == {
        "variable": "SCORESTREAM_WEB_PORT",
        "value": 7000,
        "origin": "environment",
        "default": 6066,
    }


def test_a_misspelt_variable_is_a_fault_with_the_nearest_name(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORESTREAM_KAFKA_GRUOP", "x")
    code, out, err = run("config")
    assert (code, out) == (2, "")
    assert "SCORESTREAM_KAFKA_GRUOP: no such setting; did you mean SCORESTREAM_KAFKA_GROUP?" in err
