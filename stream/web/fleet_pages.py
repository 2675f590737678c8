"""Which installation a path asks about, and what a server with a fleet needs to know of one.

/fleet                              the table of all installations; / where the server has no state of its own
/api/fleet                          its rows
/installation/NAME/                 the dashboard of one, whose state and course stand below it, as below /
/installation/NAME/api/state        503 while it does not answer
"""

from __future__ import annotations

from typing import Any, Final, Protocol
from urllib.parse import unquote

_PREFIX: Final = "/installation/"


class Fleet(Protocol):
    """The newest answers of all installations. No method waits for one of them."""

    def table(self) -> dict[str, Any]:
        """`now`, and `rows`, the worst first."""
        ...

    def exposition(self) -> bytes:
        """Text for /metrics."""
        ...

    def __contains__(self, name: object) -> bool: ...

    def state(self, name: str) -> dict[str, Any] | None:
        """The document of one; None while it does not answer."""
        ...

    def history(self, name: str, since: float, *, day: bool = False) -> dict[str, Any]:
        """The course of one, of the last hour or of the last day."""
        ...


def split(path: str) -> tuple[str, str] | None:
    """`/installation/eu-1/api/state` -> (`eu-1`, `/api/state`); None for other paths."""
    if not path.startswith(_PREFIX):
        return None
    name, slash, rest = path.removeprefix(_PREFIX).partition("/")
    return (unquote(name), slash + rest) if slash else None
