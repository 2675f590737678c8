"""Percentiles of latencies."""

from __future__ import annotations

import math

from testbed.visibility.figures import percentile, percentiles


def test_percentiles_are_nearest_rank():
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile([7], 0.01) == 7
    assert math.isnan(percentile([], 0.5))
    assert percentiles([]) == {"p50_ms": None, "p95_ms": None, "p99_ms": None, "max_ms": None, "samples": 0}
