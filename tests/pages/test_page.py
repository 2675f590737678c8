"""The dashboard in a real Chromium, with made-up readings: each state as an operator sees it, on a desk and on a phone.

Screenshots stay below pytest's temporary directory (`--basetemp=DIR` to choose it), to be looked at.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from stream.monitor.customers import CustomerLag, Customers
from stream.monitor.diagnosis import findings, freshness, headline
from stream.monitor.document import state
from stream.monitor.history import History
from stream.monitor.readings import Readings
from stream.settings_sections import WebSettings
from stream.web.health import Health
from stream.web.server import Server, serve
from tests.browser import SIZES, browser, page
from tests.unit.monitor.situations import situations

SHOWN = {
    "fresh": ("fresh", "Everything committed in Postgres is visible"),
    "lagging": ("busy", "caught up in about"),
    "stall": ("stuck", "worker host-b (pid 4711) holds it"),
    "worker-absent": ("stuck", "No worker is in group scorestream-live"),
    "replaying": ("fresh", "running, 42.0 %, 19 s left"),
    "connector-failed": ("stuck", "slot is in use"),
    "connector-paused": ("stuck", "The connector is paused"),
    "shard-down": ("stuck", "ClickHouse shard 1 does not answer"),
    "rewind": ("fresh", "Rewound"),
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@contextmanager
def served(readings: Readings) -> Iterator[Server]:
    found, how = findings(readings), freshness(readings)
    head = headline(readings, found, how)
    document = state(readings, found, head, how)
    history = History()
    for back in range(3600, -1, -5):
        bad = 2000 < back < 2200
        values: dict[str, float | None] = {"messages": 900.0 if bad else 3.0, "produced": 1000.0, "consumed": 990.0}
        values |= {f"lag:{topic}": 30.0 if bad and topic == "scores" else 0.2 for topic in ("scores", "chats")}
        title = "scores-3 stalled" if bad else "Fresh"
        history.add(readings.now - back, values, level="stuck" if bad else "fresh", title=title)
    with serve(WebSettings(port=0), health=Health, state=lambda: document, history=history.since) as server:
        yield server


@pytest.mark.parametrize("name", SHOWN)
def test_the_page_shows_the_state(chromium: Browser, name: str, tmp_path: Path) -> None:
    level, sentence = SHOWN[name]
    with served(situations(time.time())[name]) as server, page(chromium, server.url) as shown:
        assert shown.get_attribute("body", "data-level") == level
        for size, scheme in (("desk", "light"), ("desk", "dark"), ("phone", "light"), ("phone", "dark")):
            width, height = SIZES[size]
            shown.set_viewport_size({"width": width, "height": height})
            shown.emulate_media(color_scheme=scheme)
            # the sentence is seen without scrolling, and nothing sticks out sideways
            top = shown.get_by_text(sentence).first.bounding_box()
            assert top is not None
            assert top["y"] + top["height"] <= height
            assert shown.evaluate("document.documentElement.scrollWidth") <= width
            shown.screenshot(path=tmp_path / f"{name}-{size}-{scheme}.png", full_page=True)


def test_everything_is_reached_by_keyboard(chromium: Browser) -> None:
    with served(situations(time.time())["stall"]) as server, page(chromium, server.url) as shown:
        reached = set()
        for _ in range(14):
            shown.keyboard.press("Tab")
            reached.add(
                shown.evaluate("document.activeElement.id || document.activeElement.getAttribute('aria-label')")
            )
        assert {"runbook", "all", "Topics", "Partitions", "Processes"} <= reached
        # when the box is ticked, all 48 partitions are listed
        shown.focus("#all")
        shown.keyboard.press("Space")
        assert shown.locator("#parts tbody tr").count() == 48


def test_a_monitor_that_goes_away_does_not_look_fresh(chromium: Browser) -> None:
    with served(situations(time.time())["fresh"]) as server:
        shown = chromium.new_page()  # its console complains of failed requests, as it must here
        shown.goto(server.url)
        shown.wait_for_selector("body[data-level=fresh]")
        shown.context.set_offline(True)
        shown.wait_for_selector("body[data-level=unknown]", timeout=15_000)
        assert "The monitor does not answer" in shown.inner_text("#title")
        shown.close()


def test_history_survives_a_reload(chromium: Browser) -> None:
    with served(situations(time.time())["fresh"]) as server, page(chromium, server.url) as shown:
        before = shown.locator("#events").inner_text()
        assert "scores-3 stalled" in before
        shown.reload()
        shown.wait_for_selector("body[data-ready=yes]")
        assert shown.locator("#events").inner_text() == before
        assert len(shown.get_attribute("#chart-lag path", "d") or "") > 1000


def test_the_last_day_is_shown_in_utc(chromium: Browser, tmp_path: Path) -> None:
    with served(situations(time.time())["fresh"]) as server, page(chromium, server.url) as shown:
        shown.check("#day")
        shown.locator("#chart-lag text", has_text="UTC").wait_for()
        hours = [each for each in shown.locator("#chart-lag text").all_text_contents() if ":" in each]
        assert {each[:5] for each in hours} <= {"00:00", "06:00", "12:00", "18:00"}
        assert len(hours) == 4
        assert [each.endswith("UTC") for each in hours] == [False, False, False, True]
        assert shown.inner_text("#span") == "Last 24 hours"
        shown.screenshot(path=tmp_path / "day.png")
        assert "scores-3 stalled" in shown.inner_text("#events")
        shown.uncheck("#day")
        shown.locator("#chart-lag text", has_text="now").wait_for()


def test_customers_are_shown_the_longest_wait_first_and_found_by_name(chromium: Browser, tmp_path: Path) -> None:
    now = time.time()
    rows = tuple(CustomerLag(f"customer-{number:02}", 300.0 - number, 40) for number in range(95))
    readings = replace(situations(now)["lagging"], customers=Customers(now, rows, complete_above_s=30.0))
    with served(readings) as server, page(chromium, server.url) as shown:
        found = shown.locator("#customer-rows tbody tr")
        assert found.count() == 10
        assert found.first.inner_text().split()[0] == "customer-00"
        assert "and 85 more; complete for those later than 30 s" in shown.inner_text("#customers-rest")
        shown.screenshot(path=tmp_path / "customers.png", full_page=True)
        shown.fill("#customer", "customer-94")
        assert found.count() == 1
        shown.fill("#customer", "nobody")
        assert "Nobody of that name is among the 95 longest waits of 95" in shown.inner_text("#customers-rest")
    # and a page whose process asks for no customers has no such card
    with served(situations(now)["fresh"]) as server, page(chromium, server.url) as shown:
        assert shown.locator("#customers").is_hidden()
