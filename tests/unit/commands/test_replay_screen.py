"""What `replay status` and its kin print."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream.commands.console import App
from stream.commands.identity import Identity
from stream.commands.replay_screen import say, show, show_table
from tests.unit.commands.test_identity import FACTS

OWN = Identity("eu-1", "A", "pg.app", "eu")
LINE = "  installation eu-1: Kafka cluster A, source pg.app, ClickHouse database eu\n"
PROCESS = {"host": "h", "pid": 7, "lanes": [0, 2], "per_s": 1_200.0, "rss_mb": 210.0}


def shown(capsys: pytest.CaptureFixture[str], **facts: Any) -> str:
    app = App()
    app.choose("eu-1")
    show(FACTS | {"installation": OWN.as_json()} | facts, app, as_json=False)
    return capsys.readouterr().out


def test_a_running_replay_names_its_processes_and_whose_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, state="running", processes=[PROCESS])
    assert out.startswith("replay march: running; ")
    assert "  h pid 7: partitions 0,2, 1,200/s, 210 MB\n" in out
    assert out.endswith(LINE)


def test_a_stopped_one_names_the_command_that_goes_on_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, error="shard 1 does not answer")
    assert "  error: shard 1 does not answer\n" in out
    assert "go on with: scorestream replay resume --installation eu-1 march\n" in out


def test_json_has_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    say("march", "paused", of=OWN, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said == {"name": "march", "state": "paused", "installation": OWN.as_json()}
    say("march", "paused", of=OWN, as_json=False)
    assert capsys.readouterr().out == "replay march: paused\n" + LINE


def test_the_table_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([FACTS, FACTS | {"name": "april", "into": "green"}])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "name",
        "state",
        "pass",
        "done",
        "total",
        "messages/s",
        "dead",
        "letters",
        "processes",
        "into",
        "created",
    ]
    assert lines[2].split() == ["april", "stopped", "main", "1", "2", "0", "0", "0", "green"]
