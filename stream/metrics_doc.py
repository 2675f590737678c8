"""docs/metrics.md from stream/metrics.py: `python -m stream.metrics_doc` writes it."""

from __future__ import annotations

from pathlib import Path

from stream import metrics

READ = """# Metrics

Made by `python -m stream.metrics_doc` from stream/metrics.py. Every long-running process serves its own at `/metrics`;
the second table is the monitor's (`scorestream monitor`), and not a worker's, though its dashboard shows the same:
told by every worker, sums over the group's lag would be wrong.

## How to read them

- **Is data fresh?** `scorestream_freshness_seconds`: 0 when all is visible. It has no saw-tooth and no NaN when idle.
- **Where does it wait?** `scorestream_consumer_lag_seconds` by topic and partition: the age of the next message that
  was never indexed, read from that message, when Kafka was asked last. A rewind or a replay does not raise it. It
  includes up to one second between two commits of the worker.
- **Does it get better?** `scorestream_consumer_lag_velocity` below 0; `scorestream_consumer_drain_seconds` says when.
- **Is it moving at all?** `scorestream_consumer_verdict`: 3 (STALL) and 4 (STOP) need somebody.
- **How long does a change take?** `scorestream_end_to_end_seconds`, and by hop `scorestream_hop_seconds`.
- **Is anything lost?** `scorestream_messages_consumed_total` equals the sum of `scorestream_messages_outcome_total`.
- **Nothing changes, is it alive?** `scorestream_canary_late_seconds` and `scorestream_canary_age_seconds`.
- What is not known is absent; a missing series is not 0. Lag is committed offsets: `mode` live and replay never mix.
"""


def markdown() -> str:
    """The document."""
    lines = [READ, "## Of every process", "", "| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for name in sorted(vars(metrics)):
        each = vars(metrics)[name]
        if hasattr(each, "_documentation") and hasattr(each, "_labelnames"):
            shown = each._name + ("_total" if each._type == "counter" else "")
            labels = ", ".join(each._labelnames)
            lines.append(f"| `{shown}` | {each._type} | {labels} | {each._documentation} |")
    lines += ["", "## Of the monitor", "", "| metric | labels | meaning |", "|---|---|---|"]
    lines += [f"| `{each.name}` | {', '.join(each.labels)} | {each.help} |" for each in metrics.MONITORED]
    return "\n".join(lines) + "\n"


def names() -> set[str]:
    """Every series name that a PromQL expression may use."""
    found = {each.name for each in metrics.MONITORED}
    for each in vars(metrics).values():
        if hasattr(each, "_documentation") and hasattr(each, "_labelnames"):
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(each._type, [""])
            found |= {each._name + suffix for suffix in suffixes}
    return found | {"up", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"}


if __name__ == "__main__":
    Path("docs/metrics.md").write_text(markdown(), "utf-8")
