"""What is looked at beside the work: a refusal ends the worker, a store that is away does not."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from stream.epochs import ONE_EPOCH
from stream.errors import ClickHouseUnavailable, ConfigError, PostgresUnavailable
from stream.live import source_watch
from stream.live.source_watch import SourceWatch


class Nothing:
    """A store that is never asked."""

    publication, schema = "scorestream", "app"

    @contextmanager
    def asking(self) -> Any:
        yield None

    def close(self) -> None:
        pass


class Live:
    """Remembers what ended it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.ended = threading.Event()
        self.app = SimpleNamespace(loop=SimpleNamespace(call_soon_threadsafe=lambda call, error: call(error)))

    def on_stopping(self, _: Any) -> None:
        pass

    def crash(self, error: BaseException) -> None:
        self.error = error
        self.ended.set()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    found: dict[str, Any] = {"tables": lambda: None, "check": lambda: None, "left_out": ()}
    monkeypatch.setattr(source_watch, "check_tables", lambda _: found["tables"]())
    monkeypatch.setattr(source_watch, "SourceCheck", lambda *_, **__: lambda: found["check"]())  # noqa: PLW0108  read at each call
    monkeypatch.setattr(source_watch, "unstreamed", lambda *_, **__: found["left_out"])
    return found


def watch(**more: Any) -> SourceWatch:
    nothing: Any = Nothing()
    return SourceWatch(nothing, nothing, epochs=ONE_EPOCH, **more)


def test_at_the_start_a_refusal_is_raised_and_a_store_that_is_away_is_not(looks: dict[str, Any]) -> None:
    def away() -> None:
        raise ClickHouseUnavailable("shard 0 does not answer")

    def refused() -> None:
        raise ConfigError("another cluster")

    looks["tables"] = away
    watch().first_look()
    looks["check"] = refused
    with pytest.raises(ConfigError, match="another cluster"):
        watch().first_look()


def test_a_refusal_while_it_runs_ends_the_worker_after_outages_that_do_not(looks: dict[str, Any]) -> None:
    answers: list[Exception | None] = [PostgresUnavailable("away"), None, ConfigError("another cluster")]

    def check() -> None:
        if error := answers.pop(0):
            raise error

    looks["check"] = check
    live: Any = Live()
    watching = watch(every_s=0.001)
    watching.start(live)
    assert live.ended.wait(5)
    assert isinstance(live.error, ConfigError)
    watching.close()


def test_a_table_that_is_not_published_is_told_once_for_each_change(
    looks: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    watching = watch()
    with caplog.at_level("ERROR"):
        for looks["left_out"] in ((), ("scores",), ("scores",), (), ("chats", "scores")):
            watching.first_look()
    own = [each for each in caplog.records if each.name == "stream.live.source_watch"]
    assert [record.tables for record in own] == ["scores", "chats,scores"]  # type: ignore[attr-defined]
