"""scorestream connectors, against a Connect in memory."""

from __future__ import annotations

import json
import signal

import pytest

from stream.commands import connectors, recover
from stream.config import Settings
from stream.connect import connector
from stream.connect.rest import ConnectorStatus, Fault, Task
from stream.errors import ConnectError, PostgresUnavailable
from stream.kafka import topics as kafka_admin
from stream.kafka.topics import Found, wanted
from stream.recover.findings import RecoveryFinding
from stream.wiring import connector_config
from tests.unit.commands.answers import found

RUNNING = ConnectorStatus("scorestream", "RUNNING", "w:1", (Task(0, "RUNNING", "w:1"),))


FAILED = ConnectorStatus(
    "scorestream", "RUNNING", "w:1", (Task(0, "FAILED", "w:1", "a.B: no\nCaused by: c.D: slot is active"),)
)


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
    monkeypatch.setattr(connectors, "cannot_go_on", lambda *_: [])
    monkeypatch.setattr(connectors, "_has_streamed", lambda _: False)
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


def test_apply_goes_on_with_a_connector_that_was_there_before(run, connect, monkeypatch):
    monkeypatch.setattr(connectors, "_has_streamed", lambda _: True)
    connect.state = ConnectorStatus("scorestream", "STOPPED", "w:1", ())  # as Connect shows it just after the resume
    assert run("connectors", "apply")[0] == 0
    assert [call[0] for call in connect.calls] == ["create_stopped", "change"]
    assert connect.calls[1] == ("change", "resume")


def test_apply_tells_what_it_changes(run, connect):
    connect.held = connector_config(Settings()) | {"name": "scorestream", "poll.interval.ms": "50", "old.key": "1"}
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
    told = [
        "error: snapshot.mode = sometimes: must be one of ..: correct snapshot.mode in ",
        "error: snapshot.mode = sometimes: and not that: correct snapshot.mode in ",
        "error: database.password = (hidden): is wrong: ",
    ]
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert [line[: len(start)] for line, start in zip(lines, told, strict=True)] == told
    assert "hunter2" not in err
    assert connect.calls == []


def test_apply_dry_run_changes_nothing_and_prints_the_config(run, connect, monkeypatch):
    monkeypatch.setattr(kafka_admin, "ensure_topics", lambda _settings: pytest.fail("made topics"))
    code, out, err = run("connectors", "apply", "--dry-run")
    assert (code, connect.calls) == (0, [])
    assert dict(line.split("=", 1) for line in out.splitlines()) == connector_config(Settings())
    assert "would be created" in err


def test_apply_refuses_topics_with_another_number_of_partitions(run, connect, monkeypatch):
    topic = wanted(Settings().kafka, Settings().topics)[0]
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
    assert err.strip().endswith(connector.absent("scorestream"))


def test_delete_says_that_the_slot_stays(run, connect):
    code, out, _ = run("connectors", "delete", "--reset-offsets")
    assert code == 0
    assert connect.calls == [("change", "stop"), ("reset_offsets",), ("delete",)]
    assert "pg_drop_replication_slot('scorestream')" in out
    connect.state = None
    connect.calls.clear()
    assert run("connectors", "delete")[0] == 0
    assert connect.calls == []


@pytest.fixture
def recovered(monkeypatch):
    """The calls of a recovery, for a connector whose slot is gone."""
    calls = []
    lost = RecoveryFinding("slot-missing", "the replication slot does not exist", gap=True)
    monkeypatch.setattr(connectors, "cannot_go_on", lambda *_: [lost])
    monkeypatch.setattr(recover, "run", lambda _app, **options: calls.append(options) or 3)
    return calls


@pytest.mark.parametrize("command", [("resume",), ("apply",), ("apply", "--no-wait")])
def test_a_connector_that_cannot_go_on_is_recovered_with_the_exit_code_of_recover(run, connect, recovered, command):
    connect.held = connector_config(Settings()) | {"name": "scorestream", "poll.interval.ms": "50"}
    code, _, err = run("connectors", *command)
    assert (code, recovered) == (3, [{"dry_run": False, "yes": True}])
    assert "slot-missing: the replication slot does not exist" in err
    assert connect.calls == [], "it would fail for good"


@pytest.mark.parametrize("command", ["resume", "apply"])
def test_without_recovery_the_cause_and_the_way_back_are_named(run, connect, recovered, command):
    connect.held = connector_config(Settings()) | {"name": "scorestream"}
    code, _, err = run("connectors", command, "--no-recover")
    assert (code, recovered, connect.calls) == (1, [], [])
    assert "slot-missing" in err
    assert "scorestream recover" in err


def test_a_dry_run_shows_the_plan(run, connect, recovered):
    assert run("connectors", "resume", "--dry-run")[0] == 3
    assert recovered == [{"dry_run": True, "yes": True}]
    assert connect.calls == []


def test_a_connector_that_is_gone_with_its_slot_is_recovered_and_not_started(run, connect, recovered, monkeypatch):
    monkeypatch.setattr(connectors, "_has_streamed", lambda _: True)
    assert run("connectors", "apply")[0] == 3
    assert [verb for verb, *_ in connect.calls] == ["create_stopped"], "it would fail for good"


def test_a_connector_that_is_gone_with_its_slot_is_not_left_behind_without_recovery(
    run, connect, recovered, monkeypatch
):
    monkeypatch.setattr(connectors, "_has_streamed", lambda _: True)
    assert run("connectors", "apply", "--no-recover")[0] == 1
    assert [verb for verb, *_ in connect.calls] == ["create_stopped", "delete"]


@pytest.mark.parametrize("at", ["wait", "cannot_go_on", "change"])
@pytest.mark.parametrize("error", [ConnectError("no"), KeyboardInterrupt(), signal.SIGTERM])
def test_a_creation_that_does_not_end_is_undone(run, connect, monkeypatch, at, error):
    def fail(*_, **__):
        if error is signal.SIGTERM:
            signal.raise_signal(error)
        raise error

    # given a connector that is gone, and a fault, Ctrl-C or an evicted pod between its creation and its start
    monkeypatch.setattr(connectors, "_has_streamed", lambda _: True)
    monkeypatch.setattr(connectors if at == "cannot_go_on" else connect, at, fail, raising=False)
    # when it is applied
    code, _, err = run("connectors", "apply")
    # then the next run finds none, and creates it again
    assert code != 0
    assert [verb for verb, *_ in connect.calls] == ["create_stopped", "delete"]
    assert "deleted again" in err


@pytest.mark.parametrize("interval", ["60", "50"], ids=["equal", "updated"])
@pytest.mark.parametrize("options", [(), ("--no-wait",)])
def test_apply_does_not_start_a_stopped_connector_and_names_the_way_out(run, connect, monkeypatch, options, interval):
    monkeypatch.setattr(connect, "wait", lambda *_, **__: pytest.fail("waited"), raising=False)
    connect.held = connector_config(Settings()) | {"name": "scorestream", "poll.interval.ms": interval}
    connect.state = ConnectorStatus("scorestream", "STOPPED", "w:1", ())
    code, _, err = run("connectors", "apply", *options)
    assert code == 1
    assert "is STOPPED" in err
    assert "scorestream connectors resume" in err
    assert "change" not in [verb for verb, *_ in connect.calls]


def test_a_new_connector_needs_no_slot(run, connect, recovered):
    assert run("connectors", "apply")[0] == 0
    assert recovered == []
    assert [verb for verb, *_ in connect.calls] == ["put"]


def test_a_connector_is_resumed_while_postgres_is_silent(run, connect, monkeypatch):
    def silent(*_):
        raise PostgresUnavailable("no route to host")

    monkeypatch.setattr(connectors, "cannot_go_on", silent)
    code, _, err = run("connectors", "resume")
    assert (code, connect.calls) == (0, [("change", "resume")])
    assert "warning: the slot was not looked at: no route to host" in err
