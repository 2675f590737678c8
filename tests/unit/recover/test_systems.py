"""What Connect says of a connector, as a recovery takes it."""

from __future__ import annotations

from typing import Any

import pytest

from stream.connect.rest import ConnectorStatus, Task
from stream.recover import systems
from stream.recover.facts import Position


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ({}, None),
        ({"lsn": 42}, Position(42)),  # as a recovery stores it
        (
            {"lsn": 10, "lsn_proc": 20, "lsn_commit": 15, "ts_usec": 1_700_000_000_123_456},
            Position(20, 1_700_000_000_123),
        ),
        ({"lsn": 10, "snapshot": "INITIAL", "snapshot_completed": False}, Position(10, snapshot=True)),
        ({"lsn": 10, "snapshot": "INITIAL", "snapshot_completed": True}, Position(10)),
    ],
)
def test_how_far_a_connector_has_read(offset: dict[str, Any], expected: Position | None) -> None:
    assert systems.position_of(offset) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, "UNASSIGNED"),  # just created
        (ConnectorStatus("s", "RUNNING", "w", (Task(0, "RUNNING", "w"),)), "RUNNING"),
        (ConnectorStatus("s", "RUNNING", "w", ()), "UNASSIGNED"),  # its task has not started
        (ConnectorStatus("s", "RUNNING", "w", (Task(0, "FAILED", "w", "why"),)), "FAILED"),
        (ConnectorStatus("s", "STOPPED", "w", ()), "STOPPED"),
    ],
)
def test_one_word_for_connector_and_tasks(status: ConnectorStatus | None, expected: str) -> None:
    assert systems._state(status) == expected
