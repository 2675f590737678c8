"""A short fault drill with a fixed seed: three faults while a writer commits, and nothing differs at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.stack import Stack
from drills import drill
from drills.compare import FINDINGS
from testbed.universe import Universe

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


@pytest.fixture
def universe(stack_env: dict[str, str], tmp_path: Path) -> Iterator[Universe]:
    with Universe(stack_env, tmp_path) as made:
        made.env["SCORESTREAM_KAFKA_SESSION_TIMEOUT_S"] = "8"  # the group waits this long for a killed worker
        made.set_up()
        yield made


def test_three_faults(universe: Universe, stack: Stack) -> None:
    # given two workers and a writer with every kind of change, transactions interleaved
    faults = ["clickhouse-1", "cut-postgres", "worker"]
    # when a shard is killed, Postgres' connections are cut, and a worker is killed
    result = drill.run(
        universe, stack, drill.Options(seed=7, faults=faults, rate=100, rows=100, quick=True, between_s=1, windows=50)
    )
    # then each was recovered from, nothing is missing, extra, stale or twice, and no appeal is visible
    assert [each.fault for each in result.rounds] == faults
    assert result.findings == dict.fromkeys(FINDINGS, 0), result.examples
    assert not result.ghosts
    assert result.asked > 0
    assert result.crowd["clean"], result.crowd
    assert result.order.falls == 0, result.order.examples
    assert not result.own_ends
    assert result.passed, result
    assert result.rows > 500
    assert {status.state for status in stack.status()} == {"running"}
