"""Latencies as percentiles, and as the line that a screen shows meanwhile."""

from __future__ import annotations

import math
from collections.abc import Sequence

from testbed.traffic.writer import LiveWriter
from testbed.visibility.prober import Latency, Prober


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; NaN of nothing.

    Args:
        share: 0.5 is the median.
    """
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def percentiles(latencies: Sequence[Latency]) -> dict[str, float | int | None]:
    """p50, p95, p99 and the greatest, in ms, and the number of samples."""
    values = [latency.ms for latency in latencies]
    named = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "max_ms": 1.0}
    found: dict[str, float | int | None] = {
        name: round(percentile(values, share), 1) if values else None for name, share in named.items()
    }
    return found | {"samples": len(values)}


def status(writer: LiveWriter, prober: Prober, elapsed_s: float) -> str:
    """One line: the changes written, and how soon they were visible so far."""
    values = [latency.ms for latency in list(prober.latencies)]
    text = f"{elapsed_s:4.0f} s  {writer.changes:,} changes  {writer.achieved_rate:,.0f}/s"
    if values:
        text += f"  commit to visible p50 {percentile(values, 0.5):.0f} ms  p99 {percentile(values, 0.99):.0f} ms"
        text += f"  ({len(values)} sampled)"
    return text + f"  pending {prober.pending}"
