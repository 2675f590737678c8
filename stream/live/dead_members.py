"""Members of the consumer group whose process is dead: the next worker on the host makes them leave.

A killed worker stays a member until its session times out, and until then its partitions stand still. The worker that
is started in its place can know that it is dead. The client id names the process and the place where that number is
valid, and the number is free. So a crash costs a start, not a session's timeout.

Enters: the members of the group. Leaves: a LeaveGroup for each that is dead for certain. Uncertain cases (another host,
another container, a reused number) are left to the timeout.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import socket
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.group import LeaveGroupRequest

log = logging.getLogger(__name__)

_PROC = Path("/proc")
_PREFIX = "scorestream"
_PATIENCE_S = 5.0


def client_id() -> str:
    """`scorestream-<host>-<process id>[-<tag>]`: lag tools show it, and `is_dead` reads it."""
    parts = [_PREFIX, socket.gethostname(), str(os.getpid())]
    return "-".join([*parts, tag] if (tag := _where()) else parts)


def is_dead(other: str) -> bool:
    """Whether the process of this client id is gone for certain."""
    tag = _where()
    if not tag:
        return False
    ours = re.fullmatch(rf"{_PREFIX}-{re.escape(socket.gethostname())}-(\d+)-{tag}", other)
    return ours is not None and not (_PROC / ours[1]).exists()


async def make_the_dead_leave(coordinator: Any) -> int:
    """Send a LeaveGroup for each dead member of aiokafka's group coordinator; returns how many. Best effort."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await coordinator.ensure_coordinator_known()
            answer = await coordinator._send_req(DescribeGroupsRequest([coordinator.group_id]))
            (group,) = answer.groups
            dead = [(member[0], member[1]) for member in group[5] if is_dead(member[1])]
            for member_id, client in dead:
                await coordinator._send_req(LeaveGroupRequest(coordinator.group_id, member_id))
                log.info("a worker that died leaves the group", extra={"client_id": client})
    except (KafkaError, TimeoutError) as error:
        cause = str(error) or type(error).__name__
        log.warning("could not look for dead members of the group", extra={"cause": cause})
        return 0
    return len(dead)


def _where() -> str:
    """Where process numbers mean the same: this boot of this kernel, this container. Empty when that is unknown.

    The host's name alone is not enough: two containers on the host's network share it, and so may two hosts.
    """
    try:
        boot = (_PROC / "sys" / "kernel" / "random" / "boot_id").read_text("ascii")
        namespace = os.readlink(_PROC / "self" / "ns" / "pid")
    except OSError:  # not Linux
        return ""
    return hashlib.sha256((boot + namespace).encode()).hexdigest()[:8]
