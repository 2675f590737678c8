"""A table's place among the shards, in its comment and out of it."""

import pytest

from stream.clickhouse.schema.shard_mark import ShardMark, mark_in, wanted_mark, with_mark
from stream.settings_sections import ClickHouseSettings


@pytest.mark.parametrize("comment", ["", "owned by the data team", "owned by the data team; "])
def test_what_is_written_is_read_again_and_written_once(comment):
    mark = ShardMark(1, 3, 7)
    once = with_mark(comment, mark)
    assert mark_in(once) == mark
    assert with_mark(once, ShardMark(2, 3, 7)).count("scorestream shard") == 1
    assert once.startswith("owned by the data team; " if comment else "scorestream")


def test_a_comment_without_a_place_has_none():
    assert mark_in("scorestream") is None


def test_the_place_is_a_matter_of_the_list_and_the_bucket():
    settings = ClickHouseSettings(shards="http://a,http://b", shard_bucket_days=30)
    assert str(wanted_mark(settings, 1)) == "scorestream shard 1 of 2, buckets of 30 days"
