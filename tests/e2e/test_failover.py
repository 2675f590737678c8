"""A short fail over and a restore on the real stack; the source stands beside it, as in drills/failover.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.stack import Stack
from drills.compare import FINDINGS
from drills.failover import Drill
from testbed.servers import Servers
from testbed.universe import Universe

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def drill(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    folder = tmp_path_factory.mktemp("failover")
    with Servers(stack, folder / "servers") as servers:
        universe = Universe(stack.env() | servers.env, folder)
        made = Drill(universe, servers, seed=15, rate=20, rows=60)
        try:
            universe.set_up()
            yield made
        finally:
            made.stop()
            universe.close()


@pytest.mark.long
def test_a_standby_without_the_last_transactions_is_promoted(drill: Drill) -> None:
    # given changes that the connector has sent, and the standby never got; when it is promoted and recover runs
    done = drill.run("asynchronous-loses")
    # then nothing is missing, extra, stale or twice, and no appeal is visible in any window of time
    assert "slot-missing" in done.found
    assert done.findings == dict.fromkeys(FINDINGS, 0), done.examples


@pytest.mark.long
def test_a_dump_is_restored_into_a_cluster_with_lower_lsns(drill: Drill) -> None:
    # given a new cluster whose LSNs are far below the versions; when recover names the epoch, and runs again with it
    done = drill.run("restore")
    # then the new cluster's changes win
    assert done.found[0] == "other-cluster"
    assert "slot-missing" in done.found
    assert done.findings == dict.fromkeys(FINDINGS, 0), done.examples
