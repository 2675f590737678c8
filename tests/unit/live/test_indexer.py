"""A worker connects while it joins the group, and not when the first batch waits for it."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from stream.config import Settings
from stream.live.indexer import TableIndexer
from stream.live.summary import Summary
from stream.pipeline.dead_letter import DeadLetterGuard
from stream.pipeline.late import Newest
from stream.tables import CHATS, SCORE, SCORECARD, Table
from stream.wiring import Clients


@pytest.mark.parametrize(("table", "inserts"), [(SCORE.source, [SCORE]), (SCORECARD.source, [SCORECARD]), (CHATS, [])])
def test_it_connects_before_there_is_a_batch(table: str, inserts: list[Table], monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Any] = []
    source = SimpleNamespace(connect=lambda: connected.append("postgres"), close=lambda: None, position=int)
    target: Any = SimpleNamespace(connect=connected.append)
    live: Any = SimpleNamespace(newest=Newest())
    monkeypatch.setattr("stream.wiring.PostgresSource", lambda _: source)
    indexer = TableIndexer(
        table,
        live=live,
        clients=Clients(Settings(), mode="live", stopping=threading.Event(), target=target),
        target=target,
        guard=DeadLetterGuard(share=1, window=10),
        summary=Summary(),
        stall_s=60,
        finish=Any,  # type: ignore[arg-type]  # no batch comes
    )
    indexer.close()  # waits for what its thread has begun
    assert connected == ["postgres", *inserts]
