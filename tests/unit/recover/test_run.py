"""The loop: the plan is derived afresh after each step, so a run that was killed goes on at the same place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from stream.errors import Stop, UsageError
from stream.pipeline.ordering import LSN_BITS
from stream.recover.facts import Facts, Position
from stream.recover.findings import reached
from stream.recover.plan import RecoveryStep
from stream.recover.run import recover, recover_and_compare
from tests.unit.recover.test_plan import HEALTHY, SLOT


class FakeSystems:
    """Postgres and Connect as facts; each step changes them as the real ones do. `broken`: steps without effect."""

    def __init__(self, facts: Facts, *, broken: tuple[str, ...] = (), dies_after: int = 1_000) -> None:
        self.facts = facts
        self.broken = broken
        self.done: list[str] = []
        self._left = dies_after

    def look(self) -> Facts:
        return self.facts

    def do(self, step: RecoveryStep) -> None:
        self.done.append(step.id)
        if step.id not in self.broken:
            self.facts = _EFFECTS.get(step.id, lambda facts: facts)(self.facts)
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


_EFFECTS: dict[str, Callable[[Facts], Facts]] = {
    "stop-connector": lambda facts: replace(facts, connector="STOPPED", failures=()),
    "start-connector": lambda facts: replace(facts, connector="RUNNING"),
    "restart-connector": lambda facts: replace(facts, connector="RUNNING", failures=()),
    "create-connector": lambda facts: replace(facts, connector="STOPPED"),
    "configure-connector": lambda facts: replace(facts, drifted=()),
    "forget-offset": lambda facts: replace(facts, position=None),
    "set-offset": lambda facts: replace(facts, position=Position(facts.slot.confirmed if facts.slot else 0)),
    "drop-slot": lambda facts: replace(facts, slot=None),
    "create-slot": lambda facts: replace(facts, slot=replace(SLOT, confirmed=facts.server.lsn)),
    "publish": lambda facts: replace(facts, unpublished=()),
    "pass-versions": lambda facts: replace(facts, server=replace(facts.server, lsn=reached(facts) + 8)),
    "create-topics": lambda facts: replace(facts, missing_topics=()),
}
LOST = replace(
    HEALTHY, slot=replace(SLOT, lost="wal_removed"), unpublished=None, missing_topics=("t",), connector="FAILED"
)


def run(systems: FakeSystems) -> list[str]:
    return [each.step.id for each in recover(systems, on_step=lambda step, left: None)]


def test_everything_at_once_is_put_right_in_one_run() -> None:
    systems = FakeSystems(LOST)
    assert run(systems) == [
        "stop-connector", "forget-offset", "drop-slot", "publish", "create-topics", "create-slot", "set-offset",
        "start-connector", "stream",
    ]  # fmt: skip
    assert systems.facts.connector == "RUNNING"


@pytest.mark.parametrize("steps", range(1, 9))
def test_a_run_that_ends_after_any_step_is_gone_on_with(steps: int) -> None:
    killed = FakeSystems(LOST, dies_after=steps)
    with pytest.raises(KeyboardInterrupt):
        run(killed)
    again = FakeSystems(killed.facts)
    run(again)
    assert killed.done + again.done[:-1] == run(FakeSystems(LOST))[:-1]
    assert again.facts.position == Position(LOST.server.lsn)


def test_a_lost_change_that_was_written_after_the_first_look_is_compared_once_more() -> None:
    # given a batch that ends while the comparison waits for it, with rows of versions beyond Postgres
    systems = FakeSystems(HEALTHY)
    compared: list[int] = []

    def compare() -> None:
        compared.append(systems.facts.server.lsn)
        systems.facts = replace(systems.facts, highest=5_000 << LSN_BITS)

    # when, then the WAL passes them, and all rows are compared again
    taken = recover_and_compare(systems, compare, on_step=lambda step, left: None)
    assert compared == [HEALTHY.server.lsn, 5_008]
    steps = [each.step.id for each in taken]
    assert steps == ["stream", "compare", "stop-connector", "pass-versions", "start-connector", "stream", "compare"]


def test_a_healthy_path_is_compared_once() -> None:
    compared: list[None] = []
    recover_and_compare(FakeSystems(HEALTHY), lambda: compared.append(None), on_step=lambda step, left: None)
    assert len(compared) == 1


def test_a_step_without_effect_ends_the_run_with_what_is_wrong() -> None:
    systems = FakeSystems(
        replace(HEALTHY, connector="FAILED", failures=("task 0: no route",)), broken=("restart-connector",)
    )
    with pytest.raises(Stop, match="restart-connector was taken 2 times, and still: task 0: no route"):
        run(systems)


def test_nothing_is_done_while_an_operator_has_to_act() -> None:
    systems = FakeSystems(replace(HEALTHY, slot=replace(SLOT, database="other"), connector="STOPPED"))
    with pytest.raises(UsageError, match="SCORESTREAM_POSTGRES_SLOT"):
        run(systems)
    assert not systems.done
