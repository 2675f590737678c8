"""The bytes of Connect's group protocol."""

from __future__ import annotations

import struct

import pytest

from stream.kafka.connect_workers import address, waits_ms


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def test_the_address_stands_in_the_url_of_a_member() -> None:
    metadata = struct.pack(">h", 2) + text("http://10.0.0.1:8083/") + struct.pack(">q", 7) + struct.pack(">i", -1)
    assert address(metadata) == "10.0.0.1:8083"


@pytest.mark.parametrize("metadata", [b"", b"\0", b"\0\2\0\5ab", b"\0\2\0\2\xff\xff"])
def test_other_bytes_have_no_address(metadata: bytes) -> None:
    assert address(metadata) in ("", "ab")


@pytest.mark.parametrize(("version", "waits"), [(0, 0), (1, 240_000), (2, 240_000)])
def test_the_delay_ends_an_assignment_since_version_1(version: int, waits: int) -> None:
    body = struct.pack(">hh", version, 0) + text("leader") + text("http://10.0.0.1:8083/") + struct.pack(">q", 7)
    assert waits_ms(body + struct.pack(">iii", -1, -1, 240_000)) == waits


def test_a_member_without_an_assignment_waits_for_nothing() -> None:
    assert waits_ms(b"") == 0
