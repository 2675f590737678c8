"""Every statement that each command sends to the shards, held against the privileges of the role that runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest

from stream import config
from stream.clickhouse.shards import Shards
from stream.clickhouse.source_record import SourceRecord, Stored
from stream.clickhouse.target import ClickHouseTarget
from stream.live.heartbeat import Heartbeats
from stream.pipeline.writes import Writes
from stream.tables import SCORE
from testbed.universe import Universe, wait_for
from testbed.workload import Workload
from tests.privileges import lacking, required

pytestmark = pytest.mark.stack

BEAT = b'{"after": {"id": 1, "beat": 7, "at": "2026-01-01T00:00:00Z"}}'


class Recorder:
    """Notes each statement of every clickhouse-connect client that is made in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[str] = []
        make = clickhouse_connect.get_client

        def get_client(**options: Any) -> Any:
            return self._recorded(make(**options))

        monkeypatch.setattr("stream.clickhouse.shards.clickhouse_connect.get_client", get_client)

    def _recorded(self, client: Any) -> Any:
        for name in ("query", "command", "query_row_block_stream"):
            setattr(client, name, self._noting(getattr(client, name)))
        insert = client.insert

        def noted(table: str, *args: Any, database: str, **more: Any) -> Any:
            self.sent.append(f"INSERT INTO {database}.{table}")
            return insert(table, *args, database=database, **more)

        client.insert = noted
        return client

    def _noting(self, call: Any) -> Any:
        def noted(text: str, *args: Any, **more: Any) -> Any:
            self.sent.append(text)
            return call(text, *args, **more)

        return noted

    def take(self) -> list[str]:
        taken, self.sent = list(dict.fromkeys(self.sent)), []
        return taken


@pytest.fixture
def universe(stack_env: dict[str, str], tmp_path: Path) -> Iterator[Universe]:
    made = Universe(stack_env, tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    return Recorder(monkeypatch)


def check(recorder: Recorder, role: str, universe: Universe, what: str, *, least: str = "") -> None:
    """All that was sent since the last check is allowed; `least`: a privilege that was among it."""
    sent = recorder.take()
    needed = {privilege.name for statement in sent for privilege in required(statement)}
    assert sent, what
    assert not least or least in needed, (what, needed)
    for statement in sent:
        missing = lacking(f"scorestream_{role}_role", statement, database=universe.name)
        assert not missing, f"{what}: {missing} for {statement[:300]}"


def workers_own(universe: Universe, database: str) -> None:
    """What a worker and a process of a replay send, in this process."""
    settings = config.load().clickhouse
    writes = Writes()
    values = {"customer_id": "acme", "scorecard_id": 1, "event_time": 0, "score_id": 1}
    writes.add_marker(SCORE, 0, values, version=1)
    with Shards(settings, database=database) as shards:
        target = ClickHouseTarget(shards)
        target.write(writes)
        target.standing(["00000000-0000-0000-0000-000000000001"], ["acme"])
        target.written([1])
        target.close()
        record = SourceRecord(shards)
        record.write(Stored(0, 1, 1, 1))
        record.read()
        record.highest()
    beats = Heartbeats(Shards(settings, database=database))
    beats.offer([BEAT])
    with Shards(settings, database=database) as shards:
        wait_for("the beat", lambda: shards.ask(0, "SELECT 1 FROM {database}.heartbeat"))
    beats.close()


@pytest.mark.long
def test_each_command_sends_what_its_role_may(
    universe: Universe, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    universe.set_up()
    check(recorder, "owner", universe, "schema apply", least="ALTER MODIFY COMMENT")
    universe.done("schema", "status")
    check(recorder, "writer", universe, "schema status", least="SHOW ROW POLICIES")
    with universe.postgres() as connection, universe.worker():
        Workload(connection, seed=3).add(20)
        connection.execute(
            "UPDATE app.scorecards SET scorecard_type = 1 WHERE scorecard_id = "
            "(SELECT scorecard_id FROM app.scorecards WHERE coalesce(scorecard_type, 0) = 0 LIMIT 1)"
        )
        universe.wait_until_equal()
    with monkeypatch.context() as patched:
        for name in ("SCORESTREAM_CLICKHOUSE_SHARDS", "SCORESTREAM_CLICKHOUSE_DATABASE"):
            patched.setenv(name, universe.env[name])
        workers_own(universe, universe.name)
        check(recorder, "writer", universe, "worker", least="INSERT")
        for command in (
            ("verify", "--no-wait", "--report"),
            ("verify", "--no-wait", "--repair"),
            ("explain", "00000000-0000-0000-0000-000000000001"),
            ("lag",),
            ("purge", "appeals"),
            ("reindex", "--all"),
        ):
            code, _, said = universe.call(*command)
            assert code == 0, (command, said)
            check(recorder, "writer", universe, " ".join(command), least="SELECT")
        green = f"{universe.name}green"
        universe.done("replay", "start", "green", "--into", green, "--processes", "1")
        check(recorder, "operator", universe, "replay start --into", least="CREATE DATABASE")
        workers_own(universe, green)
        check(recorder, "operator", universe, "replay member", least="INSERT")
        with universe.worker():
            universe.done("verify", "--repair")
            recorder.take()
            universe.done("cutover", "green")
            check(recorder, "operator", universe, "cutover", least="DROP TABLE")
        universe.done("cutover", "green", "--drop-old")
        check(recorder, "operator", universe, "cutover --drop-old", least="DROP DATABASE")
