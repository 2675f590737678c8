"""Histories by seed: run one, find the smallest that goes wrong."""

from __future__ import annotations

import argparse
import logging
import random
import time
from dataclasses import replace
from typing import Any

from tests.model.faults import (
    TIMES,
    Faults,
    Violation,
)
from tests.model.world import World

FAULTS = (
    "errors", "incremental", "resend", "toast", "initial", "replay", "pauses", "crashes", "hidden", "refused",
    "under_way", "late_inserts", "large", "fail_overs", "cancels", "identity", "rewinds",
)  # fmt: skip


def run_seed(seed: int, faults: Faults | None = None, *, target: Any = None, trace: bool = False) -> World:
    """The history of a seed. Without `faults` the seed also chooses the events that may happen in it.

    Args:
        target: replaces the fake; it must be empty, and have `on_call` and `visible` as the fake does.
    """
    choices = random.Random(seed)
    if faults is None:
        faults = Faults(
            steps=choices.choice([15, 30, 60]),
            workers=choices.randrange(1, 4),
            crashes=choices.random() < 0.5,
            pauses=choices.random() < 0.5,
            errors=choices.random() < 0.3,
            late_inserts=choices.random() < 0.3,
            replay=choices.random() < 0.5,
            incremental=choices.random() < 0.5,
            resend=choices.random() < 0.3,
            toast=choices.random() < 0.3,
            initial=choices.random() < 0.5,
            hidden=choices.random() < 0.5,
            refused=choices.random() < 0.3,
            under_way=choices.random() < 0.5,
            rows=choices.choice([1, 1, 2, 3]),
            places=choices.choice([2, 3, len(TIMES)]),
            large=choices.random() < 0.5,
            fail_overs=choices.random() < 0.3,
            cancels=choices.random() < 0.5,
            identity=choices.random() < 0.3,
            rewinds=choices.random() < 0.3,
        )
    world = World(choices, faults, target=target, trace=trace)
    if trace:
        print(faults)
    world.run()
    return world


def smallest(seed: int, faults: Faults) -> Faults:
    """The fewest faults with which this seed still goes wrong (a first aid for reading it)."""
    for name in FAULTS:
        tried = replace(faults, **{name: False})
        if _fails(seed, tried):
            faults = tried
    return faults


def _fails(seed: int, faults: Faults) -> bool:
    try:
        run_seed(seed, faults)
    except Violation:
        return True
    return False


def main() -> int:
    """Exit 0 = no violation found, 1 = one was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--keep-going", action="store_true")
    options = parser.parse_args()
    logging.disable()
    if options.seed is not None:
        run_seed(options.seed, trace=options.trace)
        return 0
    start, first, histories, failed = time.monotonic(), random.randrange(1 << 40), 0, 0
    while time.monotonic() - start < options.seconds:
        seed = first + histories
        histories += 1
        try:
            run_seed(seed)
        except Violation as violation:
            failed += 1
            print(f"seed {seed}: {str(violation)[:300]}", flush=True)
            if not options.keep_going:
                return 1
    print(f"{histories} histories, {failed} with a violation, {time.monotonic() - start:.0f} s")
    return 1 if failed else 0
