"""Every command that changes something leaves records; brokers that are away do not stop it."""

from __future__ import annotations

import getpass
import socket
from typing import Any

import click
import pytest

from stream import cli
from stream.clickhouse.schema import apply as schema_apply
from stream.clickhouse.shards import Shards
from stream.commands import audit_trail
from stream.connect.rest import Connect
from stream.errors import ClickHouseUnavailable, KafkaUnavailable, UsageError
from stream.kafka.audit import Record

# Commands that change nothing: no state of Postgres, Kafka, Connect or ClickHouse that another command would meet.
READS = {
    "audit",
    "backfill status",
    "completion",
    "config",
    "connectors status",
    "dead-letters list",
    "dead-letters show",
    "doctor",
    "explain",
    "fleet",
    "lag",
    "monitor",
    "replay list",
    "replay member",  # a process of `replay start`, which leaves the record
    "replay status",
    "schema status",
    "status",
    "topics acls",
    "topics list",
    "worker",  # the service itself; its log says when it started
}


def paths(command: click.Command, path: str) -> list[str]:
    if isinstance(command, click.Group):
        return [each for name, verb in command.commands.items() for each in paths(verb, f"{path} {name}")]
    return [path]


def all_paths() -> set[str]:
    root = click.Context(cli.cli)
    return {path for name in cli.COMMANDS for path in paths(cli.cli.get_command(root, name), name)}


def test_every_command_leaves_records_or_is_known_to_change_nothing() -> None:
    assert all_paths() - {*audit_trail.CHANGES} - READS == set()
    assert audit_trail.CHANGES - all_paths() == set()
    assert not audit_trail.CHANGES & READS


@pytest.fixture
def records(run: Any, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """What was written."""
    kept: list[Record] = []
    monkeypatch.setattr(audit_trail, "append", lambda _app, record: kept.append(record))
    return kept


def apply_ends_with(monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None) -> None:
    def apply(_shards: Shards) -> list[tuple[int, int]]:
        if error is not None:
            raise error
        return [(0, 5)]

    monkeypatch.setattr(schema_apply, "apply", apply)


def test_a_command_leaves_a_record_when_it_begins_and_when_it_ends(
    run: Any, records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_ends_with(monkeypatch)
    code, _, err = run("schema", "apply", "--database", "green")
    began, ended = records
    assert (code, err) == (0, "")
    assert (began.outcome, ended.outcome, ended.exit_code) == ("started", "succeeded", 0)
    assert began.run == ended.run
    assert began.command == "schema apply"
    assert began.options == {"database": "green"}
    assert began.who == f"{getpass.getuser()}@{socket.gethostname()}"
    assert not began.dry_run


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        (ClickHouseUnavailable("shard 0 is away\nlong story"), "failed", 1),
        (UsageError("no such thing"), "refused", 2),
        (KeyboardInterrupt(), "interrupted", 130),
        (click.exceptions.Exit(3), "succeeded", 3),
        (click.exceptions.Exit(1), "failed", 1),
    ],
)
def test_the_outcome_is_that_of_the_command(
    run: Any, records: list[Record], monkeypatch: pytest.MonkeyPatch, error: BaseException, outcome: str, code: int
) -> None:
    apply_ends_with(monkeypatch, error)
    assert run("schema", "apply")[0] == code
    assert (records[-1].outcome, records[-1].exit_code) == (outcome, code)
    assert "\n" not in records[-1].error


def test_an_error_that_nobody_expected_leaves_its_name_and_goes_on(
    records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_ends_with(monkeypatch, ZeroDivisionError("a value"))
    with pytest.raises(ZeroDivisionError):
        cli.run(["schema", "apply"])
    assert (records[-1].outcome, records[-1].error) == ("failed", "ZeroDivisionError")


@pytest.mark.parametrize("words", [["schema", "apply", "--dry-run"], ["connectors", "pause", "--dry-run"]])
def test_a_dry_run_is_one(run: Any, records: list[Record], monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setattr(Connect, "status", lambda _self, _name: object())
    run(*words)
    assert [record.dry_run for record in records] == [True, True]


def test_no_secret_is_kept(run: Any, records: list[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    apply_ends_with(monkeypatch)
    run("recover", "--dry-run", "--dsn", "postgresql://cdc:hush@127.0.0.1:1/app")
    assert records[0].options["dsn"] == "postgresql://cdc:hidden@127.0.0.1:1/app"
    assert "hush" not in str(records)


def test_many_values_of_an_option_are_counted(run: Any, records: list[Record]) -> None:
    run("reindex", *[word for number in range(30) for word in ("--id", f"x{number}")])
    assert records[0].options["id"][-1] == "and 10 more"
    assert records[-1].outcome == "refused"


def test_a_service_account_is_named_by_the_setting(
    run: Any, records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_ends_with(monkeypatch)
    monkeypatch.setenv("SCORESTREAM_AUDIT_USER", "system:serviceaccount:data:scorestream")
    run("schema", "apply")
    assert records[0].who == "system:serviceaccount:data:scorestream"


def test_reading_leaves_no_record(run: Any, records: list[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_apply, "status", lambda _shards: [])
    assert run("schema", "status")[0] == 0
    assert run("config")[0] == 0
    assert records == []


def test_brokers_that_are_away_cost_a_warning_and_do_not_stop_the_command(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_app: Any, _record: Record) -> None:
        raise KafkaUnavailable("Kafka at k:9092: no answer")

    apply_ends_with(monkeypatch)
    monkeypatch.setattr(audit_trail, "append", away)
    code, out, err = run("schema", "apply")
    assert (code, out) == (0, "shard 0 http://127.0.0.1:8123: 5 statements run\n")
    assert err == "warning: no audit record was written: Kafka at k:9092: no answer\n"
