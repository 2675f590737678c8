"""Faults in the middle of a large reindex: the worker is killed, or another one joins the group and leaves it."""

from __future__ import annotations

from drills.workers import Supervised
from testbed.universe import Universe, wait_for

BEGINS, ENDS = 'msg="large reindex begins"', 'msg="large reindex ends"'


def kill(universe: Universe, worker: Supervised) -> None:
    """SIGKILL; the supervisor starts it again."""
    _wait_until_under_way(worker)
    worker.kill()


def rebalance(universe: Universe, worker: Supervised) -> None:
    """A second worker takes half of the partitions, and gives them back."""
    _wait_until_under_way(worker)
    second = Supervised(universe, 2)
    try:
        wait_for("it has partitions", lambda: "msg=assigned" in _log(second), deadline_s=60)
        assert second.stop() == 0, "the second worker did not end well"
    finally:
        second.end()


def _wait_until_under_way(worker: Supervised) -> None:
    def pieces() -> bool:
        log = _log(worker)
        return log.rfind(BEGINS) > log.rfind(ENDS)

    wait_for("a large reindex is under way", pieces, deadline_s=120, every_s=0.1)


def _log(worker: Supervised) -> str:
    return worker.log.read_text("utf-8", "replace")
