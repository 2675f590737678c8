"""The command: `python -m drills.soak [--hours 2] [--seed N] [--rate N]`.

Exit 0 = PASS, 1 = FAIL, 2 = usage. Ctrl-C ends the run early, with its verdict. Steps and progress go to stderr. The
last line of stdout is the result. A run of at least an hour is kept in benchmarks/results with its picture. A shorter
one is kept in the folder of its logs, and so is one that was interrupted. Growth counts in runs of an hour or more.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.common import RESULTS, publish
from devstack.stack import Stack
from drills.show import say
from drills.soak.gauges import GROUPS, Gauges
from drills.soak.picture import svg
from drills.soak.result import JUDGED_S, Result
from drills.soak.run import Pace, run
from drills.soak.trend import RULE
from stream.config import Settings
from stream.supervise import stop_event
from testbed.replays import settings_of
from testbed.universe import Universe


def main() -> int:
    options = _options()
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)  # it would report each shard that was killed
    stack = Stack(options.dir)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    say(f"seed {options.seed}, {options.hours:g} h: starting a stack in {options.dir}; logs in {folder}")
    with stop_event() as stopping:
        try:
            stack.up()
            universe = Universe(stack.env(), folder)
            universe.set_up()
            result, gauges = run(
                universe,
                stack,
                Pace(options.hours * 3_600),
                seed=options.seed,
                rate=options.rate,
                rows=options.rows,
                stopping=stopping,
                say=say,
            )
            whole = not stopping.is_set() and result.asked_s >= JUDGED_S
            _keep(result, gauges, _Soaked(universe), RESULTS if whole else folder)
        finally:
            stack.clean()
    return 1 if result.faults else 0


@dataclass(frozen=True)
class _Soaked:
    """The system of the run, as benchmarks/common.py takes one."""

    universe: Universe

    @cached_property
    def settings(self) -> Settings:
        return settings_of(self.universe)

    def postgres(self) -> psycopg.Connection[Any]:
        return self.universe.postgres()


def _keep(result: Result, gauges: Gauges, soaked: _Soaked, folder: Path) -> None:
    """Write the picture and the record, and print what was not as it must be, and the verdict."""
    panels = [
        (group, unit, {name: samples for (of, name), samples in gauges.series.items() if of == group})
        for group, (unit, _) in GROUPS.items()
    ]
    picture = svg(panels, run_s=result.ran_s, kills=[at_s for at_s, _ in result.kills])
    (folder / "soak.svg").write_text(picture, "utf-8")
    for line in dict.fromkeys((*result.faults, *result.growing)):
        say(line)
    told = {
        "bench": "soak",
        "passed": not result.faults,
        "hours": round(result.ran_s / 3_600, 2),
        "rows": result.rows,
        "kills": len(result.kills),
        "replays": len(result.replays),
        "clean_comparisons": len(result.verified),
        "series": len(result.trends),
        "not_flat": sum(not each.flat for each in result.trends),
    }
    publish(told, detail=_detail(result), rig=soaked, folder=folder)
    say(f"soak: {'PASS' if not result.faults else 'FAIL'}; record and picture in {folder}")


def _detail(result: Result) -> dict[str, Any]:
    kept = asdict(result)
    kept["verified"] = len(result.verified)
    kept["kills"] = [asdict(each) | {"at_s": round(at_s)} for at_s, each in result.kills]
    kept["trends"] = {each.name: _trend(asdict(each)) | {"flat": each.flat} for each in result.trends}
    return {"faults": result.faults, "rule": RULE} | kept


def _trend(found: dict[str, Any]) -> dict[str, Any]:
    del found["name"]
    return {key: round(value, 2) if isinstance(value, float) else value for key, value in found.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="drills.soak",
        description="Hours of changes, kills and replays; then compare, and look whether anything grew.",
    )
    parser.add_argument("--hours", type=float, default=2, help="(default: 2)")
    parser.add_argument("--seed", type=int, default=1, help="of changes and kills (default: 1)")
    parser.add_argument("--rate", type=float, default=100, help="rows changed per second (default: 100)")
    parser.add_argument("--rows", type=int, default=4_000, help="scorecards, from start to end (default: 4000)")
    parser.add_argument("--dir", type=Path, default=Path(".devstack-soak"), help="(default: .devstack-soak)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
