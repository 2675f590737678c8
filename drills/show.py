"""What a drill says: its steps on stderr, its result on stdout as a table and a verdict, or JSON."""

from __future__ import annotations

import json
import sys
import time

from drills.drill import Result


def say(line: str) -> None:
    """Print a step, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def show(result: Result, *, as_json: bool) -> None:
    """Print it."""
    if as_json:
        print(json.dumps(result.as_json(), indent=2))
        return
    wide = max([34, *(len(each.detail) for each in result.rounds)])
    print(f"{'fault':<15} {'detail':<{wide}} {'lasted s':>8} {'recovered s':>11} {'rows':>8}")
    for each in result.rounds:
        recovered = "never" if each.recovered_s is None else f"{each.recovered_s:.1f}"
        print(f"{each.fault:<15} {each.detail:<{wide}} {each.lasted_s:>8.1f} {recovered:>11} {each.rows:>8,}")
    order = result.order
    print(
        f"log: {order.messages:,} messages; same row, later offset: {order.falls} with a lower version, {order.ties} "
        f"told twice; {order.unsequenced} without, {order.backward} with a lower commit LSN than the message before"
    )
    for line in result.examples + order.examples:
        print(f"  {line}")
    if result.own_ends:
        print(f"workers that ended by themselves: {'; '.join(result.own_ends)}")
    words = ", ".join(f"{count} {finding}" for finding, count in result.findings.items())
    print(
        f"drill: {'PASS' if result.passed else 'FAIL'} seed {result.seed}, {len(result.rounds)} faults, "
        f"{result.rows:,} rows changed in {result.seconds:.0f} s: {words}, lag {result.lag}, "
        f"{result.dead_letters} dead letters"
    )
