"""The plan of a recovery, from facts alone: each state, and that every step leads on to the next."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from stream.clickhouse.source_record import Stored
from stream.pipeline.ordering import EPOCH_SHIFT, LSN_BITS
from stream.postgres.replication import PostgresServer, Slot
from stream.recover.facts import Facts, Position
from stream.recover.findings import PASS_BYTES, findings, versions_ahead
from stream.recover.plan import plan

SERVER = PostgresServer("db", 180001, "7", 1, False, lsn=1_000, xact_s=0.0, foreign_horizon=False, rows=300_000)
SLOT = Slot("db", active=True, confirmed=900)
HEALTHY = Facts(
    server=SERVER,
    slot=SLOT,
    unpublished=(),
    connector="RUNNING",
    failures=(),
    drifted=(),
    position=Position(950, 1_700_000_000_500),
    missing_topics=(),
    empty_topics=(),
    highest=950 << LSN_BITS,
    stored=(Stored(0, 7, 1, 960),),
    epoch=0,
    workers=1,
)
NEW_SLOT = ["create-slot", "set-offset", "start-connector", "stream", "compare"]


def steps(facts: Facts) -> list[str]:
    return [step.id for step in plan(facts).steps]


def wrong(facts: Facts) -> list[str]:
    return [each.id for each in findings(facts)]


def test_the_wal_passes_a_lost_change_behind_the_last_commit_before_it() -> None:
    # given a lost change at 992, behind a commit at 976, and a server whose WAL ends exactly at that commit
    version = 976 << LSN_BITS | 992
    ahead = replace(HEALTHY, highest=version, server=replace(HEALTHY.server, lsn=976))
    # then its next change could have the same version, so its WAL is moved first
    assert steps(ahead) == steps(replace(HEALTHY, highest=2_000 << LSN_BITS))
    assert versions_ahead(ahead) == 16
    # and not where the WAL ends behind the change
    assert versions_ahead(replace(ahead, server=replace(HEALTHY.server, lsn=1_000))) == 0


def test_the_wal_passes_the_versions_before_the_slot_is_made() -> None:
    """What is streamed from the slot on has higher versions then, the first transaction too."""
    made = steps(replace(HEALTHY, slot=None, highest=2_000 << LSN_BITS))
    assert made.index("forget-offset") < made.index("pass-versions") < made.index("create-slot")


def test_a_healthy_path_is_only_waited_for_and_compared() -> None:
    made = plan(HEALTHY)
    assert not made.findings
    assert not made.blocked
    assert not made.changes
    assert steps(HEALTHY) == ["stream", "compare"]


@pytest.mark.parametrize(
    ("facts", "found", "expected"),
    [
        (replace(HEALTHY, slot=None), ["slot-missing"], ["stop-connector", "forget-offset", *NEW_SLOT]),
        (
            replace(HEALTHY, slot=replace(SLOT, lost="wal_removed"), connector="FAILED", failures=("gone",)),
            ["slot-lost", "connector-failed"],
            ["stop-connector", "forget-offset", "drop-slot", *NEW_SLOT],
        ),
        (
            replace(HEALTHY, unpublished=None, connector="STOPPED"),
            ["publication-missing", "connector-stopped"],
            ["forget-offset", "drop-slot", "publish", *NEW_SLOT],
        ),
        (
            replace(HEALTHY, unpublished=("chats",)),
            ["publication-tables"],
            ["stop-connector", "publish", "start-connector", "stream", "compare"],
        ),
        (
            replace(HEALTHY, position=None),
            ["offsets-missing"],
            ["stop-connector", "set-offset", "start-connector", "stream", "compare"],
        ),
        (
            replace(HEALTHY, position=Position(5_000)),
            ["offsets-ahead"],
            ["stop-connector", "forget-offset", "set-offset", "start-connector", "stream", "compare"],
        ),
        (
            replace(HEALTHY, position=Position(800)),
            ["offsets-behind"],
            ["stop-connector", "forget-offset", "set-offset", "start-connector", "stream", "compare"],
        ),
        (
            replace(HEALTHY, missing_topics=("p.app.scores",)),
            ["topics-missing"],
            ["stop-connector", "create-topics", "start-connector", "stream", "compare"],
        ),
        (
            replace(HEALTHY, connector=None, position=None),
            ["connector-missing"],
            ["create-connector", "start-connector", "stream", "compare"],
        ),
        (
            replace(HEALTHY, connector="FAILED", failures=("task 0: no route",)),
            ["connector-failed"],
            ["restart-connector", "stream", "compare"],
        ),
        (
            replace(HEALTHY, connector="PAUSED"),
            ["connector-stopped"],
            ["start-connector", "stream", "compare"],
        ),
        (
            replace(HEALTHY, drifted=("poll.interval.ms",)),
            ["config-drift"],
            ["configure-connector", "stream", "compare"],
        ),
        (
            replace(HEALTHY, highest=2_000 << LSN_BITS),
            ["versions-ahead"],
            ["stop-connector", "pass-versions", "start-connector", "stream", "compare"],
        ),
        (
            replace(HEALTHY, stored=(Stored(0, 7, 1, 1_500),)),  # workers refuse it, though no row is so far
            ["versions-ahead"],
            ["stop-connector", "pass-versions", "start-connector", "stream", "compare"],
        ),
        (
            replace(HEALTHY, server=replace(SERVER, foreign_horizon=True)),
            ["horizon-foreign"],
            ["forget-horizon", "stream", "compare"],
        ),
    ],
)
def test_each_state_has_its_finding_and_its_steps(facts: Facts, found: list[str], expected: list[str]) -> None:
    assert wrong(facts) == found
    assert steps(facts) == expected
    assert not plan(facts).blocked


def test_the_offset_goes_before_the_slot_that_it_belongs_to() -> None:
    # given a recovery that was killed after it had forgotten the offset, or after it had made the slot
    forgotten = replace(HEALTHY, slot=None, position=None, connector="STOPPED")
    made = replace(forgotten, slot=replace(SLOT, active=False, confirmed=990))
    # then the next one goes on where it was, and never streams from the old offset
    assert steps(forgotten) == NEW_SLOT
    assert steps(made) == NEW_SLOT[1:]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (replace(HEALTHY, server=replace(SERVER, in_recovery=True)), "leads to a standby"),
        (replace(HEALTHY, slot=replace(SLOT, database="other")), "belongs to database other"),
        (replace(HEALTHY, highest=PASS_BYTES + 2_000 << LSN_BITS), "as 2023-11-14T22:13:21Z, restart the workers"),
        (replace(HEALTHY, highest=1 << EPOCH_SHIFT), "epoch 1, but the settings make the present epoch 0"),
        (replace(HEALTHY, stored=(Stored(1, 7, 1, 10),)), "epoch 1, but the settings make the present epoch 0"),
        (replace(HEALTHY, stored=(Stored(0, 8, 1, 960),)), "another cluster.*restart the workers"),
        (replace(HEALTHY, highest=0, slot=None, position=None), "scorestream connectors apply"),
    ],
)
def test_what_only_an_operator_can_do_stops_the_plan(facts: Facts, told: str) -> None:
    (blocked,) = plan(facts).blocked
    assert re.search(told, blocked)


def test_versions_of_the_next_epoch_are_not_ahead_of_anything() -> None:
    assert not findings(replace(HEALTHY, highest=PASS_BYTES + 2_000 << LSN_BITS, epoch=1))
    assert not findings(replace(HEALTHY, stored=(Stored(0, 8, 1, 9_000),), epoch=1))


def test_the_plan_says_how_long_and_what_it_waits_for() -> None:
    made = plan(replace(HEALTHY, slot=None, workers=0, server=replace(SERVER, xact_s=90), empty_topics=("t",)))
    assert made.seconds > 90
    assert any("no worker runs" in note for note in made.notes)
    assert any("90 s: the new slot waits" in note for note in made.notes)
    assert any("scorestream backfill start" in note for note in made.notes)
