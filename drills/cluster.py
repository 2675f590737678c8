"""Three brokers, two Connect workers: `python -m drills.cluster [--seed N] [--kills N] [--away S] [--copies N]`.

    kills amid open transactions -> each part away -> topics changed -> Connect killed amid a COPY -> compare

`--first N` goes on with round N of an earlier run: the run's seed and the number seed a round.
Exit 0 = PASS, 1 = FAIL, 2 = usage. The table goes to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from devstack.stack import Stack
from drills.cluster_faults import AWAY, COPY, FAULTS, KILLS
from drills.drill import Options, run
from drills.faults import schedule
from drills.show import say, show
from drills.topic_faults import TOPICS
from testbed.universe import Universe

CATALOG = FAULTS | TOPICS


def main() -> int:
    options = _options()
    if unknown := [name for name in options.only or () if name not in CATALOG]:
        print(f"drill: no such fault {', '.join(unknown)}; there are {', '.join(CATALOG)}", file=sys.stderr)
        return 2
    faults = [*(options.only or _series(options))][options.first :]
    chosen = Options(
        seed=options.seed,
        faults=faults,
        first=options.first,
        rate=options.rate,
        rows=options.rows,
        between_s=1.0,
        catalog=CATALOG,
        away_s=options.away,
    )
    say(f"seed {options.seed}, {len(faults)} rounds: starting three brokers and two Connect workers in {options.dir}")
    stack = Stack(options.dir, brokers=3, connect_workers=2)
    folder = Path(tempfile.mkdtemp(prefix="drill-cluster-"))
    passed = False
    try:
        stack.up()
        universe = Universe(stack.env(), folder)
        universe.set_up()
        result = run(universe, stack, chosen, say=say)
        passed = result.passed
        show(result, as_json=options.json)
    finally:
        if not options.keep:
            stack.clean()
        if options.keep or not passed:
            say(f"logs of the workers: {folder}")
    return 0 if passed else 1


def _series(options: argparse.Namespace) -> list[str]:
    kills = schedule(random.Random(options.seed), list(KILLS), options.kills)
    return [*kills, *(AWAY if options.away else ()), *(TOPICS if options.topics else ()), *[*COPY] * options.copies]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="drills.cluster", description="Kill brokers, Connect workers and workers of a cluster; compare at the end."
    )
    parser.add_argument("--seed", type=int, default=1, help="of changes and faults (default: 1)")
    parser.add_argument("--kills", type=int, default=20, help="rounds of SIGKILL amid open transactions (default: 20)")
    parser.add_argument("--away", type=float, default=60, help="seconds each part is away; 0 = none is (default: 60)")
    parser.add_argument("--copies", type=int, default=50, help="kills of Connect amid a COPY (default: 50)")
    parser.add_argument("--topics", action=argparse.BooleanOptionalAction, default=True, help="change topics, too")
    parser.add_argument("--only", type=lambda text: text.split(","), help=f"these instead: {', '.join(CATALOG)}")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="begin with round N of the run (default: 0)")
    parser.add_argument("--rate", type=float, default=100, help="rows changed per second (default: 100)")
    parser.add_argument("--rows", type=int, default=300, help="scorecards at the start (default: 300)")
    parser.add_argument("--dir", type=Path, default=Path(".devstack-cluster"), help="(default: .devstack-cluster)")
    parser.add_argument("--keep", action="store_true", help="leave the stack as it is at the end")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
