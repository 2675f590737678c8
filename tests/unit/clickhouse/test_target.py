"""What an acknowledged insert means: all rows or more, none (try again), or fewer (stop)."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from stream.clickhouse.schema.apply import sorting_key
from stream.clickhouse.shards import Shards
from stream.clickhouse.target import ClickHouseTarget
from stream.errors import ClickHouseRefused, ClickHouseUnavailable, WriteMismatch
from stream.pipeline.writes import Writes
from stream.sections import ClickHouseSettings
from stream.tables import SCORE


class Shard:
    """A clickhouse-connect client whose inserts acknowledge so many rows, one answer after the other."""

    def __init__(self, *answers: int | None, key: str = sorting_key(SCORE)) -> None:
        self.answers = list(answers)
        self.key = key
        self.looks = 0
        self.settings: dict[str, Any] = {}

    def insert(self, *_: Any, settings: dict[str, Any], **__: Any) -> Any:
        self.settings = settings
        answer = self.answers.pop(0)
        return SimpleNamespace(summary={} if answer is None else {"written_rows": str(answer)})

    def query(self, *_: Any, **__: Any) -> Any:
        self.looks += 1
        return SimpleNamespace(result_rows=[(self.key,)])

    def close(self) -> None:
        pass


def target_with(shard: Shard) -> ClickHouseTarget:
    shards = Shards(ClickHouseSettings(shards=("http://127.0.0.1:1",)))
    shards._idle[0].append(shard)
    return ClickHouseTarget(shards)


def two_rows() -> Writes:
    writes = Writes()
    for score in (1, 2):
        values = {"customer_id": "acme", "scorecard_id": 1, "event_time": 0, "score_id": score}
        writes.add_marker(SCORE, 0, values, version=1)
    return writes


def test_an_insert_that_stored_nothing_is_tried_again():
    # given a table that is exchanged while the insert runs: acknowledged, and nothing stored
    target = target_with(Shard(0, 2))
    with pytest.raises(ClickHouseUnavailable, match="none of 2 rows"):
        target.write(two_rows())
    # then the same client takes it the next time
    target.write(two_rows())


def test_the_sort_key_is_looked_at_once_and_another_one_is_refused():
    shard = Shard(2, 2)
    target = target_with(shard)
    target.write(two_rows())
    target.write(two_rows())
    assert shard.looks == 1
    old = Shard(2, key="customer_id, scorecard_id, score_id, toYYYYMM(event_time)")
    with pytest.raises(ClickHouseRefused, match=r"made by an earlier release.*scorestream cutover NAME"):
        target_with(old).write(two_rows())
    assert old.answers == [2]


def test_fewer_rows_stop_the_process():
    with pytest.raises(WriteMismatch, match=r"sent 2 rows .* stored 1"):
        target_with(Shard(1)).write(two_rows())


def test_rows_of_materialized_views_count_and_are_no_fault():
    # given two views on the table, each of which stores every row once more
    target_with(Shard(6)).write(two_rows())


def test_a_proxy_that_strips_the_summary_is_told_once(caplog):
    target = target_with(Shard(None, None))
    with caplog.at_level("WARNING"):
        target.write(two_rows())
        target.write(two_rows())
    assert [record.getMessage() for record in caplog.records] == ["no summary header"]


def test_a_batch_may_hold_any_number_of_months():
    shard = Shard(2)
    target_with(shard).write(two_rows())
    assert shard.settings["max_partitions_per_insert_block"] == 0


def test_clients_for_inserts_can_be_made_before_the_first(monkeypatch):
    made = []

    def connect(_settings: Any, shard: int, **_: Any) -> Shard:
        made.append(shard)
        return Shard(2, 2)

    monkeypatch.setattr("stream.clickhouse.shards.connect", connect)
    target = ClickHouseTarget(Shards(ClickHouseSettings(shards=("http://127.0.0.1:1", "http://127.0.0.1:2"))))
    target.connect(SCORE)
    assert sorted(made) == [0, 1]
    # then an insert uses what is there, also one that waited behind such a call
    target.write(two_rows())
    rows = next(columns for _, _, columns in two_rows())
    assert target._insert(0, SCORE, [[], rows, []]) == [None, None, None]
    assert sorted(made) == [0, 1]


def test_a_shard_that_is_away_is_told_when_connecting_beforehand():
    target = ClickHouseTarget(Shards(ClickHouseSettings(shards=("http://127.0.0.1:1",))))
    with pytest.raises(ClickHouseUnavailable, match="shard 0"):
        target.connect(SCORE)


def test_an_insert_does_not_import_pandas():
    code = (
        "import sys\n"
        "from stream.clickhouse.shards import leave_pandas_out\n"
        "leave_pandas_out()\n"
        "from clickhouse_connect.driver.insert import InsertContext\n"
        "from clickhouse_connect.datatypes.registry import get_from_name\n"
        "InsertContext('t', ['n'], [get_from_name('Int64')], [[1, 2]], column_oriented=True)\n"
        "assert not {'pandas', 'pyarrow', 'numpy'} & set(sys.modules), 'imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
