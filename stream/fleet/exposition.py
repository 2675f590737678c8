"""The rows of all installations in Prometheus' text format. Names and meanings: stream/metrics.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stream.fleet.rows import NEEDS_AN_OPERATOR, SILENT, Row
from stream.metrics import OF_A_FLEET
from stream.monitor.exposition import Sample, text_of


def exposition(rows: Iterable[Row]) -> bytes:
    """All figures that are known, by metric."""
    return text_of(OF_A_FLEET, (sample for row in rows for sample in _samples(row)))


def _samples(row: Row) -> Iterator[Sample]:
    name = (row.name,)
    yield "scorestream_installation_up", name, float(row.level != SILENT)
    yield "scorestream_installation_needs_operator", name, float(row.level in NEEDS_AN_OPERATOR)
    yield "scorestream_installation_freshness_seconds", name, row.freshness_s
    yield "scorestream_installation_lag_messages", name, row.messages
    yield "scorestream_installation_workers", name, row.workers
