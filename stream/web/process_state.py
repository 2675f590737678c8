"""This process's metrics -> one JSON document: what the monitor shows of a worker, a replay or a verify.

Enters: the registry. Leaves: totals and histogram buckets since the process started. The monitor turns them into rates
and quantiles of the last minute. Keeps no state of its own.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry

from stream.web.recent_problems import PROBLEMS

PREFIX = "scorestream_"
# Histograms for Prometheus alone: half of all samples, and the monitor shows none of them.
_LEFT_OUT = ("scorestream_batch_", "scorestream_watchdog_")
STARTED = time.time()


def process_state(
    registry: CollectorRegistry, *, role: str, partitions: Sequence[tuple[str, int]] = (), ending: bool = False
) -> dict[str, Any]:
    """Role, host, pid, start, last problems, and `samples`: metric name -> list of [labels, value].

    Args:
        partitions: (topic, partition) of all partitions that the process holds.
        ending: whether the process was asked to end.
    """
    samples: dict[str, list[list[Any]]] = {}
    for family in registry.collect():
        if not family.name.startswith((PREFIX, "process_")) or family.name.startswith(_LEFT_OUT):
            continue
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                samples.setdefault(sample.name, []).append([sample.labels, _number(sample.value)])
    return {
        "role": role,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": STARTED,
        "now": time.time(),
        "samples": samples,
        "problems": PROBLEMS.newest(),
        "partitions": list(partitions),
        "ending": ending,
    }


def _number(value: float) -> float | None:
    """The number, or None for NaN, which JSON lacks."""
    return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124
