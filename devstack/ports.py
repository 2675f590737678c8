"""Ports and passwords, chosen once for each stack and kept beside its data."""

from __future__ import annotations

import json
import os
import random
import secrets
import socket
from collections.abc import Iterable
from pathlib import Path

from devstack.process import write_atomically

# Below the range of the local ports of outgoing connections (32768 and up on Linux): a part that is restarted finds its
# port free.
FIRST, LAST = 20_000, 32_000


def ports(path: Path, names: Iterable[str]) -> dict[str, int]:
    """A port for each name: DEVSTACK_<NAME>_PORT, else the one kept in `path`, else a free one; written to `path`."""
    kept: dict[str, int] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    chosen = dict(kept)
    for name in names:
        if fixed := os.environ.get(f"DEVSTACK_{name.upper().replace('-', '_')}_PORT"):
            chosen[name] = int(fixed)
        elif name not in chosen:
            chosen[name] = _free(taken=set(chosen.values()))
    if chosen != kept:
        write_atomically(path, json.dumps(chosen, indent=1) + "\n", 0o644)
    return chosen


def passwords(path: Path, names: Iterable[str]) -> dict[str, str]:
    """A generated password for each name, kept in `path` (mode 0600)."""
    kept: dict[str, str] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    chosen = {name: kept.get(name) or secrets.token_urlsafe(18) for name in names}
    if chosen != kept:
        write_atomically(path, json.dumps(chosen, indent=1) + "\n")
    return chosen


def is_free(port: int) -> bool:
    """Whether no process listens on the port of 127.0.0.1."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger don't count
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free(*, taken: set[int]) -> int:
    for port in random.sample(range(FIRST, LAST), k=200):
        if port in taken:
            continue
        if is_free(port):
            return port
    raise OSError(f"no free port between {FIRST} and {LAST}")
