"""Look-ups on a standby that is behind: `python -m drills.standby_behind [--behind MS] [--seconds S] [--rate R]`.

    primary -> standby that applies each commit later (recovery_min_apply_delay) -> worker looks up there -> compare

A look-up that is older than its message would drop a change for good; the comparison finds it.
Exit 0 = PASS, 1 = FAIL. The result goes to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psycopg

from devstack.parts.postgres import READER_ROLE, SUPERUSER
from devstack.stack import Stack
from drills import marks
from drills.compare import FINDINGS
from drills.drill import settle
from drills.readers import p50
from drills.show import say
from drills.workers import Supervised
from drills.writer import Writer
from testbed.servers import Servers
from testbed.universe import Universe

VISIBLE_S = 120.0


@dataclass
class Result:
    """The findings. `visible_s`: from a commit of marks until all of them were visible."""

    behind_ms: int
    rows: int = 0
    visible_s: list[float] = field(default_factory=list)
    findings: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    lag: int | None = None
    own_ends: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return set(self.findings) == set(FINDINGS) and not any(self.findings.values()) and not self.own_ends


def drill(universe: Universe, servers: Servers, options: argparse.Namespace) -> Result:
    """Write for some time while the worker looks up on the standby, then compare."""
    result = Result(options.behind)
    _look_up_on_a_standby(universe, servers, options.behind)
    worker = Supervised(universe, 1)
    writer = Writer(universe.postgres, seed=options.seed, rate=options.rate, rows=options.rows)
    try:
        marks.wait_until_visible(universe, marks.mark(universe), deadline_s=VISIBLE_S)
        say(f"the worker looks up on a standby {options.behind} ms behind; {options.rate:g} rows/s")
        writer.start()
        until = time.monotonic() + options.seconds
        while time.monotonic() < until:
            began = time.monotonic()
            marks.wait_until_visible(universe, marks.mark(universe), deadline_s=VISIBLE_S)
            result.visible_s.append(round(time.monotonic() - began, 2))
        writer.stop()
        settle(universe, result)
        result.own_ends = worker.own_ends()
    finally:
        writer.stop()
        worker.stop()
    result.rows = writer.rows
    return result


def _look_up_on_a_standby(universe: Universe, servers: Servers, behind_ms: int) -> None:
    servers.follow()
    standby = servers.standby
    assert standby is not None
    with psycopg.connect(standby.url(SUPERUSER, database="postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET recovery_min_apply_delay = '{behind_ms}ms'".encode())
        connection.execute("SELECT pg_reload_conf()")
    universe.env["SCORESTREAM_POSTGRES_DSN"] = standby.url(READER_ROLE, database=universe.name, password=False)
    universe.env["SCORESTREAM_POSTGRES_STANDBY"] = "true"


def main() -> int:
    options = _options()
    stack, folder = Stack(options.dir), Path(tempfile.mkdtemp(prefix="standby-"))
    try:
        stack.up(["kafka", "connect", "clickhouse"])
        with Servers(stack, folder / "servers") as servers:
            universe = Universe(stack.env() | servers.env, folder)
            universe.set_up()
            result = drill(universe, servers, options)
    finally:
        stack.clean()
    _show(result, as_json=options.json)
    return 0 if result.passed else 1


def _show(result: Result, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"passed": result.passed} | asdict(result), indent=2))
        return
    words = ", ".join(f"{count} {finding}" for finding, count in result.findings.items())
    for line in result.examples + result.own_ends:
        print(f"  {line}")
    print(
        f"drill: {'PASS' if result.passed else 'FAIL'}, standby {result.behind_ms} ms behind, {result.rows:,} rows, "
        f"visible p50 {p50(result.visible_s) or 0:.2f} s, max {max(result.visible_s, default=0):.2f} s: {words}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="drills.standby_behind", description="Look up places on a standby that is behind; compare at the end."
    )
    parser.add_argument("--seed", type=int, default=1, help="of changes (default: 1)")
    parser.add_argument("--behind", type=int, default=500, help="milliseconds (default: 500)")
    parser.add_argument("--seconds", type=float, default=60, help="(default: 60)")
    parser.add_argument("--rate", type=float, default=200, help="rows changed per second (default: 200)")
    parser.add_argument("--rows", type=int, default=300, help="scorecards at the start (default: 300)")
    parser.add_argument("--dir", type=Path, default=Path(".devstack-failover"), help="(default: .devstack-failover)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
