"""What a comparison's result says: on a live system cells differ for a moment, and that is no finding."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stream import metrics
from stream.scope import Scope
from stream.verify.cells import Cell, Content, Different
from stream.verify.repair import VerifyOutcome
from stream.verify.verified import Verified
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
    _record(VerifyOutcome(found, found, 0, []))
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
