"""The demo's findings: figures for each customer, the table, the verdict, the JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table

from testbed.visibility.compare import Comparison
from testbed.visibility.figures import percentiles
from testbed.visibility.prober import Latency


@dataclass(frozen=True, slots=True)
class Result:
    """All figures of one run."""

    seed: int
    comparisons: Sequence[Comparison]
    latencies: Sequence[Latency]
    never_seen: int
    snapshot_rows: int
    snapshot_s: float
    changes: int
    changes_per_s: float
    wanted_rate: float
    worker_rss_mb: float
    took_s: float

    @property
    def faults(self) -> list[str]:
        """Why the run did not pass; empty when it did."""
        found = []
        for each in self.comparisons:
            if each.different_rows:
                found.append(f"{each.customer_id}: {each.different_rows} rows differ")
            if each.appeals_visible:
                found.append(f"{each.customer_id}: {each.appeals_visible} rows of appeals are visible")
            if each.process_indexed != each.process:
                found.append(f"{each.customer_id}: {each.process_indexed} of {each.process} process scorecards")
        if self.never_seen:
            found.append(f"{self.never_seen} sampled changes were never seen")
        if not self.latencies:
            found.append("no latency was measured")
        return found

    def of(self, customer_id: str) -> list[Latency]:
        return [latency for latency in self.latencies if latency.customer_id == customer_id]

    def as_json(self) -> dict[str, Any]:
        """The content of demo.json."""
        return {
            "demo": "FAIL" if self.faults else "PASS",
            "faults": self.faults,
            "seed": self.seed,
            "customers": [
                {
                    "customer": each.customer_id,
                    "postgres": each.postgres,
                    "clickhouse": each.clickhouse,
                    "appeals": each.appeals,
                    "appeals_visible": each.appeals_visible,
                    "process": each.process,
                    "process_indexed": each.process_indexed,
                    "waiting": each.waiting,
                    "difference": each.different_rows,
                    "latency": percentiles(self.of(each.customer_id)),
                }
                for each in self.comparisons
            ],
            "latency": percentiles(self.latencies),
            "latency_by_kind": {
                kind: percentiles([latency for latency in self.latencies if latency.kind == kind])
                for kind in sorted({latency.kind for latency in self.latencies})
            },
            "never_seen": self.never_seen,
            "initial": {
                "rows": self.snapshot_rows,
                "seconds": round(self.snapshot_s, 1),
                "rows_per_s": round(self.snapshot_rows / self.snapshot_s) if self.snapshot_s else None,
            },
            "live": {
                "changes": self.changes,
                "changes_per_s": round(self.changes_per_s, 1),
                "wanted_per_s": self.wanted_rate,
            },
            "worker_rss_mb": round(self.worker_rss_mb),
            "seconds": round(self.took_s, 1),
        }

    def verdict(self) -> str:
        """The last line."""
        if self.faults:
            return "demo: FAIL " + "; ".join(self.faults)
        all_latencies = percentiles(self.latencies)
        rows = sum(sum(each.clickhouse.values()) for each in self.comparisons)
        appeals = sum(each.appeals for each in self.comparisons)
        return (
            f"demo: PASS {rows:,} rows equal in both stores, {appeals:,} appeals "
            f"and 0 visible, {sum(each.process_indexed for each in self.comparisons):,} process scorecards indexed, "
            f"{self.changes:,} live changes at {self.changes_per_s:,.0f}/s, commit to visible p50 "
            f"{all_latencies['p50_ms']:.0f} ms p99 {all_latencies['p99_ms']:.0f} ms, {self.took_s:.0f} s in all"
        )

    def table(self) -> Table:
        """One column for each customer, and one for all: it fits into 80 characters."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("", no_wrap=True)
        for each in self.comparisons:
            table.add_column(each.customer_id, justify="right", no_wrap=True)
        table.add_column("together", justify="right", no_wrap=True)
        measures: tuple[tuple[str, Callable[[Comparison], int]], ...] = (
            ("Postgres   scorecards", lambda each: each.postgres["scorecard"]),
            ("           scores", lambda each: each.postgres["score"]),
            ("ClickHouse scorecards", lambda each: each.clickhouse["scorecard"]),
            ("           scores", lambda each: each.clickhouse["score"]),
            ("rows that differ", lambda each: each.different_rows),
            ("process    in Postgres", lambda each: each.process),
            ("           indexed", lambda each: each.process_indexed),
            ("appeals    in Postgres", lambda each: each.appeals),
            ("           visible", lambda each: each.appeals_visible),
            ("waiting for a conversation", lambda each: each.waiting),
        )
        for name, measure in measures:
            values = [measure(each) for each in self.comparisons]
            table.add_row(name, *(f"{value:,}" for value in (*values, sum(values))))
        found = [percentiles(self.of(each.customer_id)) for each in self.comparisons] + [percentiles(self.latencies)]
        for name, key in (("commit to visible p50", "p50_ms"), ("                  p99", "p99_ms")):
            table.add_row(name, *("-" if each[key] is None else f"{each[key]:,.0f} ms" for each in found))
        return table
