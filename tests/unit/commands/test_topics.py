"""scorestream topics: exit codes."""

from __future__ import annotations

import json
import shlex

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


def test_permissions_are_shown_as_commands_that_a_shell_takes(run):
    status, out, _ = run("topics", "acls", "--user", "some one", "--for", "worker")
    assert status == 0
    for line in out.splitlines():
        words = shlex.split(line)
        assert words[0] == "kafka-acls.sh"
        assert "User:some one" in words


def test_permissions_need_a_user(run):
    status, _, said = run("topics", "acls")
    assert (status, "--user" in said) == (2, True)
