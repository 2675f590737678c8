"""Fixtures of the unit tests: an environment without settings, and command lines in this process."""

from __future__ import annotations

import os

import pytest

from stream import cli, logs
from stream.commands import audit_trail


@pytest.fixture
def plain_environment(monkeypatch):
    """No setting in the environment, logging left alone, and no audit trail in Kafka."""
    for name in [name for name in os.environ if name.startswith("SCORESTREAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(logs, "configure", lambda _level, _form: None)
    monkeypatch.setattr(audit_trail, "append", lambda _app, _record: None)


@pytest.fixture
def run(capsys, plain_environment):
    """Run a command line -> (exit code, stdout, stderr)."""

    def call(*args):
        code = cli.run(list(args))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
