"""Replicated tables: the settings that are sent, the turn of an insert, and the way to another replica."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from stream.clickhouse import shards as shards_module
from stream.clickhouse.quorum_turn import in_turn
from stream.clickhouse.replicas import consistency
from stream.clickhouse.shards import Shards, connect
from stream.errors import ClickHouseRefused, ClickHouseUnavailable
from stream.settings_sections import ClickHouseSettings

QUORUM = {"insert_quorum": "auto", "insert_quorum_parallel": "0", "select_sequential_consistency": "1"}
NO_QUORUM = "Code: 289. DB::Exception: Replica is not in quorum (REPLICA_IS_NOT_IN_QUORUM)"
OTHER_INSERT = "Code: 286. DB::Exception: Another quorum insert has been already started."


@pytest.mark.parametrize(
    ("engine", "settings"),
    [
        ("ReplacingMergeTree", {}),
        ("ReplicatedReplacingMergeTree", QUORUM),
        ("SharedReplacingMergeTree", {"select_sequential_consistency": "1"}),
    ],
)
def test_what_is_sent_depends_on_the_engine(engine: str, settings: dict[str, str]) -> None:
    assert consistency(engine) == settings


class Server:
    """A replica: it answers with its name, or fails."""

    def __init__(self, name: str, engine: str = "ReplicatedReplacingMergeTree") -> None:
        self.name = name
        self.engine = engine
        self.error: Exception | None = None
        self.settings: dict[str, str] = {}
        self.statements: list[str] = []
        self.opened = 0

    def query(self, text: str, **_: Any) -> Any:
        if self.error is not None:
            raise self.error
        return SimpleNamespace(result_rows=[(self.engine if "engine" in text else self.name,)])

    def command(self, text: str, **_: Any) -> None:
        self.query(text)
        self.statements.append(text)

    def set_client_setting(self, name: str, value: str) -> None:
        self.settings[name] = value

    def close(self) -> None:
        pass


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Server]:
    found = {name: Server(name) for name in ("a1", "a2", "b1")}

    def get_client(*, host: str, **_: Any) -> Server:
        server = found[host]
        server.opened += 1
        if server.error is not None and not isinstance(server.error, DatabaseError):
            raise server.error
        return server

    monkeypatch.setattr(shards_module.clickhouse_connect, "get_client", get_client)
    return found


SETTINGS = ClickHouseSettings(shards="http://a1:8123|http://a2:8123,http://b1:8123")


def test_every_client_of_replicated_tables_reads_and_writes_by_quorum(servers: dict[str, Server]) -> None:
    servers["b1"].engine = "ReplacingMergeTree"
    connect(SETTINGS, 0)
    connect(SETTINGS, 1)
    assert servers["a1"].settings == QUORUM
    assert servers["b1"].settings == {}


def test_a_shard_is_one_replica_until_it_does_not_answer_and_then_the_next(servers: dict[str, Server]) -> None:
    with Shards(SETTINGS) as shards:
        assert shards.everywhere("SELECT") == [(0, "a1"), (1, "b1")]
        # when the replica dies, the call fails once and is tried again by its caller
        servers["a1"].error = ConnectionRefusedError("[Errno 111] Connection refused")
        with pytest.raises(ClickHouseUnavailable):
            shards.ask(0, "SELECT")
        assert shards.ask(0, "SELECT") == [("a2",)]
        # and the process stays there when the first one is back
        servers["a1"].error = None
        assert shards.ask(0, "SELECT") == [("a2",)]
        opened = servers["a2"].opened
        servers["a2"].error = DatabaseError(NO_QUORUM)
        with pytest.raises(ClickHouseUnavailable):
            shards.ask(0, "SELECT")
        assert shards.ask(0, "SELECT") == [("a1",)]
        assert servers["a2"].opened == opened


def test_a_refusal_or_an_overload_is_no_reason_to_go_elsewhere(servers: dict[str, Server]) -> None:
    with Shards(SETTINGS) as shards:
        shards.connect(0)
        for text, kind in (("Code: 497. DB", ClickHouseRefused), ("Code: 241. DB", ClickHouseUnavailable)):
            servers["a1"].error = DatabaseError(text)
            with pytest.raises(kind):
                shards.ask(0, "SELECT")
            servers["a1"].error = None
            assert shards.ask(0, "SELECT") == [("a1",)]


def test_a_shard_without_any_replica_is_told(servers: dict[str, Server]) -> None:
    for name in ("a1", "a2"):
        servers[name].error = ConnectionRefusedError("[Errno 111] Connection refused")
    with Shards(SETTINGS) as shards, pytest.raises(ClickHouseUnavailable, match="shard 0"):
        shards.ask(0, "SELECT")
    with pytest.raises(ClickHouseUnavailable, match="shard 0"):
        connect(SETTINGS, 0)


def test_a_statement_for_every_replica_leaves_out_the_dead_one(servers: dict[str, Server]) -> None:
    servers["a1"].error = ConnectionRefusedError("[Errno 111] Connection refused")
    with Shards(SETTINGS, database="green") as shards:
        shards.on_replicas(0, "ALTER TABLE {database}.score")
        assert servers["a2"].statements == ["ALTER TABLE green.score"]
        servers["a2"].error = servers["a1"].error
        with pytest.raises(ClickHouseUnavailable):
            shards.on_replicas(0, "ALTER TABLE {database}.score")


def refusal(text: str) -> ClickHouseUnavailable:
    error = ClickHouseUnavailable(text)
    error.__cause__ = DatabaseError(text)
    return error


def test_an_insert_waits_for_the_quorum_insert_of_another_process() -> None:
    answers: list[Any] = [refusal(OTHER_INSERT), refusal(OTHER_INSERT), "7"]

    def insert() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert in_turn(insert, turns_s=(0.0, 0.0, 0.0)) == "7"
    answers[:] = [refusal(OTHER_INSERT)] * 3
    with pytest.raises(ClickHouseUnavailable, match="286"):
        in_turn(insert, turns_s=(0.0, 0.0))
    answers[:] = [refusal(NO_QUORUM)]
    with pytest.raises(ClickHouseUnavailable, match="289"):
        in_turn(insert, turns_s=(0.0, 0.0))


@pytest.mark.parametrize("shards", ["a:1", "http://a|b:2", "http://a|http://u:p@b"])
def test_each_replica_is_a_url_without_credentials(shards: str) -> None:
    with pytest.raises(ValueError, match="shard"):
        ClickHouseSettings(shards=shards)
