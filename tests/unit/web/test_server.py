"""The web server: probes, metrics, the page, and nothing but reading."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
import urllib3

from stream.errors import UsageError
from stream.settings_sections import WebSettings
from stream.web.health import Health, HealthCheck
from stream.web.server import Server, serve

READY = [True]


@pytest.fixture
def server() -> Iterator[Server]:
    def health() -> Health:
        return Health(
            live=(HealthCheck("process", True, "answers"),), ready=(HealthCheck("group", READY[0], "joined"),)
        )

    READY[0] = True
    with serve(
        WebSettings(port=0), health=health, state=lambda: {"now": 1.0}, history=course,
        role="monitor", partitions=lambda: [("t", 3)],
    ) as made:  # fmt: skip
        yield made


def course(since: float, *, day: bool = False) -> dict[str, Any]:
    return {"since": since, "day": day}


def ask(server: Server, path: str, method: str = "GET") -> urllib3.BaseHTTPResponse:
    return urllib3.request(method, server.url + path, retries=False)


def test_probes_say_why(server: Server) -> None:
    assert ask(server, "/readyz").status == 200
    READY[0] = False
    answer = ask(server, "/readyz")
    assert answer.status == 503
    assert answer.json()["checks"]["group"] == {"ok": False, "reason": "joined"}
    assert ask(server, "/livez").status == 200


def test_metrics_state_history_and_process(server: Server) -> None:
    assert b"scorestream_messages_consumed" in ask(server, "/metrics").data
    assert ask(server, "/api/state").json() == {"now": 1.0}
    assert ask(server, "/api/history?since=12.5").json() == {"since": 12.5, "day": False}
    assert ask(server, "/api/history?span=day").json() == {"since": 0.0, "day": True}
    process = ask(server, "/api/process").json()
    assert (process["role"], process["partitions"]) == ("monitor", [["t", 3]])


def test_a_page_of_the_internet_cannot_read_it_by_another_name(server: Server) -> None:
    answer = urllib3.request("GET", server.url + "/api/state", headers={"Host": "evil.example"}, retries=False)
    assert answer.status == 421
    assert b"SCORESTREAM_WEB_ALLOWED_HOSTS" in answer.data


def test_it_is_read_only(server: Server) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert ask(server, "/api/state", method).status == 501


def test_no_other_file_is_served(server: Server) -> None:
    for path in ("/server.py", "/../server.py", "/%2e%2e/config.py", "/nothing"):
        assert ask(server, path).status == 404


def test_the_page_needs_nothing_from_elsewhere(server: Server) -> None:
    page = ask(server, "/")
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    for name in ("index.html", "dashboard.css", "dashboard.js"):
        text = (files("stream.web") / name).read_text("utf-8")
        urls = [u for u in re.findall(r"https?://[^\s\"')]+", text) if not u.startswith("http://www.w3.org/")]
        assert not urls
        assert ask(server, "/" + ("" if name == "index.html" else name)).status == 200
    assert b"First action" in ask(server, "/runbooks").data


def test_a_port_that_is_taken_is_one_clear_line(server: Server) -> None:
    with pytest.raises(UsageError, match="SCORESTREAM_WEB_PORT"):
        serve(WebSettings(port=server.port), health=Health)


def test_a_worker_whose_port_is_taken_takes_another_and_says_so(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(WebSettings(port=server.port), health=Health, any_port=True) as second:
        assert second.port != server.port
        assert ask(second, "/livez").status == 200
        assert ask(server, "/livez").status == 200
    (said,) = (vars(record) for record in caplog.records if hasattr(record, "taken"))
    assert (said["taken"], said["port"]) == (server.port, second.port)


def test_it_ends_at_once(server: Server) -> None:
    began = time.monotonic()
    server.close()
    assert time.monotonic() - began < 0.4


def contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    brighter, darker = sorted((light(one), light(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def test_colours_can_be_read_in_light_and_dark() -> None:
    css = (files("stream.web") / "dashboard.css").read_text("utf-8")
    for block in re.findall(r":root \{([^}]*)\}", css):
        named = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]+)", block))
        colours = {k: v if len(v) == 7 else "#" + "".join(c * 2 for c in v[1:]) for k, v in named.items()}
        for ink in ("ink", "muted", "accent", "ok", "warn", "bad", "note", "odd"):
            assert contrast(colours[ink], colours["card"]) >= 4.5, ink
        for tone in ("ok", "warn", "bad", "note", "odd"):
            assert contrast(colours[tone], colours[f"{tone}-bg"]) >= 4.5, tone
            assert contrast(colours["muted"], colours[f"{tone}-bg"]) >= 4.5, tone


def test_json_never_has_nan() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        json.dumps(float("nan"), allow_nan=False)
