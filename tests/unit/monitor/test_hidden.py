"""Changes that are not streamed and rows that cannot be seen are findings of their own, each by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stream.clickhouse.schema.policies import Policy
from stream.errors import ClickHouseRefused
from stream.monitor.diagnosis import findings
from stream.monitor.readings import Readings
from stream.monitor.sources.shards import ShardSource
from tests.unit.monitor.situations import NOW, fresh, source


def with_policy(policy: Policy) -> Readings:
    good = fresh()
    shard = good.shards[1].value
    assert shard is not None
    return replace(good, shards=(good.shards[0], source("shard 1", replace(shard, policies=(policy,)), now=NOW)))


def test_a_table_that_is_not_published_is_a_page() -> None:
    slot = fresh().slot.value
    assert slot is not None
    (found,) = findings(fresh(slot=source("postgres", replace(slot, unpublished=("scores",)), now=NOW)))
    assert (found.id, found.level) == ("publication", "page")
    assert "leaves out scores" in found.sentence


def test_a_row_policy_is_told_with_its_name_and_whom_it_hides_rows_from() -> None:
    (own,) = findings(with_policy(Policy("tenants", "score", own=True)))
    assert (own.id, own.level) == ("row-policy", "page")
    assert own.sentence == "Row policy tenants on score of shard 1 hides rows from this user."
    (others,) = findings(with_policy(Policy("tenants", "", own=False)))
    assert (others.id, others.level) == ("row-policy", "ticket")
    assert "on all tables of shard 1 hides rows from other users" in others.sentence


class Shards:
    """A store that has one policy, or refuses to tell."""

    database = "scorestream"

    def __init__(self) -> None:
        self.looks = 0
        self.refuses = False

    def ask(self, _shard: int, query: str, _values: Any = None) -> list[tuple[Any, ...]]:
        if "row_policies" in query:
            self.looks += 1
            if self.refuses:
                raise ClickHouseRefused("Code: 497")
            return [("tenants", "score", "customer_id = 'a'", 1)]
        return [] if "system.parts" in query else [(0, 0.0, 0.0, 0)]


def test_the_shards_are_asked_for_policies_seldom_and_not_again_when_refused() -> None:
    shards: Any = Shards()
    asked = ShardSource(shards, 0)
    assert [asked.read().policies for _ in range(6)] == [(Policy("tenants", "score", True),)] * 6
    assert shards.looks == 2
    shards.refuses = True
    refused = ShardSource(shards, 0)
    assert [refused.read().policies for _ in range(11)] == [()] * 11
    assert shards.looks == 3
