"""Which slots and offsets a connector can go on from."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from stream.postgres import replication
from stream.postgres.replication import PostgresServer, Slot
from stream.recover import resume
from stream.recover.systems import Wanted

SERVER = PostgresServer("db", 180001, "7", 1, False, lsn=1_000, xact_s=0.0, foreign_horizon=False, rows=300_000)
SLOT = Slot("db", active=False, confirmed=900)
LOST = Slot("db", active=False, confirmed=900, lost="wal_removed")
WANTED = Wanted("scorestream", {}, "scorestream", "scorestream")


class Postgres:
    schema = "app"

    def asking(self) -> Any:
        return nullcontext()


class Connect:
    def __init__(self, lsn: int | None) -> None:
        self.lsn = lsn

    def offsets(self, name: str) -> dict[str, Any]:
        assert name == WANTED.connector
        return {} if self.lsn is None else {"lsn": self.lsn}


@pytest.mark.parametrize(
    ("slot", "offset", "found"),
    [
        (SLOT, 950, []),
        (SLOT, None, []),  # killed before its first commit: it begins with a snapshot
        (None, None, []),  # its first start makes the slot
        (None, 950, ["slot-missing"]),
        (LOST, 950, ["slot-lost"]),
        (LOST, None, ["slot-lost"]),
        (SLOT, 5_000, ["offsets-ahead"]),  # of another server
        (SLOT, 800, ["offsets-behind"]),  # another slot of the same name
        (None, 5_000, ["slot-missing", "offsets-ahead"]),
    ],
)
def test_what_a_connector_cannot_go_on_from(
    monkeypatch: pytest.MonkeyPatch, slot: Slot | None, offset: int | None, found: list[str]
) -> None:
    monkeypatch.setattr(replication, "slot", lambda _connection, name: slot if name == WANTED.slot else None)
    monkeypatch.setattr(replication, "server", lambda _connection, _schema: SERVER)

    told = resume.cannot_go_on(Postgres(), Connect(offset), WANTED)  # type: ignore[arg-type]

    assert [each.id for each in told] == found
    assert all(each.gap for each in told)
