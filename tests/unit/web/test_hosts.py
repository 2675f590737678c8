"""A page on the internet must not read the server by DNS rebinding."""

from __future__ import annotations

import pytest

from stream.web.hosts import is_allowed


@pytest.mark.parametrize(
    "host",
    [
        None, "127.0.0.1:6066", "[::1]:6066", "localhost:6066", "worker:6066", "10.1.2.3",
        "scorestream-monitor.prod.svc.cluster.local:6067", "host.internal",
    ],
)  # fmt: skip
def test_addresses_and_names_that_no_public_dns_has_are_answered(host: str | None) -> None:
    assert is_allowed(host)


@pytest.mark.parametrize("host", ["evil.example:6066", "127.0.0.1.evil.example", "svc.evil.example"])
def test_names_of_the_public_dns_are_refused(host: str) -> None:
    assert not is_allowed(host)


def test_more_names_are_a_setting() -> None:
    assert is_allowed("Stream.Example:443", names=["stream.example"])
    assert is_allowed("a.stream.example", names=[".stream.example"])
    assert not is_allowed("a.stream.example", names=["stream.example"])
