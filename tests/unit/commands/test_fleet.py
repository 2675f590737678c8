"""`scorestream fleet` against two monitors in this process: whose answer counts, and the exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from stream.settings_sections import WebSettings
from stream.web.health import Health
from stream.web.server import serve
from tests.unit.fleet.test_rows import document


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """Two installations with a monitor each, of which the second is stuck."""
    with ExitStack() as opened:
        text = ""
        for name, cluster, situation in (("eu-1", "A", "fresh"), ("us-1", "B", "worker-absent")):
            told = document(situation, cluster=cluster) | {"group": "scorestream-live"}
            server = opened.enter_context(serve(WebSettings(port=0), health=Health, state=lambda told=told: told))
            text += f'[{name}]\nmonitor_url = "{server.url}"\ncluster = "{cluster}"\n'
            text += f'[{name}.postgres]\ndsn = "postgresql://pg/app"\n'
            text += f'[{name}.kafka]\nbootstrap_servers = "127.0.0.1:1"\n'
        path = tmp_path / "installations.toml"
        path.write_text(text, "utf-8")
        yield path


def test_each_installation_is_asked_at_its_monitor(run: Any, file: Path) -> None:
    code, out, _ = run("fleet", "--file", str(file), "--json")
    stuck, fresh = json.loads(out)
    assert code == 1
    assert [(each["name"], each["level"], each["identity"][0]) for each in (stuck, fresh)] == [
        ("us-1", "stuck", "B"),
        ("eu-1", "fresh", "A"),
    ]


def test_one_that_is_well_exits_with_0(run: Any, file: Path) -> None:
    code, out, err = run("fleet", "--file", str(file), "--only", "eu-1")
    assert (code, err) == (0, "")
    assert out.startswith("1 installations, none needs an operator")


def test_the_answer_of_another_installation_does_not_count(run: Any, file: Path) -> None:
    # given a file whose second installation names the monitor of the first
    text = file.read_text("utf-8")
    urls = [line for line in text.splitlines() if line.startswith("monitor_url")]
    file.write_text(text.replace(urls[1], urls[0]), "utf-8")
    # when it is asked
    code, out, _ = run("fleet", "--file", str(file), "--only", "us-1", "--json", "--timeout", "0.5")
    # then this host asks its parts, which do not answer either
    assert code == 1
    assert json.loads(out)[0]["level"] == "silent"


def test_a_page_of_all_installations_needs_their_file(run: Any) -> None:
    code, _, err = run("monitor", "--fleet")
    assert code == 2
    assert "SCORESTREAM_INSTALLATIONS" in err


def test_usage(run: Any, file: Path) -> None:
    code, _, err = run("fleet")
    assert code == 2
    assert "SCORESTREAM_INSTALLATIONS" in err
    code, _, err = run("fleet", "--file", str(file), "--only", "eu-2")
    assert code == 2
    assert "there are: eu-1, us-1" in err
