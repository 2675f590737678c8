"""Documents of installations -> rows, the worst first."""

from __future__ import annotations

from typing import Any

import pytest

from stream.fleet.rows import in_order, row, silent
from tests.unit.monitor.situations import NOW, situations
from tests.unit.status.test_steps import document as told


def document(name: str = "fresh", *, cluster: str = "A", **changes: Any) -> dict[str, Any]:
    own = {"cluster": cluster, "source": "app.app", "clickhouse": "scorestream"}
    return told(name, installation=own, **{"from": "http://m:6067"}, **changes)


@pytest.mark.parametrize("name", sorted(situations()))
def test_every_situation_is_a_row(name: str) -> None:
    found = row("eu-1", document(name))
    assert (found.name, found.level) == ("eu-1", document(name)["headline"]["level"])
    assert found.sentence
    assert found.identity == ("A", "app.app", "scorestream")


def test_a_row_has_what_an_operator_looks_for() -> None:
    found = row("eu-1", document("replaying", dead_letters={"total": 9, "open": 2, "last_hour": 0, "newest_at": None}))
    assert (found.freshness_s, found.messages, found.workers, found.slot) == (0.0, 0, 1, "active")
    assert (found.replays, found.open_dead_letters) == (("june running 42 %",), 2)
    assert found.verify == "clean 1 min ago"
    assert found.told_by == "http://m:6067"
    assert row("x", document(verify=None)).verify == "not known"
    assert row("x", document(verify={"last_run": NOW, "last_clean": None})).verify == "never clean"


def test_the_worst_stands_first() -> None:
    rows = [
        row("fresh", document(cluster="A")),
        row("stuck", document("worker-absent", cluster="B")),
        silent("silent", "no answer"),
        row("busy", document("lagging", cluster="C")),
    ]
    assert [each.name for each in in_order(rows)] == ["silent", "stuck", "busy", "fresh"]


def test_two_names_of_one_installation_are_told() -> None:
    one, other, third = in_order([row("a", document()), row("b", document()), row("c", document(cluster="B"))])
    assert (one.level, one.sentence) == (
        "unknown",
        "the same cluster and databases as b: correct the installations file",
    )
    assert (other.name, other.level, third.level) == ("b", "unknown", "fresh")
