"""Fail over and restore: `python -m drills.failover [--seed N] [--only NAME,..] [--rate R] [--json]`.

    writer -> a standby that lags, or not -> the primary is killed -> `scorestream recover` -> compare

Exit 0 = PASS, 1 = FAIL, 2 = usage. The table goes to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from devstack.stack import Stack
from drills import marks
from drills.compare import FINDINGS, compare
from drills.show import say
from drills.workers import Supervised
from drills.writer import Writer
from testbed.servers import Servers
from testbed.universe import Universe

VISIBLE_S = 120.0
RECOVER_S = 300.0


@dataclass(frozen=True)
class Scenario:
    """How the servers stand to each other, and what the new one lacks.

    Attributes:
        slots: the standby copies the connector's slot, and the connector waits for the standby.
        loses: the last transactions, which the connector has sent already, never reach the standby.
        restore: no standby; a dump is restored into a new cluster, and what came after the dump is lost.
    """

    synchronous: bool = False
    slots: bool = False
    loses: bool = False
    restore: bool = False


SCENARIOS = {
    "synchronous": Scenario(synchronous=True),
    "synchronous-slots": Scenario(synchronous=True, slots=True),
    "asynchronous": Scenario(),
    "asynchronous-slots": Scenario(slots=True),
    "asynchronous-loses": Scenario(loses=True),
    "restore": Scenario(restore=True, loses=True),
}


@dataclass
class Round:
    """One fail over. `recover_s`: how long the command took; `found`: what it named; `again`: calls after the first."""

    scenario: str
    found: list[str] = field(default_factory=list)
    steps: dict[str, float] = field(default_factory=dict)  # -> seconds
    repaired: int = 0
    recover_s: float = 0.0
    again: int = 0
    rows: int = 0
    findings: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return set(self.findings) == set(FINDINGS) and not any(self.findings.values())


class Drill:
    """Rounds over one universe, whose source is the server at the address of `servers`."""

    def __init__(self, universe: Universe, servers: Servers, *, seed: int, rate: float, rows: int) -> None:
        self._universe = universe
        self._servers = servers
        self._seed = seed
        self._rate = rate
        self._rows = rows
        self._worker: Supervised | None = None

    def run(self, name: str, *, say: Callable[[str], None] = lambda _: None) -> Round:
        """One scenario, up to the comparison. The next one may follow."""
        scenario, done = SCENARIOS[name], Round(name)
        self._start_worker()
        self._seed += 1
        writer = Writer(self._universe.postgres, seed=self._seed, rate=self._rate, rows=self._rows)
        try:
            writer.start()
            self._visible()
            if scenario.restore:
                self._restore(writer, say)
            else:
                self._fail_over(scenario, say)
            self._recover(done, say)
            writer.stop()
            self._visible()
            done.findings, done.examples = compare(self._universe)
        finally:
            writer.stop()
        done.rows = writer.rows
        return done

    def stop(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _start_worker(self) -> None:
        if self._worker is None:
            self._worker = Supervised(self._universe, 1)

    def _visible(self) -> None:
        marks.wait_until_visible(self._universe, marks.mark(self._universe), deadline_s=VISIBLE_S)

    def _fail_over(self, scenario: Scenario, say: Callable[[str], None]) -> None:
        self._servers.follow(synchronous=scenario.synchronous, sync_slots=scenario.slots)
        if scenario.slots:
            self._servers.await_slot(self._universe.name)
        self._visible()
        if scenario.loses:
            self._servers.cut_standby()
            self._visible()  # what the standby never gets is in ClickHouse
        say("the primary is killed, the standby is promoted")
        self._servers.fail_over()

    def _restore(self, writer: Writer, say: Callable[[str], None]) -> None:
        dump = self._universe.folder / "dump.sql"
        self._servers.dump(self._universe.name, dump)
        self._visible()  # after the dump: lost to the new cluster
        writer.stop()
        say("the server is killed, the dump is restored into a new cluster")
        self._servers.restore(self._universe.name, dump)

    def _recover(self, done: Round, say: Callable[[str], None]) -> None:
        began = time.monotonic()
        while True:
            ended = self._universe.run("recover", "--yes", "--json", check=False, timeout_s=RECOVER_S)
            if ended.returncode == 2 and (start := re.search(r"as (\d{4}-\S+Z),", ended.stderr)):
                say(f"the versions get another epoch from {start[1]} on")
                done.found.append("other-cluster")
                self.stop()
                starts = self._universe.env.get("SCORESTREAM_VERSION_EPOCH_STARTS", "")
                self._universe.env["SCORESTREAM_VERSION_EPOCH_STARTS"] = ",".join(filter(None, [starts, start[1]]))
                self._start_worker()
                continue
            report: dict[str, Any] = json.loads(ended.stdout) if ended.stdout else {}
            done.found += [each["id"] for each in report.get("findings", ())]
            done.steps |= {each["id"]: each["seconds"] for each in report.get("taken", ())}
            done.repaired += report.get("verify", {}).get("repaired_scorecards", 0)
            if ended.returncode == 0:
                break
            if ended.returncode not in (1, 3) or done.again >= 2:
                raise AssertionError(f"recover: exit {ended.returncode}\n{ended.stdout[-3000:]}{ended.stderr[-3000:]}")
            done.again += 1  # a writer goes on: what changes at every look is compared at the next call
        done.recover_s = time.monotonic() - began
        say(f"recovered in {done.recover_s:.1f} s: {', '.join(done.found) or 'nothing wrong'}")


def main() -> int:
    options = _options()
    names = options.only.split(",") if options.only else list(SCENARIOS)
    if unknown := [name for name in names if name not in SCENARIOS]:
        print(f"drill: no such scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}", file=sys.stderr)
        return 2
    stack, folder = Stack(options.dir), Path(tempfile.mkdtemp(prefix="failover-"))
    rounds: list[Round] = []
    try:
        stack.up(["kafka", "connect", "clickhouse"])
        with Servers(stack, folder / "servers") as servers:
            universe = Universe(stack.env() | servers.env, folder)
            universe.set_up()
            drill = Drill(universe, servers, seed=options.seed, rate=options.rate, rows=options.rows)
            try:
                for name in names:
                    say(name)
                    rounds.append(drill.run(name, say=say))
            finally:
                drill.stop()
    finally:
        stack.clean()
    passed = len(rounds) == len(names) and all(each.passed for each in rounds)
    _show(rounds, options.seed, passed, as_json=options.json)
    if passed:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if passed else 1


def _show(rounds: list[Round], seed: int, passed: bool, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"passed": passed, "seed": seed, "rounds": [asdict(each) for each in rounds]}, indent=2))
        return
    print(f"{'scenario':<20} {'streams s':>9} {'all right s':>11} {'repaired':>8} {'rows':>7}  found")
    for each in rounds:
        found = ", ".join(dict.fromkeys(each.found)) or "nothing wrong"
        streams = sum(seconds for step, seconds in each.steps.items() if step != "compare")
        print(
            f"{each.scenario:<20} {streams:>9.1f} {each.recover_s:>11.1f} {each.repaired:>8,} {each.rows:>7,}  {found}"
        )
        print("  " + ", ".join(f"{step} {seconds:.1f} s" for step, seconds in each.steps.items()))
        for line in each.examples:
            print(f"  {line}")
    totals = {name: sum(each.findings.get(name, 0) for each in rounds) for name in FINDINGS}
    words = ", ".join(f"{count} {name}" for name, count in totals.items())
    print(f"drill: {'PASS' if passed else 'FAIL'} seed {seed}, {len(rounds)} fail overs: {words}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="drills.failover", description="Promote standbys, restore a dump, recover; compare each time."
    )
    parser.add_argument("--seed", type=int, default=1, help="of changes (default: 1)")
    parser.add_argument("--only", help=f"some of: {','.join(SCENARIOS)}")
    parser.add_argument("--rate", type=float, default=40, help="rows changed per second (default: 40)")
    parser.add_argument("--rows", type=int, default=400, help="scorecards added by each round (default: 400)")
    parser.add_argument("--dir", type=Path, default=Path(".devstack-failover"), help="(default: .devstack-failover)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
