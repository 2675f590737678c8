"""A worker connects while it joins the group; and the pipeline learns which batches were seen before."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from stream.config import Settings
from stream.live.indexer import TableIndexer
from stream.live.summary import Summary
from stream.pipeline.aside import Aside
from stream.pipeline.dead_letter import DeadLetterGuard
from stream.pipeline.late import Newest
from stream.pipeline.ledger import Done, Ledger
from stream.pipeline.ports import no_retry
from stream.tables import CHATS, SCORE, SCORECARD, Table
from stream.wiring import Clients
from tests.unit.live.batches import batch_of


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


@pytest.mark.parametrize(("old", "in_doubt"), [(True, False), (False, True), (False, False)])
def test_the_pipeline_is_told_what_one_of_the_batches_is(
    old: bool, in_doubt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given batches of which one was processed before a rewind, or begun by a worker that died
    told: list[dict[str, Any]] = []

    def process(_batches: Any, **options: Any) -> Done:
        told.append(options)
        letters: list[Any] = ["a letter"] if old else []
        return Done(ledger=Ledger("scores"), aside=Aside({"card": 1}, parts={1}, letters=letters))

    clients: Any = SimpleNamespace(
        retry=no_retry, source=Any, close=lambda: None, pipeline=lambda *_, **__: SimpleNamespace(process=process)
    )
    indexer = TableIndexer(
        SCORE.source,
        live=SimpleNamespace(newest=Newest()),  # type: ignore[arg-type]
        clients=clients,
        target=SimpleNamespace(connect=lambda _: None),  # type: ignore[arg-type]
        guard=DeadLetterGuard(share=1, window=10),
        summary=Summary(),
        stall_s=60,
        finish=lambda *_: asyncio.sleep(0, result=True),
    )
    batches = [batch_of(2), batch_of(2, start=102)]
    batches[1].old, batches[1].in_doubt = old, in_doubt

    async def run() -> None:
        held = await indexer.index(batches, None)
        assert held is not None
        assert await held.work
        assert [batch.has_letters for batch in held.batches] == [old]

    asyncio.run(run())
    indexer.close()
    # then the whole is processed as such, and the batches know whether letters of theirs wait
    assert [(each["old"], each["again"]) for each in told] == [(old, in_doubt)]
