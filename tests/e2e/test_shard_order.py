"""Shards in another order, or one more of them: every command that would write to them or compare them refuses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.stack import Stack
from testbed.replays import refused
from testbed.universe import Universe

pytestmark = pytest.mark.stack

SHARDS = "SCORESTREAM_CLICKHOUSE_SHARDS"


@pytest.fixture(scope="module")
def universe(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Universe]:
    made = Universe(stack.env(), tmp_path_factory.mktemp("shards"))
    try:
        made.set_up()
        yield made
    finally:
        made.close()


@pytest.mark.parametrize(
    "command",
    [
        ("worker",),
        ("verify", "--no-wait"),
        ("replay", "start", "swapped", "--to-earliest"),
        ("schema", "apply"),
    ],
    ids=" ".join,
)
def test_shards_in_another_order_are_refused_with_the_way_out(universe: Universe, command: tuple[str, ...]) -> None:
    # given tables that say which shard they are, and settings that name the shards the other way round
    swapped = ",".join(reversed(universe.env[SHARDS].split(",")))
    # when anything starts that writes or compares
    told = universe.run(*command, check=False, **{SHARDS: swapped})
    # then it ends as for a wrong configuration
    assert told.returncode == 2, told.stderr
    assert "says `scorestream shard 1 of 2, buckets of 1 days`" in told.stderr
    assert "in the order and number that the tables say" in told.stderr


def test_the_right_order_has_no_difference(universe: Universe) -> None:
    universe.run("schema", "status")
    universe.run("schema", "apply")
    swapped = ",".join(reversed(universe.env[SHARDS].split(",")))
    told = universe.run("schema", "status", check=False, **{SHARDS: swapped})
    assert told.returncode == 3
    assert "its comment says" in told.stdout


def test_one_shard_more_is_refused(universe: Universe) -> None:
    more = universe.env[SHARDS] + "," + universe.env[SHARDS].split(",")[0]
    assert "make it `scorestream shard 0 of 3" in refused(universe, "verify", "--no-wait", **{SHARDS: more})
