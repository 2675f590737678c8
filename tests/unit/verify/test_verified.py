"""What a comparison's result says: on a live system cells differ for a moment, and that is no finding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from stream import metrics
from stream.pipeline.values import uuid_text
from stream.scope import Scope
from stream.verify import verifier as module
from stream.verify.cells import Cell, Content, Different, Suspect
from stream.verify.findings import Finding
from stream.verify.repair import Outcome
from stream.verify.row_states import InPostgres
from stream.verify.verified import Verified
from stream.verify.verifier import Verifier
from stream.verify.watch import _record

CELL = Different(Cell("score", "acme", 20_000, True), 0, Content(2, 5), Content(1, 3))


def gauges() -> dict[tuple[str, str], float]:
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for metric in (metrics.VERIFY_CELLS, metrics.VERIFY_ROWS)
        for family in metric.collect()
        for sample in family.samples
    }


@pytest.fixture(autouse=True)
def _fresh_gauges() -> Iterator[None]:
    yield
    metrics.VERIFY_CELLS.clear()
    metrics.VERIFY_ROWS.clear()


def recorded(found: Verified) -> dict[tuple[str, str], float]:
    _record(Outcome(found, found, 0, []))
    return gauges()


def test_cells_that_only_lagged_behind_the_snapshot_raise_no_alert() -> None:
    # given a comparison on a live system: a cell differed at the first look, its rows turned out to be right
    found = Verified(Scope(), "scorestream", cells=10, different=[CELL])
    # then it is clean, and so says the gauge on which the alert pages
    assert found.clean
    told = recorded(found)
    assert told["scorestream_verify_cells", "different"] == 0
    assert told["scorestream_verify_cells", "clean"] == 10


def test_a_wrong_row_makes_its_cell_different() -> None:
    found = Verified(Scope(), "scorestream", cells=10, different=[CELL])
    found.counts["score", "stale"] += 1
    assert not found.clean
    assert recorded(found)["scorestream_verify_cells", "different"] == 1


def test_what_moves_beyond_the_limit_is_counted_and_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    # given room for one scorecard that moves, and three that changed since the snapshot
    monkeypatch.setattr(module, "_MAX_MOVING", 1)
    monkeypatch.setattr(module, "in_postgres", lambda *_: InPostgres())
    monkeypatch.setattr(module, "_lsn", lambda _: 0)
    ids = [uuid_text(number) for number in (1, 2, 3)]

    class Moving(Verifier):
        def __init__(self) -> None:
            pass

        def _findings(self, *_: Any) -> tuple[list[Finding], dict[Any, int]]:
            return [Finding("missing", "score", i, i, "acme", 0, True, 0, "") for i in ids], {}

        def _recent(self, *_: Any, **__: Any) -> set[str]:
            return set(ids)

    result, moving = Verified(Scope(), "scorestream"), dict[str, set[str]]()
    chunk = [Suspect(i.replace("-", ""), frozenset({"acme"})) for i in ids]
    connection: Any = None
    # when they are looked at
    Moving()._look(chunk, result, connection, connection, connection, moving=moving, limit=None, on_chunk=None)
    # then one is looked at again, and the verdict is not "clean" because of the two others
    assert (len(moving), result.not_looked_at, result.clean) == (1, 2, False)
    assert recorded(result)["scorestream_verify_rows", "not_comparable"] == 2
