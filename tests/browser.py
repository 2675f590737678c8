"""A headless Chromium that looks at the dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

from testbed.programs import chromium

SIZES = {"desk": (1440, 900), "phone": (390, 844)}
_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@contextmanager
def browser() -> Iterator[Browser]:
    """For the length of a block."""
    program, env = chromium()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, env=dict(env), args=_QUIET)
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def page(opened: Browser, url: str) -> Iterator[Page]:
    """The page after its first answer; at the end it must not have complained on the console."""
    width, height = SIZES["desk"]
    shown = opened.new_page(viewport={"width": width, "height": height})
    complaints: list[str] = []
    shown.on("console", lambda message: complaints.append(message.text))
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        shown.goto(url)
        shown.wait_for_selector("body[data-ready=yes]")
        yield shown
    finally:
        shown.close()
    assert complaints == []
