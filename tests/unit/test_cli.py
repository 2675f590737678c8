"""The command line: help, errors, exit codes; each command against stand-ins for the outside systems."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stream import cli
from stream.errors import ConnectError, KafkaUnavailable
from stream.kafka import topics as kafka_admin

pytestmark = pytest.mark.usefixtures("plain_environment")


def test_help_lists_every_command_without_importing_any():
    code = (
        "import sys; from stream import cli; status = cli.run(['--help']);"
        "heavy = {'pydantic', 'confluent_kafka', 'clickhouse_connect', 'faust', 'rich', 'urllib3'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in cli.COMMANDS:
        assert f"\n  {name} " in done.stdout


def test_every_command_is_a_module_with_the_summary_that_help_shows():
    for name in cli.COMMANDS:
        command = cli.cli.get_command(None, name)
        assert command is not None
        assert command.help, name


def verbs():
    for name in cli.COMMANDS:
        command = cli.cli.get_command(None, name)
        for verb, leaf in getattr(command, "commands", {name: command}).items():
            yield name, verb, leaf


@pytest.mark.parametrize(
    ("name", "verb", "leaf"), list(verbs()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_verb_has_help_and_every_option_too(name, verb, leaf):
    assert leaf.help
    for parameter in leaf.params:
        if parameter.param_type_name == "option":
            assert parameter.help, f"{name} {verb} {parameter.name}"


def test_the_version(run):
    code, out, _ = run("--version")
    assert code == 0
    assert out.startswith("scorestream ")


def test_an_unknown_command_suggests_near_ones(run):
    code, _, err = run("conectors", "apply")
    assert code == 2
    assert "did you mean connectors" in err


def test_a_wrong_configuration_is_one_error_with_all_faults(run, monkeypatch):
    monkeypatch.setenv("SCORESTREAM_KAFKA_PARTITIONS", "many")
    monkeypatch.setenv("SCORESTREAM_KAFKA_TOPIK_PREFIX", "x")
    code, out, err = run("topics", "list")
    assert code == 2
    assert out == ""
    assert "SCORESTREAM_KAFKA_PARTITIONS" in err
    assert "SCORESTREAM_KAFKA_TOPIK_PREFIX" in err


@pytest.mark.parametrize(
    ("error", "code"), [(KafkaUnavailable("away"), 1), (ConnectError("no"), 1), (KeyboardInterrupt(), 130)]
)
def test_errors_raised_on_purpose_are_one_line(run, monkeypatch, error, code):
    def fail(_settings):
        raise error

    monkeypatch.setattr(kafka_admin, "inspect", fail)
    status, out, err = run("topics", "list")
    assert status == code
    assert out == ""
    assert len(err.strip().splitlines()) == 1


def test_an_error_that_nobody_expected_is_not_hidden(monkeypatch):
    def fail(_settings):
        raise ZeroDivisionError

    monkeypatch.setattr(kafka_admin, "inspect", fail)
    with pytest.raises(ZeroDivisionError):
        cli.run(["topics", "list"])


# --- topics


# --- schema


# --- connectors
