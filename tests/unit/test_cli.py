"""The command line: help, errors, exit codes; each command against stand-ins for the outside systems."""

import json
import os
import subprocess
import sys

import pytest

from stream import cli, logs
from stream.clickhouse.schema import apply as schema_apply
from stream.commands import connectors
from stream.config import Settings
from stream.connect import connector
from stream.connect.rest import Fault, Status, Task
from stream.errors import ConnectError, KafkaUnavailable
from stream.kafka import topics as kafka_admin
from stream.kafka.topics import Found, wanted


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("SCORESTREAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(logs, "configure", lambda _level, _form: None)


@pytest.fixture
def run(capsys):
    """Run a command line -> (exit code, stdout, stderr)."""

    def call(*args):
        code = cli.run(list(args))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


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


def found(state="present", **changed):
    topics = wanted(Settings())
    return [
        Found(topic, changed.get("last", state) if topic is topics[-1] else state, topic.partitions, ("x 1, not 2",))
        for topic in topics
    ]


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


def test_the_wanted_topics_follow_the_settings():
    settings = Settings(
        kafka={"topic_prefix": "p", "partitions": 3, "min_compaction_lag_s": 5, "dead_letter_topic": "dl"}
    )
    topics = {topic.name: topic for topic in wanted(settings)}
    for table in ("chats", "scorecards", "scores"):
        assert topics[f"p.app.{table}"].partitions == 3
        assert topics[f"p.app.{table}"].options["cleanup.policy"] == "compact"
        assert topics[f"p.app.{table}"].options["min.compaction.lag.ms"] == "5000"
    assert topics["dl"].options["retention.ms"] == "-1"
    assert connector.config(settings)["notification.sink.topic.name"] in topics
    assert len(topics) == 8


# --- schema


def test_schema_dry_run_prints_statements_that_a_client_can_run(run):
    code, out, _ = run("schema", "apply", "--dry-run", "--database", "shadow")
    assert code == 0
    assert [part.strip() for part in out.split(";\n") if part.strip()] == schema_apply.statements("shadow")


def test_schema_status_tells_the_differences(run, monkeypatch):
    monkeypatch.setattr(
        schema_apply, "status", lambda _settings, *, database: [schema_apply.Difference(1, "score.x", "extra (Int8)")]
    )
    code, out, _ = run("schema", "status", "--json")
    assert code == 3
    assert json.loads(out)["differences"] == [{"shard": 1, "name": "score.x", "fault": "extra (Int8)"}]
    code, out, _ = run("schema", "status")
    assert code == 3
    assert "score.x" in out


# --- connectors

RUNNING = Status("scorestream", "RUNNING", "w:1", (Task(0, "RUNNING", "w:1"),))
FAILED = Status("scorestream", "RUNNING", "w:1", (Task(0, "FAILED", "w:1", "a.B: no\nCaused by: c.D: slot is active"),))


class FakeConnect:
    """Stands in for stream.connect.Connect; what was done to it is in `calls`."""

    def __init__(self):
        self.faults, self.held, self.state, self.calls = [], None, RUNNING, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def validate(self, config, *, name):
        return self.faults

    def config(self, name):
        return self.held

    def status(self, name):
        return self.state

    def wait(self, name, **options):
        return self.state

    def __getattr__(self, verb):
        return lambda *args, **options: self.calls.append((verb, *args[1:], *options.values()))


@pytest.fixture
def connect(monkeypatch):
    fake = FakeConnect()
    monkeypatch.setattr(connectors, "Connect", lambda _settings: fake)
    monkeypatch.setattr(kafka_admin, "ensure_topics", lambda _settings: found("created"))
    monkeypatch.setattr(connectors, "_postgres_is_ready", lambda _settings: True)
    return fake


def test_apply_stops_where_postgres_is_not_ready(run, connect, monkeypatch):
    monkeypatch.setattr(connectors, "_postgres_is_ready", lambda _settings: False)
    code, _, _ = run("connectors", "apply")
    assert code == 2
    assert connect.calls == []


def test_apply_creates_and_a_second_apply_does_nothing(run, connect):
    code, out, _ = run("connectors", "apply")
    assert code == 0
    ((verb, config),) = connect.calls
    assert verb == "put"
    assert "created" in out

    connect.calls.clear()
    connect.held = config | {"name": "scorestream"}
    code, out, _ = run("connectors", "apply")
    assert (code, connect.calls) == (0, [])
    assert "left as it is" in out


def test_apply_tells_what_it_changes(run, connect):
    connect.held = connector.config(Settings()) | {"name": "scorestream", "poll.interval.ms": "50", "old.key": "1"}
    code, out, _ = run("connectors", "apply", "--no-wait")
    assert code == 0
    assert "poll.interval.ms: 50 -> 60" in out
    assert "old.key: 1 -> not set" in out


def test_apply_reports_connects_complaints_field_by_field_without_secrets(run, connect):
    connect.faults = [
        Fault("snapshot.mode", "sometimes", ("must be one of ..", "and not that")),
        Fault("database.password", "hunter2", ("is wrong",)),
    ]
    code, out, err = run("connectors", "apply")
    assert code == 2
    assert out == ""
    assert err.splitlines()[1:] == [
        "  snapshot.mode = sometimes: must be one of ..",
        "  snapshot.mode = sometimes: and not that",
        "  database.password = (hidden): is wrong",
    ]
    assert connect.calls == []


def test_apply_dry_run_changes_nothing_and_prints_the_config(run, connect, monkeypatch):
    monkeypatch.setattr(kafka_admin, "ensure_topics", lambda _settings: pytest.fail("made topics"))
    code, out, err = run("connectors", "apply", "--dry-run")
    assert (code, connect.calls) == (0, [])
    assert dict(line.split("=", 1) for line in out.splitlines()) == connector.config(Settings())
    assert "would be created" in err


def test_apply_refuses_topics_with_another_number_of_partitions(run, connect, monkeypatch):
    topic = wanted(Settings())[0]
    monkeypatch.setattr(kafka_admin, "ensure_topics", lambda _: [Found(topic, "differs", 8, ("partitions 8, not 16",))])
    code, _, err = run("connectors", "apply")
    assert (code, connect.calls) == (2, [])
    assert "has 8 partitions, not 16" in err


@pytest.mark.parametrize(("state", "code"), [(RUNNING, 0), (FAILED, 1), (None, 1)])
def test_status_exit_code_says_whether_it_runs(run, connect, state, code):
    connect.state = state
    status, out, _ = run("connectors", "status", "--json")
    assert status == code
    assert json.loads(out)["exists"] is (state is not None)
    status, out, _ = run("connectors", "status")
    assert status == code
    if state is FAILED:
        assert "c.D: slot is active" in out


def test_restart_touches_only_what_failed(run, connect):
    assert run("connectors", "restart")[0] == 0
    assert connect.calls == []
    connect.state = FAILED
    assert run("connectors", "restart", "--dry-run")[0] == 0
    assert connect.calls == []
    assert run("connectors", "restart")[0] == 0
    assert connect.calls == [("restart", True)]


@pytest.mark.parametrize("verb", ["pause", "resume", "stop"])
def test_pause_resume_and_stop(run, connect, verb):
    assert run("connectors", verb, "--dry-run")[0] == 0
    assert connect.calls == []
    assert run("connectors", verb)[0] == 0
    assert connect.calls == [("change", verb)]
    connect.state = None
    code, _, err = run("connectors", verb)
    assert code == 2
    assert "connectors apply" in err


def test_delete_says_that_the_slot_stays(run, connect):
    code, out, _ = run("connectors", "delete", "--reset-offsets")
    assert code == 0
    assert connect.calls == [("change", "stop"), ("reset_offsets",), ("delete",)]
    assert "pg_drop_replication_slot('scorestream')" in out
    connect.state = None
    connect.calls.clear()
    assert run("connectors", "delete")[0] == 0
    assert connect.calls == []
