"""Which Host headers are answered: a page on the internet must not read this server by DNS rebinding.

Enters: the Host header. Leaves: whether it names this server. A browser asks for a rebinding page by the attacker's own
name. So addresses, names without a domain, and names that no public DNS gives out are safe.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

_INSIDE: Final = (".localhost", ".local", ".internal", ".svc", ".cluster.local", ".test")


def is_allowed(header: str | None, *, names: Sequence[str] = ()) -> bool:
    """Whether a request with this Host header is answered.

    Args:
        names: further host names; one that begins with a dot stands for all names that end with it.
    """
    if not header:  # HTTP/1.0, which no browser speaks
        return True
    host = _without_port(header).lower().rstrip(".")
    if "." not in host or _is_address(host) or host == socket.gethostname().lower():
        return True
    suffixes = (*_INSIDE, *(name.lower() for name in names if name.startswith(".")))
    return host.endswith(suffixes) or host in {name.lower() for name in names}


def _without_port(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
