"""The last problems of a process: warnings and errors, newest first, without those of its own monitor."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from stream.web import recent_problems as module
from stream.web.recent_problems import KEPT, RecentProblems


@pytest.fixture
def problems() -> Iterator[RecentProblems]:
    """A handler of its own on the root logger."""
    found = RecentProblems()
    logging.getLogger().addHandler(found)
    yield found
    logging.getLogger().removeHandler(found)


def test_the_newest_problem_comes_first_with_its_fields(problems: RecentProblems) -> None:
    log = logging.getLogger("stream.retry")
    log.warning("retry", extra={"cause": "shard 1: timed out"})
    log.error("gave up")
    log.info("all is well")
    assert [(each["level"], each["text"].split()[0]) for each in problems.newest()] == [
        ("error", "gave"),
        ("warning", "retry"),
    ]
    assert "shard 1: timed out" in problems.newest()[1]["text"]


def test_only_the_newest_are_kept_and_long_ones_cut(problems: RecentProblems) -> None:
    for number in range(KEPT + 5):
        logging.getLogger("stream.retry").warning("%d %s", number, "x" * 1_000)
    assert [each["text"].split()[0] for each in problems.newest()][:2] == [str(KEPT + 4), str(KEPT + 3)]
    assert len(problems.newest()) == KEPT
    assert max(len(each["text"]) for each in problems.newest()) == 300


def test_a_source_that_the_page_shows_anyway_is_left_out(problems: RecentProblems) -> None:
    logging.getLogger("stream.monitor.sources.poller").warning("no answer")
    assert problems.newest() == []


def test_remembering_twice_adds_one_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    module.remember()
    module.remember()
    assert root.handlers.count(module.PROBLEMS) == 1
