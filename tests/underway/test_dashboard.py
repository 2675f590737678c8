"""The dashboard in a headless Chromium: each state as an operator sees it, on a desk and on a phone.

Screenshots are kept below the test's temporary directory. Where no browser is on PATH the test says so and checks the
document behind the page only; `apt-get install chromium` provides one.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
import urllib3

from stream.config import WebSettings
from stream.diagnosis import findings, freshness, headline
from stream.health import Health
from stream.history import History
from stream.monitor_state import state
from stream.web.server import serve
from tests.unit.situations import situations

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SHOWN = {
    "fresh": "Everything committed in Postgres is visible",
    "lagging": "caught up in about",
    "stall": "worker host-b (pid 4711) holds it",
    "worker-absent": "No worker is in group scorestream-live",
    "replaying": "june",
    "connector-failed": "slot is in use",
    "shard-down": "ClickHouse shard 1 does not answer",
}


@pytest.mark.parametrize("name", SHOWN)
def test_the_page_shows_the_state(name: str, tmp_path: Path) -> None:
    now = time.time()
    readings = situations(now)[name]
    found, how = findings(readings), freshness(readings)
    document = state(readings, found, headline(readings, found, how), how)
    history = History()
    history.add(now, {"freshness": how.seconds, "lag:scores": how.seconds}, level="fresh", title="Fresh")
    with serve(WebSettings(port=0), health=Health, state=lambda: document, history=history.since) as server:
        if BROWSER is None:
            print("no Chromium on PATH: the page was not drawn")
            text = urllib3.request("GET", server.url + "/api/state").data.decode()
            assert SHOWN[name] in text
            return
        page = chromium(tmp_path, server.url + "/", "--dump-dom")
        assert 'data-ready="yes"' in page, "the script did not come to its end"
        assert SHOWN[name] in page
        assert f'data-level="{document["headline"]["level"]}"' in page
        for size in ("1440,900", "390,844"):
            shot = tmp_path / f"{name}-{size}.png"
            chromium(tmp_path, server.url + "/", f"--window-size={size}", f"--screenshot={shot}")
            assert shot.stat().st_size > 20_000


def chromium(home: Path, url: str, *options: str) -> str:
    assert BROWSER is not None
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=4000",
        f"--user-data-dir={home / 'profile'}", *options, url,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    return done.stdout
