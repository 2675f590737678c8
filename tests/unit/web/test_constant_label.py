"""Every metric carries its installation, and none of them counts by it."""

from __future__ import annotations

import urllib3
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream import metrics
from stream.monitor.exposition import exposition
from stream.settings_sections import WebSettings
from stream.web.constant_label import WithLabel
from stream.web.health import Health
from stream.web.process_state import process_state
from stream.web.server import serve
from tests.unit.monitor.situations import situations


def test_each_sample_has_the_label_and_the_value_that_it_had() -> None:
    registry = CollectorRegistry()
    Counter("c", "", ["mode"], registry=registry).labels("live").inc(3)
    Histogram("h", "", buckets=(1,), registry=registry).observe(0.5)
    text = generate_latest(WithLabel(registry, name="installation", value='a "b"')).decode()
    samples = {each.name: each for family in text_string_to_metric_families(text) for each in family.samples}
    assert samples["c_total"].labels == {"installation": 'a "b"', "mode": "live"}
    assert (samples["c_total"].value, samples["h_sum"].value) == (3, 0.5)
    assert all(each.labels["installation"] == 'a "b"' for each in samples.values())
    assert 'c_total{mode="live"} 3.0' in generate_latest(registry).decode(), "the metrics themselves do not know it"


def test_a_process_serves_no_metric_without_it() -> None:
    metrics.CONSUMED.labels("live", "t").inc(0)
    more = exposition(situations()["worker-absent"])
    with serve(
        WebSettings(port=0), health=Health, installation="default", role="monitor", more_metrics=lambda: more
    ) as server:
        text = urllib3.request("GET", f"{server.url}/metrics").data.decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) > 100
    assert [line for line in lines if 'installation="default"' not in line] == []


def test_the_monitor_reads_processes_without_it() -> None:
    samples = process_state(metrics.REGISTRY, role="worker")["samples"]
    assert not any("installation" in labels for each in samples.values() for labels, _ in each)
