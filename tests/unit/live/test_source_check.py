"""A cluster whose changes would lose against the rows that stand is refused; any other goes on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from stream import epochs
from stream.clickhouse.source_record import SourceRecord, Stored
from stream.epochs import ONE_EPOCH, Epochs
from stream.errors import ClickHouseRefused, ConfigError, PostgresRefused
from stream.live import source_check
from stream.live.source_check import SourceCheck, refuse
from stream.pipeline.ordering import EPOCH_SHIFT, LSN_BITS
from stream.postgres.cluster import Cluster

OWN, OTHER = 7_000_000_001, 7_000_000_002
NOW = Cluster(OWN, timeline=3, lsn=5_000)


def never() -> int:
    raise AssertionError("a whole column is read although the record tells")


def version(epoch: int, lsn: int) -> Callable[[], int]:
    return lambda: epoch << EPOCH_SHIFT | lsn << LSN_BITS | lsn


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param([Stored(0, OWN, 3, 5_000)], id="where it was"),
        pytest.param([Stored(0, OWN, 2, 4_000), Stored(0, OWN, 3, 4_900)], id="a failover that was seen before"),
        pytest.param([Stored(0, 0, 3, 4_900)], id="a role that could not see the identifier"),
    ],
)
def test_a_cluster_that_goes_on_is_taken(stored: list[Stored]) -> None:
    refuse(NOW, stored, epoch=0, highest=never)


def test_another_cluster_is_refused_unless_the_epoch_was_raised() -> None:
    stored = [Stored(0, OTHER, 3, 4_000)]
    with pytest.raises(ConfigError, match=rf"another cluster.*{OWN}, not {OTHER}.*VERSION_EPOCH_STARTS"):
        refuse(NOW, stored, epoch=0, highest=never)
    refuse(NOW, stored, epoch=1, highest=version(0, 9_000_000))


def test_a_lower_lsn_of_the_same_cluster_is_refused() -> None:
    # given a copy that was restored to a point in time, or promoted without the last transactions
    with pytest.raises(PostgresRefused, match=r"WAL is at 0/1388, before 0/2328.*scorestream recover"):
        refuse(NOW, [Stored(0, OWN, 2, 9_000)], epoch=0, highest=never)
    # a standby may be behind another server
    refuse(Cluster(OWN, None, 5_000, is_standby=True), [Stored(0, OWN, 2, 9_000)], epoch=0, highest=never)


def test_a_failover_is_told_and_its_lost_end_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    # given a record that is older than the last changes
    stored = [Stored(0, OWN, 2, 4_000)]
    with caplog.at_level("WARNING"):
        refuse(NOW, stored, epoch=0, highest=version(0, 4_800))
    (record,) = [each for each in caplog.records if each.name == "stream.live.source_check"]
    assert record.getMessage() == "Postgres failed over"
    with pytest.raises(PostgresRefused, match="WAL is at 0/1388, before"):
        refuse(NOW, stored, epoch=0, highest=version(0, 5_001))


def test_without_a_record_the_rows_themselves_are_asked() -> None:
    refuse(NOW, [], epoch=0, highest=lambda: 0)
    refuse(NOW, [], epoch=0, highest=version(0, 5_000))
    with pytest.raises(PostgresRefused, match="WAL is at"):
        refuse(NOW, [], epoch=0, highest=version(0, 5_001))
    with pytest.raises(ConfigError, match="versions of epoch 2, but the settings make the present epoch 0"):
        refuse(NOW, [], epoch=0, highest=version(2, 1))


def test_an_epoch_that_was_taken_back_is_refused() -> None:
    with pytest.raises(ConfigError, match="versions of epoch 1, but the settings make the present epoch 0"):
        refuse(NOW, [Stored(1, OWN, 3, 10), Stored(0, OTHER, 1, 9_000)], epoch=0, highest=never)


class FakeShards:
    """Two shards with the table `source`, or without it."""

    count = 2

    def __init__(self) -> None:
        self.rows: list[tuple[int, ...]] = []
        self.missing = False
        self.versions = [(0, 7), (1, 9)]

    def everywhere(self, query: str) -> list[tuple[int, ...]]:
        if "max(_version)" in query:
            return list(self.versions)
        self._refuse()
        return [(shard, *row, 0) for shard in range(2) for row in self.rows]

    def each(self, call: Callable[[int], None]) -> None:
        for shard in range(self.count):
            call(shard)

    def command(self, shard: int, sql: str) -> None:
        self._refuse()
        if shard == 0:
            self.rows.append(tuple(map(int, sql.rpartition("(")[2].strip(")").split(","))))

    def _refuse(self) -> None:
        if self.missing:
            raise ClickHouseRefused("no table") from OSError("Code: 60. DB::Exception: Unknown table (UNKNOWN_TABLE)")


class FakePostgres:
    @contextmanager
    def asking(self) -> Any:
        yield SimpleNamespace()


def test_what_was_seen_is_written_down_and_held_against_the_next_start(monkeypatch: pytest.MonkeyPatch) -> None:
    shards: Any = FakeShards()
    postgres: Any = FakePostgres()
    seen = [NOW, NOW, Cluster(OWN, 3, 4_999)]
    monkeypatch.setattr(source_check, "cluster", lambda _: seen.pop(0))
    check = SourceCheck(SourceRecord(shards), postgres, epochs=ONE_EPOCH)
    check()
    check()
    assert shards.rows == [(0, OWN, 3, 5_000)] * 2
    with pytest.raises(PostgresRefused, match="WAL is at"):
        check()


def test_an_epoch_may_begin_while_the_worker_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a worker that has run since before the move, and its first look at the other cluster
    shards: Any = FakeShards()
    postgres: Any = FakePostgres()
    seen = [NOW, Cluster(OTHER, 1, 100)]
    monkeypatch.setattr(source_check, "cluster", lambda _: seen.pop(0))
    clock = [1_777_629_599.0]
    monkeypatch.setattr(epochs, "time", SimpleNamespace(time=lambda: clock[0]))
    check = SourceCheck(SourceRecord(shards), postgres, epochs=Epochs.parse(0, "2026-05-01T10:00:00Z"))
    check()
    # when the epoch begins, then the cluster is taken, and written down under it
    clock[0] += 1
    check()
    assert shards.rows == [(0, OWN, 3, 5_000), (1, OTHER, 1, 100)]


def test_shards_without_the_table_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    shards: Any = FakeShards()
    shards.missing = True
    record = SourceRecord(shards)
    with caplog.at_level("WARNING"):
        assert record.read() == []
        record.write(Stored(0, OWN, 3, 5_000))
    assert len([each for each in caplog.records if each.name == "stream.clickhouse.source_record"]) == 1
    assert record.highest() == 9


def test_a_column_is_read_once_where_nothing_can_be_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    # given shards without the table `source`, which are looked at twice a minute
    shards, asked = FakeShards(), []
    shards.missing = True
    monkeypatch.setattr(SourceRecord, "highest", lambda _: asked.append(1) or 4_000 << LSN_BITS)
    seen = [NOW, NOW, NOW, Cluster(OWN, 4, 5_000), Cluster(OWN, 4, 3_999)]
    monkeypatch.setattr(source_check, "cluster", lambda _: seen.pop(0))
    check = SourceCheck(SourceRecord(shards), FakePostgres(), epochs=ONE_EPOCH)  # type: ignore[arg-type]
    # then all rows are asked for their version at the first look, and after a promotion
    counts = []
    for _ in range(4):
        check()
        counts.append(len(asked))
    assert counts == [1, 1, 1, 2]
    # and what was read still holds against a WAL that is shorter
    with pytest.raises(PostgresRefused, match="WAL is at"):
        check()
    assert len(asked) == 2
