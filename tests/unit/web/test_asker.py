"""The client of this package's own web servers."""

from __future__ import annotations

import pytest

from stream.settings_sections import WebSettings
from stream.web.asker import Asker, AskFailed
from stream.web.health import Health
from stream.web.server import serve


def test_it_gets_what_another_process_tells() -> None:
    with serve(WebSettings(port=0), health=Health) as server:
        asker = Asker(timeout_s=5)
        assert asker.get(server.url + "/livez").startswith(b"{")
        with pytest.raises(AskFailed, match="status 404"):
            asker.get(server.url + "/nothing")
        asker.close()


def test_a_process_that_is_gone_is_told_in_two_words() -> None:
    with serve(WebSettings(port=0), health=Health) as server:
        url = server.url
    with pytest.raises(AskFailed, match=r"^connection refused$"):
        Asker(timeout_s=5).get(url + "/livez")
