"""One store for all shards: clients are kept for the next call, and closed by a call that fails."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from stream.clickhouse.shards import PATIENCE_S, Shards
from stream.errors import ClickHouseRefused, ClickHouseUnavailable
from stream.settings_sections import ClickHouseSettings

SETTINGS = ClickHouseSettings(shards=("http://a:1", "http://b:2"), timeout_s=30)


class Client:
    """Answers a query with its shard's number and the query's text."""

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.closed = False
        self.asked = ""
        self.told: list[str] = []
        self.error: Exception | None = None

    def query(self, text: str, **_: Any) -> Any:
        if self.error is not None:
            raise self.error
        return SimpleNamespace(result_rows=[(text,)])

    def command(self, text: str, **_: Any) -> None:
        self.told.append(text)
        self.query(text)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Client]:
    clients: list[Client] = []

    def connect(_settings: ClickHouseSettings, shard: int, **_: Any) -> Client:
        clients.append(Client(shard))
        return clients[-1]

    monkeypatch.setattr("stream.clickhouse.shards.connect", connect)
    return clients


def test_a_client_is_kept_for_the_next_call(made):
    with Shards(SETTINGS) as shards:
        assert shards.ask(1, "SELECT 1 FROM {database}.score") == [("SELECT 1 FROM scorestream.score",)]
        shards.command(1, "SELECT 2")
        assert [client.shard for client in made] == [1]
    assert made[0].closed


def test_all_shards_are_asked_and_each_row_names_its_own(made):
    with Shards(SETTINGS, database="green") as shards:
        assert shards.everywhere("{database}") == [(0, "green"), (1, "green")]
        assert shards.of("blue").everywhere("{database}") == [(0, "blue"), (1, "blue")]
        assert len(made) == 2


def test_two_calls_at_once_never_share_a_client(made):
    with Shards(SETTINGS) as shards:
        inside = threading.Barrier(2, timeout=5)

        def call() -> None:
            with shards.client(0):
                inside.wait()

        threads = [threading.Thread(target=call) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 2


def test_a_call_that_fails_closes_its_client_and_names_the_shard(made):
    with Shards(SETTINGS) as shards:
        shards.connect(0)
        made[0].error = DatabaseError("Code: 241. DB::Exception: memory limit exceeded")
        with pytest.raises(ClickHouseUnavailable, match=r"shard 0 \(http://a:1\)"):
            shards.ask(0, "SELECT 1")
        assert made[0].closed
        shards.ask(0, "SELECT 1")
        assert len(made) == 2


def test_queries_under_way_are_killed_where_they_run_and_no_more_are_sent(made):
    # given a query on each shard that takes long
    begun, go_on = threading.Barrier(3, timeout=5), threading.Event()

    def slow(client: Client) -> Any:
        def query(text: str, settings: Any, **_: Any) -> Any:
            client.asked = settings["query_id"]
            begun.wait()
            assert go_on.wait(5)
            return SimpleNamespace(result_rows=[(text,)])

        return query

    with Shards(SETTINGS) as shards, ThreadPoolExecutor(2) as pool:
        for shard in (0, 1):
            shards.connect(shard)
            made[shard].query = slow(made[shard])
        asking = [pool.submit(shards.ask, shard, "SELECT 1") for shard in (0, 1)]
        begun.wait()
        # when the process ends
        shards.cancel()
        # then each server ends its own query
        told = {client.shard: client.told for client in made[2:]}
        assert told == {n: [f"KILL QUERY WHERE query_id IN ('{made[n].asked}') ASYNC"] for n in (0, 1)}
        # and nothing more is asked
        go_on.set()
        assert all(each.result(timeout=5) for each in asking)
        with pytest.raises(ClickHouseUnavailable, match="the process ends"):
            shards.ask(0, "SELECT 1")


def test_how_long_a_call_may_take():
    assert Shards(SETTINGS).settings.timeout_s == 30
    assert Shards(SETTINGS, patient=True).settings.timeout_s == PATIENCE_S
    assert Shards(SETTINGS, timeout_s=5).settings.timeout_s == 5
    assert Shards(SETTINGS, timeout_s=50).settings.timeout_s == 30


def test_a_password_that_was_taken_before_is_being_rotated(made):
    with Shards(SETTINGS) as shards:
        shards.ask(0, "SELECT 1")
        # when the server takes it no more, then the call may be repeated, with a client that reads it again
        made[0].error = DatabaseError("Code: 516. DB::Exception: Authentication failed")
        with pytest.raises(ClickHouseUnavailable, match="shard 0"):
            shards.ask(0, "SELECT 1")
        assert made[0].closed
        shards.ask(0, "SELECT 1")


def test_a_password_that_was_never_taken_is_refused(made, monkeypatch):
    refused = ClickHouseRefused("wrong password")
    refused.__cause__ = DatabaseError("Code: 516. DB::Exception: Authentication failed")

    def connect(*_: Any, **__: Any) -> Client:
        raise refused

    with Shards(SETTINGS) as shards:
        shards.ask(0, "SELECT 1")
        monkeypatch.setattr("stream.clickhouse.shards.connect", connect)
        with pytest.raises(ClickHouseRefused):
            shards.ask(1, "SELECT 1")
        shards._idle[0].clear()
        with pytest.raises(ClickHouseUnavailable):
            shards.ask(0, "SELECT 1")
