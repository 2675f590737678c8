"""What an acknowledged insert means: all rows or more, none (try again), or fewer (stop)."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from stream.clickhouse.read_back import unreadable
from stream.clickhouse.schema.layout import sorting_key
from stream.clickhouse.shards import Shards
from stream.clickhouse.target import ClickHouseTarget
from stream.errors import ClickHouseRefused, ClickHouseUnavailable, WriteMismatch
from stream.pipeline.writes import Writes
from stream.settings_sections import ClickHouseSettings
from stream.tables import SCORE, SCORECARD


class Shard:
    """A clickhouse-connect client whose inserts acknowledge these numbers of rows, one after the other."""

    def __init__(self, *answers: int | None, key: str = sorting_key(SCORE), forgets: bool = False) -> None:
        self.answers = list(answers)
        self.key = key
        self.mark = "scorestream shard 0 of 1, buckets of 1 days"
        self.looks = 0
        self.settings: dict[str, Any] = {}
        self.forgets = forgets  # acknowledges, and stores nothing
        self.read_back = 0

    def insert(self, *_: Any, settings: dict[str, Any], **__: Any) -> Any:
        self.settings = settings
        answer = self.answers.pop(0)
        return SimpleNamespace(summary={} if answer is None else {"written_rows": str(answer)})

    def query(self, text: str, **_: Any) -> Any:
        if "max(_version)" in text:
            self.read_back += 1
            rows = [] if self.forgets else [("acme", UUID(int=1), UUID(int=score), 0, 1) for score in (1, 2)]
            return SimpleNamespace(result_rows=rows)
        if "system.tables" not in text:
            return SimpleNamespace(result_rows=[])
        self.looks += 1
        keys = {"score": self.key, "scorecard": sorting_key(SCORECARD)}
        rows = [(name, "ReplacingMergeTree", key, self.mark) for name, key in keys.items()]
        return SimpleNamespace(result_rows=rows)

    def close(self) -> None:
        pass


def target_with(shard: Shard) -> ClickHouseTarget:
    shards = Shards(ClickHouseSettings(shards=("http://127.0.0.1:1",)))
    shards._idle[0].append((0, shard))
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


def test_acknowledged_rows_that_cannot_be_read_are_written_again():
    # given a server, or a front before it, that counts rows and stores none
    shard = Shard(2, 2, 2, forgets=True)
    target = target_with(shard)
    for _ in range(2):
        with pytest.raises(ClickHouseUnavailable, match=r"acknowledged rows .* of which 2 cannot be read"):
            target.write(two_rows())
        target._shards._idle[0].append((0, shard))
    # when it stores them, they are not read again before the next look at the tables
    shard.forgets = False
    target.write(two_rows())
    shard.answers = [2]
    target.write(two_rows())
    assert shard.read_back == 3


def test_a_later_version_of_a_row_is_as_good_and_an_earlier_one_is_not():
    writes = next(columns for _, _, columns in two_rows())

    def stored(*versions: int) -> int:
        rows = [("acme", UUID(int=1), UUID(int=n), 0, version) for n, version in enumerate(versions, 1)]
        shards: Any = SimpleNamespace(ask=lambda *_: rows)
        return unreadable(shards, 0, SCORE, writes)

    assert stored(1, 1) == 0
    assert stored(7, 1) == 0
    assert stored(0, 1) == 1
    assert stored(1) == 1


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
    # threads of other tests may log, too
    own = [record.getMessage() for record in caplog.records if record.name == "stream.clickhouse.target"]
    assert own == ["no summary header"]


def test_a_batch_may_hold_any_number_of_months():
    shard = Shard(2)
    target_with(shard).write(two_rows())
    assert shard.settings["max_partitions_per_insert_block"] == 0


def test_clients_for_inserts_can_be_made_before_the_first(monkeypatch):
    made = []

    def connect(_settings: Any, shard: int, **_: Any) -> Shard:
        made.append(shard)
        client = Shard(2, 2)
        client.mark = f"scorestream shard {shard} of 2, buckets of 1 days"
        return client

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


class Asked(Shard):
    """A client that keeps the ids of look-ups."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[Any] = []

    def query(self, text: str, parameters: Any = None, **given: Any) -> Any:
        if "own_id" in text:
            self.ids.append(parameters["ids"])
            return SimpleNamespace(result_rows=[])
        return super().query(text, **given)


def test_a_look_up_of_many_scorecards_has_no_literal_for_each():
    shard = Asked()
    ids = [str(UUID(int=number)) for number in range(4_000)]
    assert target_with(shard).standing(ids, ["acme"]) == []
    assert shard.ids == [",".join(ids)]
