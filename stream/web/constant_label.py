"""One label with the same value on all metrics of a registry: whose they are.

Enters: a registry. Leaves: what a scrape collects from it, with the label. The metrics themselves do not know it, so
that counting costs no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

from prometheus_client import CollectorRegistry, Metric


class WithLabel(CollectorRegistry):
    """A registry as a scrape reads it. It takes no metrics of its own."""

    def __init__(self, registry: CollectorRegistry, *, name: str, value: str) -> None:
        super().__init__()
        self._whole = registry
        self._label = {name: value}

    def collect(self) -> Iterator[Metric]:
        """Every family of the registry, each of its samples with the label first."""
        for family in self._whole.collect():
            labelled = copy(family)
            labelled.samples = [each._replace(labels=self._label | each.labels) for each in family.samples]
            yield labelled
