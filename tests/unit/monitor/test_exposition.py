"""The monitor's readings in Prometheus' text format: an unknown value is absent."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from stream.metrics import MONITORED
from stream.monitor.customers import CustomerLag, Customers
from stream.monitor.exposition import exposition, samples
from stream.monitor.readings import BackfillReading, Readings
from tests.unit.monitor.situations import NOW, fresh, situations, worker


def test_a_worker_that_ended_in_good_order_or_was_replaced_is_no_silent_process() -> None:
    told = {}
    for name, change in (("silent", {}), ("replaced", {"in_dns": False}), ("ended", {"ending": True})):
        process = worker(up=False)
        process.in_dns = change.get("in_dns", True)
        assert process.document is not None
        process.document.ending = change.get("ending", False)
        told[name] = [value for metric, _, value in samples(fresh(processes=(process,))) if "process_up" in metric]
    assert told == {"silent": [0.0], "replaced": [], "ended": []}


def scraped(readings: Readings) -> str:
    return exposition(readings).decode()


def test_the_text_is_what_prometheus_reads() -> None:
    declared = {each.name: each for each in MONITORED}
    for situation in situations().values():
        # given a name that has to be escaped
        readings = replace(situation, installation="eu-1", slot_name='a "slot"\\\n')
        read = {
            (each.name, tuple(value for label, value in each.labels.items() if label != "installation")): each.value
            for family in text_string_to_metric_families(scraped(readings))
            for each in family.samples
            if each.labels["installation"] == "eu-1"
            and family.documentation == declared[family.name].help
            and family.type == "gauge"
        }
        assert read == {(name, labels): value for name, labels, value in samples(readings) if value is not None}


def test_an_idle_system_shows_zero_and_no_nan() -> None:
    text = scraped(fresh())
    assert 'scorestream_freshness_seconds{installation="default"} 0.0' in text
    assert "NaN" not in text
    lags = [line for line in text.splitlines() if line.startswith("scorestream_consumer_lag_seconds{")]
    assert len(lags) == 48
    assert all(line.endswith(" 0.0") for line in lags)


def test_a_replay_raises_no_lag_of_live() -> None:
    text = scraped(situations()["replaying"])
    assert 'scorestream_replay_done_messages{installation="default",replay="june"} 840000.0' in text
    assert 'scorestream_freshness_seconds{installation="default"} 0.0' in text


def test_a_backfill_shows_its_rows_and_no_time_left_before_the_first_step() -> None:
    found = BackfillReading("may", total=400, done=0, per_s=0.0, eta_s=None, running=True)
    text = scraped(replace(fresh(), backfills=(found,)))
    assert 'scorestream_backfill_total_rows{installation="default",backfill="may"} 400.0' in text
    assert 'scorestream_backfill_running{installation="default",backfill="may"} 1.0' in text
    assert "scorestream_backfill_eta_seconds{" not in text


def test_an_answer_that_is_too_old_ends_the_series() -> None:
    text = scraped(situations()["kafka-unreachable"])
    assert "scorestream_consumer_lag_seconds{" not in text
    assert "\nscorestream_freshness_seconds" not in text
    assert 'scorestream_source_up{installation="default",source="kafka"} 0.0' in text


def test_a_stall_is_three() -> None:
    text = scraped(situations()["stall"])
    own = 'installation="default",group="scorestream-live",topic="scorestream.app.scores",partition="7"'
    assert f"scorestream_consumer_verdict{{{own}}} 3.0" in text
    assert NOW


def test_customers_are_told_on_demand_the_longest_waits_alone_and_while_the_look_is_new() -> None:
    rows = tuple(CustomerLag(f"c{number}", 90.0 - number, 1) for number in range(60))
    readings = replace(fresh(), customers=Customers(NOW, rows))
    assert "scorestream_customer_lag_seconds" not in scraped(readings)
    lines = scraped(replace(readings, customer_metrics=2)).splitlines()
    assert [line for line in lines if line.startswith("scorestream_customer_lag_seconds{")] == [
        'scorestream_customer_lag_seconds{installation="default",customer="c0"} 90.0',
        'scorestream_customer_lag_seconds{installation="default",customer="c1"} 89.0',
    ]
    old = replace(readings, customer_metrics=2, customers=Customers(NOW - 60, rows))
    assert "scorestream_customer_lag_seconds{" not in scraped(old)
