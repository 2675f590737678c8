"""The command: `python -m drills [--seed N] [--rounds N] [--seconds S] [--only worker,kafka] [--json]`.

Exit 0 = PASS, 1 = FAIL, 2 = usage. The table goes to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from devstack.stack import Stack
from drills.drill import Options, run
from drills.faults import FAULTS, schedule
from drills.show import say, show
from testbed.universe import Universe


def main() -> int:
    options = _options()
    names = options.only.split(",") if options.only else list(FAULTS)
    if unknown := [name for name in names if name not in FAULTS]:
        print(f"drill: no such fault {', '.join(unknown)}; there are {', '.join(FAULTS)}", file=sys.stderr)
        return 2
    rounds = options.rounds or (len(names) if options.seconds is None else 10_000)
    chosen = Options(
        seed=options.seed,
        faults=schedule(random.Random(options.seed), names, rounds),
        rate=options.rate,
        rows=options.rows,
        workers=options.workers,
        seconds=options.seconds,
        quick=options.quick,
        windows=options.windows,
    )
    say(f"seed {options.seed}, {rounds} rounds: starting a stack in {options.dir}")
    stack = Stack(options.dir)
    folder = Path(tempfile.mkdtemp(prefix="drill-"))
    passed = False
    try:
        stack.up()
        universe = Universe(stack.env(), folder)
        universe.set_up()
        result = run(universe, stack, chosen, say=say)
        passed = result.passed
        show(result, as_json=options.json)
        if not options.keep:
            universe.close()
    finally:
        if options.keep:
            say(f"kept: {options.dir}, logs of the workers in {folder}")
        else:
            stack.clean()
            if not passed:
                say(f"logs of the workers: {folder}")
    return 0 if passed else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="drills", description="Break a real stack while it works; compare at the end."
    )
    parser.add_argument("--seed", type=int, default=1, help="of changes and faults (default: 1)")
    parser.add_argument("--rounds", type=int, help="faults (default: each kind once)")
    parser.add_argument("--seconds", type=float, help="begin no fault after this time")
    parser.add_argument("--only", help=f"some of: {','.join(FAULTS)}")
    parser.add_argument("--rate", type=float, default=500, help="rows changed per second (default: 500)")
    parser.add_argument("--rows", type=int, default=300, help="scorecards at the start (default: 300)")
    parser.add_argument("--workers", type=int, default=2, help="(default: 2)")
    parser.add_argument("--windows", type=float, default=0, help="spans of time read per second (default: 0)")
    parser.add_argument("--quick", action="store_true", help="faults that last are shorter")
    parser.add_argument("--dir", type=Path, default=Path(".devstack-drill"), help="(default: .devstack-drill)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--keep", action="store_true", help="leave the stack as it is at the end")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
