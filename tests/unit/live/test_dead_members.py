"""Which members of the group are dead for certain, and what is sent for them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import NodeNotReadyError
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.group import LeaveGroupRequest

from stream.live import dead_members
from stream.live.dead_members import client_id, is_dead, make_the_dead_leave

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells where a process number means something")


def of(pid: int) -> str:
    """The client id of another process here."""
    return client_id().replace(f"-{os.getpid()}-", f"-{pid}-")


@pytest.fixture(scope="module")
def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@linux
def test_only_a_process_of_here_that_is_gone_is_dead(gone: int) -> None:
    assert is_dead(of(gone))
    assert not is_dead(client_id())  # this one
    assert not is_dead(of(os.getppid()))
    tag = client_id().rsplit("-", 1)[1]
    assert not is_dead(of(gone).replace(tag, "00000000"))  # another boot, another container
    assert not is_dead("scorestream-another-host-" + of(gone).split("-", 2)[-1])
    assert not is_dead(f"scorestream-replay-{gone}")
    assert not is_dead("")


def test_where_nothing_can_be_told_nobody_is_dead(gone: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = of(gone)
    monkeypatch.setattr(dead_members, "_PROC", tmp_path)  # no Linux
    assert client_id().endswith(f"-{os.getpid()}")
    assert not is_dead(known)
    assert not is_dead(client_id().replace(str(os.getpid()), str(gone)))


class Coordinator:
    """aiokafka's coordinator, with a group of these client ids."""

    group_id = "live"

    def __init__(self, clients: list[str], *, fails: bool = False) -> None:
        self.members = [(f"member-{client}", client, "/127.0.0.1", b"", b"") for client in clients]
        self.left: list[str] = []
        self._fails = fails

    async def ensure_coordinator_known(self) -> None:
        if self._fails:
            raise NodeNotReadyError

    async def _send_req(self, request: Any) -> Any:
        if isinstance(request, LeaveGroupRequest):
            self.left.append(request._member_id)
            return SimpleNamespace(error_code=0)
        assert isinstance(request, DescribeGroupsRequest)
        return SimpleNamespace(groups=[(0, "live", "Stable", "consumer", "range", self.members)])


@linux
def test_the_dead_leave_and_the_others_stay(gone: int) -> None:
    coordinator = Coordinator([of(gone), client_id(), "scorestream-elsewhere-1-0123abcd"])
    assert asyncio.run(make_the_dead_leave(coordinator)) == 1
    assert coordinator.left == [f"member-{of(gone)}"]


def test_a_group_that_cannot_be_asked_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert asyncio.run(make_the_dead_leave(Coordinator([], fails=True))) == 0
    assert "could not look for dead members" in caplog.text
