"""Purge: appeals that ClickHouse shows are retired, page by page, and a killed run is resumed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stream.scope import Scope
from stream.verify import purge as module
from stream.verify.purge import Purged, purge_appeals
from stream.verify.visible_appeals import Appeals


class World:
    """Postgres with five appeals, shards that show some of them, and the reindex that retires."""

    database = "live"
    schema = "app"

    def __init__(self, *shown: str) -> None:
        self.shown = set(shown)
        self.reindexed: list[list[str]] = []
        self.dies_at: str | None = None

    @contextmanager
    def asking(self) -> Iterator[Any]:
        yield self

    def __call__(self, ids: list[str], customers: set[str]) -> None:
        if self.dies_at in ids:
            raise KeyboardInterrupt
        assert customers == {"acme"}
        self.reindexed.append(ids)
        self.shown -= set(ids)

    def pages(self, *_: Any, after: str | None = None, **__: Any) -> Iterator[list[tuple[str, str, int]]]:
        ids = [i for i in "abcde" if i > (after or "")]
        for at in range(0, len(ids), 2):
            yield [(i, "acme", 2) for i in ids[at : at + 2]]

    def counts(self, *_: Any, **__: Any) -> list[Appeals]:
        return [Appeals("acme", {1: 0, 2: 5, 3: 0}, visible=len(self.shown))]

    def visible(self, _shards: Any, ids: list[str], _customers: Any) -> list[tuple[str, str, str, int]]:
        return [("scorecard", "acme", i, 1) for i in ids if i in self.shown]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = World("b", "c", "d")
    monkeypatch.setattr(module, "source_of", lambda *_: None)
    monkeypatch.setattr(module, "appeal_ids", made.pages)
    monkeypatch.setattr(module, "appeals", made.counts)
    monkeypatch.setattr(module, "visible", made.visible)
    return made


def purged(world: Any, folder: Path, *, dry_run: bool = False) -> Purged:
    return purge_appeals(world, world, Scope(), reindex=None if dry_run else world, state_dir=folder, show=False)


def test_only_what_clickhouse_shows_is_retired(world: World, tmp_path: Path) -> None:
    found = purged(world, tmp_path)
    assert world.reindexed == [["b"], ["c", "d"]]
    assert (found.total, found.retired, found.visible_before, found.visible_after) == (5, 3, 3, 0)


def test_a_dry_run_counts_and_retires_nothing(world: World, tmp_path: Path) -> None:
    found = purged(world, tmp_path, dry_run=True)
    assert world.reindexed == []
    assert (found.as_json()["visible_before"], found.as_json()["visible_after"]) == (3, None)


def test_a_killed_run_goes_on_behind_its_last_page(world: World, tmp_path: Path) -> None:
    # given a run that was killed in its second page
    world.dies_at = "c"
    with pytest.raises(KeyboardInterrupt):
        purged(world, tmp_path)
    world.dies_at = None
    # when the same call runs again
    found = purged(world, tmp_path)
    # then it begins behind the first page, and leaves no file
    assert (found.resumed_at, world.reindexed) == (2, [["b"], ["c", "d"]])
    assert list(tmp_path.iterdir()) == []
