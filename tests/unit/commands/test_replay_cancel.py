"""`replay cancel`: what a killed process left is repaired before the replay is said to be cancelled."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from stream.commands.console import App
from stream.commands.replay import cancel
from stream.errors import ClickHouseUnavailable, UsageError
from stream.replay import control
from stream.scope import Scope
from stream.verify import repair

LEFT = control.Unconfirmed(Scope(customers=("acme",)), "run `scorestream verify --customer acme --repair`")


class FakeApp(App):
    """Opens nothing."""

    @contextmanager
    def _open(self, *_: object) -> Any:
        yield SimpleNamespace(postgres=None, cluster_id=lambda: "A")

    broker = stores = reindexing = _open  # type: ignore[assignment]


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The replays of which nothing is left."""
    found: list[str] = []
    monkeypatch.setattr(control, "cancelled", lambda _broker, name: found.append(name))
    return found


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch, noted: list[str]) -> list[Any]:
    """The scopes that were repaired; the replay is cancelled before its tail pass."""
    scopes: list[Any] = []

    def verify(_stores: Any, options: Any, **_: Any) -> Any:
        scopes.append(options.scope)
        return SimpleNamespace(clean=True)

    monkeypatch.setattr(control, "want", lambda *_: "cancelled")
    monkeypatch.setattr(control, "unconfirmed", lambda *_, **__: LEFT)
    monkeypatch.setattr(repair, "verify", verify)
    return scopes


def run(*options: str) -> Any:
    return CliRunner().invoke(cancel, ["r", *options], obj=FakeApp(), catch_exceptions=False)


def test_what_it_left_is_repaired(compared: list[Any], noted: list[str]) -> None:
    done = run()
    assert compared == [LEFT.scope]
    assert "replay r: cancelled" in done.output
    assert LEFT.sentence not in done.output
    assert noted == ["r"]


def test_nothing_is_compared_where_it_left_nothing(
    compared: list[Any], noted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "unconfirmed", lambda *_, **__: None)
    assert "replay r: cancelled" in run().output
    assert (compared, noted) == ([], ["r"])


def test_what_could_not_be_repaired_is_said(
    compared: list[Any], noted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LEFT.sentence in run("--no-repair").output

    for cause in (ClickHouseUnavailable("shard 1 does not answer"), UsageError("there is no replication slot")):

        def fails(*_: Any, cause: Exception = cause, **__: Any) -> Any:
            raise cause

        monkeypatch.setattr(repair, "verify", fails)
        output = run().output
        assert LEFT.sentence in output
        assert "replay r: cancelled" in output
    assert (compared, noted) == ([], [])  # so that the same command may be given again
