"""Which process works on which lane of a replay: advisory locks in Postgres, one for each lane.

A process whose connection breaks loses its lanes. Another may then process a lane a second time, which is harmless: any
message may be processed twice, at any time.
"""

from __future__ import annotations

from stream.postgres.connection import Postgres
from stream.postgres.lock import LockSpace

ADVANCE = -1  # the lock of the process that starts the next pass


class Lanes(LockSpace):
    """The lanes that this process holds. `with`-able, for one thread."""

    def __init__(self, postgres: Postgres, name: str) -> None:
        super().__init__(postgres, f"scorestream replay {name}", what="locks of the replay")
