"""scorestream topics: exit codes."""

from __future__ import annotations

import json

import pytest

from stream.kafka import topics as kafka_admin
from tests.unit.commands.answers import found


@pytest.mark.parametrize(
    ("verb", "states", "code"),
    [
        ("list", ["present"], 0),
        ("list", ["present", "missing"], 3),
        ("list", ["present", "differs"], 3),
        ("apply", ["created"], 0),
        ("apply", ["present", "differs"], 3),
    ],
)
def test_topics_exit_code_says_whether_all_is_well(run, monkeypatch, verb, states, code):
    answer = found(states[0], last=states[-1])
    monkeypatch.setattr(kafka_admin, "inspect", lambda _: answer)
    monkeypatch.setattr(kafka_admin, "ensure_topics", lambda _: answer)

    status, out, _ = run("topics", verb, "--json")

    assert status == code
    assert [entry["state"] for entry in json.loads(out)][-1] == states[-1]
