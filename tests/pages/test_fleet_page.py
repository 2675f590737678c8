"""The page of all installations in a real Chromium: the worst first, and a click leads to the page of one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from stream.errors import KafkaUnavailable
from stream.fleet.look import FleetLook
from stream.settings_sections import WebSettings
from stream.web.health import Health
from stream.web.server import Server, serve
from tests.browser import SIZES, browser, page
from tests.unit.fleet.test_rows import document

WELL = [f"eu-{number}" for number in range(1, 7)]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


def away() -> dict[str, Any]:
    raise KafkaUnavailable("Kafka at kafka.us-2.example:9092: no answer")


@pytest.fixture
def server() -> Iterator[Server]:
    """Six that are well, one that is stuck, one that does not answer."""
    asks = {name: partial(document, "fresh", cluster=name) for name in WELL}
    with FleetLook(asks | {"us-1": partial(document, "stall", cluster="C"), "us-2": away}) as look:
        look.once(timeout_s=20)
        with serve(WebSettings(port=0), health=Health, fleet=look, role="fleet") as made:
            yield made


def test_the_worst_come_first_and_say_why(chromium: Browser, server: Server, tmp_path: Path) -> None:
    with page(chromium, server.url) as shown:
        assert shown.inner_text("#title") == "8 installations, 2 need an operator"
        assert shown.get_attribute("body", "data-level") == "stuck"
        names = shown.locator("#fleet tbody tr[data-name]").evaluate_all("rows => rows.map(row => row.dataset.name)")
        assert names == ["us-2", "us-1", *WELL]
        assert "kafka.us-2.example:9092: no answer" in shown.inner_text("#fleet")
        for size, scheme in (("desk", "light"), ("desk", "dark"), ("phone", "light")):
            width, height = SIZES[size]
            shown.set_viewport_size({"width": width, "height": height})
            shown.emulate_media(color_scheme=scheme)
            assert shown.evaluate("document.documentElement.scrollWidth") <= width
            shown.screenshot(path=tmp_path / f"fleet-{size}-{scheme}.png", full_page=True)


def test_a_name_leads_to_the_page_of_the_installation_and_back(chromium: Browser, server: Server) -> None:
    with page(chromium, server.url) as shown:
        shown.get_by_role("link", name="us-1", exact=True).click()
        shown.wait_for_url("**/installation/us-1/")
        shown.wait_for_selector("body[data-level=stuck][data-ready=yes]")
        assert "worker host-b (pid 4711) holds it" in shown.inner_text("#sentence")
        shown.get_by_role("link", name="all installations").click()
        shown.wait_for_url("**/fleet")
        shown.wait_for_selector("body[data-ready=yes]")


def test_the_page_of_a_silent_one_does_not_look_fresh(chromium: Browser, server: Server) -> None:
    shown = chromium.new_page()  # its console complains of refused requests, as it must here
    shown.goto(server.url + "/installation/us-2/")
    shown.wait_for_selector("body[data-level=unknown]")
    shown.get_by_text("The monitor does not answer").wait_for(timeout=15_000)
    shown.close()
