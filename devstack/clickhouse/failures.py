"""Faults on demand, for drills: the behaviour of a real server in trouble.

`POST /devstack/fail?code=252&times=10` makes the next ten inserts fail with "too many parts". `GET` shows the rest,
`DELETE` ends it. Parameters: `times` (default 1), `on` (insert, select, any), `table` (a part of the statement). And
either `code` (ClickHouse's number, e.g. 252 too many parts, 164 read-only, 241 memory, 159 timeout) or `mode`:

- `close`: close the connection before the statement runs; nothing is stored.
- `lose-answer`: run the statement, then close the connection: stored, but the client does not know.
- `hang`: wait `seconds` (default 30), then run it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from devstack.clickhouse.errors import ServerError

_MESSAGES = {
    252: "Too many parts (3000). Merges are processing significantly slower than inserts",
    164: "Cannot execute query in readonly mode",
    242: "Table is in readonly mode",
    241: "(total) memory limit exceeded: would use 9.00 GiB, maximum: 8.00 GiB",
    159: "Timeout exceeded: elapsed 60 seconds, maximum: 60 seconds",
    202: "Too many simultaneous queries. Maximum: 100",
}
MODES = ("close", "lose-answer", "hang")


class CloseConnection(Exception):
    """Close the socket without an answer."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One order; `times` counts down."""

    times: int = 1
    on: str = "insert"
    table: str = ""
    code: int = 0
    mode: str = ""
    seconds: float = 30

    @classmethod
    def of(cls, params: Mapping[str, str]) -> Fault:
        fault = cls(
            times=int(params.get("times", "1")),
            on=params.get("on", "insert"),
            table=params.get("table", ""),
            code=int(params.get("code", "0")),
            mode=params.get("mode", ""),
            seconds=float(params.get("seconds", "30")),
        )
        if bool(fault.code) == bool(fault.mode) or (fault.mode and fault.mode not in MODES):
            raise ValueError(f"either code=<number> or mode={'|'.join(MODES)}")
        return fault


class Failures:
    """The orders that stand."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def order(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def standing(self) -> list[dict[str, object]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def before(self, word: str, statement: str) -> Fault | None:
        """Called before each statement: fails or delays it. Returns the fault that has a second half (`after`)."""
        fault = self._take("insert" if word == "INSERT" else "select", statement) if self._faults else None
        if fault is None:
            return None
        if fault.code:
            raise ServerError(fault.code, _MESSAGES.get(fault.code, "Ordered by a drill"))
        if fault.mode == "close":
            raise CloseConnection
        if fault.mode == "hang":
            time.sleep(fault.seconds)
        return fault

    def _take(self, kind: str, statement: str) -> Fault | None:
        with self._lock:
            for at, fault in enumerate(self._faults):
                if fault.on in (kind, "any") and fault.table in statement:
                    left = replace(fault, times=fault.times - 1)
                    self._faults[at : at + 1] = [left] if left.times > 0 else []
                    return fault
        return None
