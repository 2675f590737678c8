"""Many installations on one server: the table, a page for each, and what a silent one does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from stream.settings_sections import WebSettings
from stream.web.fleet_pages import split
from stream.web.health import Health
from stream.web.server import Server, serve


class Two:
    """One that answers, and one that does not."""

    def table(self) -> dict[str, Any]:
        return {"now": 1.0, "rows": [{"name": "us 1"}, {"name": "eu-1"}]}

    def exposition(self) -> bytes:
        return b'scorestream_installation_up{installation="eu-1"} 1.0\n'

    def __contains__(self, name: object) -> bool:
        return name in ("eu-1", "us 1")

    def state(self, name: str) -> dict[str, Any] | None:
        return {"name": name} if name == "eu-1" else None

    def history(self, name: str, since: float, *, day: bool = False) -> dict[str, Any]:
        return {"of": name, "since": since, "day": day}


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(WebSettings(port=0), health=Health, fleet=Two(), role="fleet") as made:
        yield made


def ask(server: Server, path: str) -> urllib3.BaseHTTPResponse:
    return urllib3.request("GET", server.url + path, retries=False)


def test_the_table_and_a_page_for_each(server: Server) -> None:
    assert b'id="fleet"' in ask(server, "/").data
    assert ask(server, "/fleet").data == ask(server, "/").data
    assert [each["name"] for each in ask(server, "/api/fleet").json()["rows"]] == ["us 1", "eu-1"]
    assert b'id="partitions"' in ask(server, "/installation/eu-1/").data
    assert ask(server, "/installation/eu-1/api/state").json() == {"name": "eu-1"}
    assert ask(server, "/installation/us%201/api/history?since=4").json() == {"of": "us 1", "since": 4.0, "day": False}
    assert ask(server, "/installation/eu-1/api/history?span=day").json()["day"]
    for path in ("dashboard.js", "dashboard.css", "icon.svg", "runbooks"):
        assert ask(server, "/installation/eu-1/" + path).status == 200
    assert ask(server, "/fleet.js").status == 200
    assert b'scorestream_installation_up{installation="eu-1"} 1.0' in ask(server, "/metrics").data


def test_one_that_does_not_answer_and_one_that_nobody_knows(server: Server) -> None:
    assert ask(server, "/installation/us%201/api/state").status == 503
    assert ask(server, "/installation/us%201/").status == 200
    for path in ("/installation/xx/", "/installation/xx/api/state", "/installation/eu-1/metrics", "/installation/eu-1"):
        assert ask(server, path).status == 404


def test_the_own_installation_keeps_the_first_page() -> None:
    with serve(WebSettings(port=0), health=Health, state=lambda: {"now": 1.0}, fleet=Two()) as server:
        assert b'id="partitions"' in ask(server, "/").data
        assert b'id="fleet"' in ask(server, "/fleet").data


def test_without_a_fleet_there_is_no_such_page() -> None:
    with serve(WebSettings(port=0), health=Health, state=lambda: {"now": 1.0}) as server:
        assert {ask(server, path).status for path in ("/fleet", "/api/fleet", "/installation/eu-1/")} == {404}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/installation/eu-1/", ("eu-1", "/")),
        ("/installation/a%2Fb/api/state", ("a/b", "/api/state")),
        ("/installation/eu-1", None),
        ("/api/state", None),
    ],
)
def test_a_path_names_its_installation(path: str, found: tuple[str, str] | None) -> None:
    assert split(path) == found
