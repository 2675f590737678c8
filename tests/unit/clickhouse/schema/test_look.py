"""Tables that must not be written to or compared are refused by name, also when they change under a running process."""

from types import SimpleNamespace

import pytest

from stream.clickhouse.schema.layout import sorting_key
from stream.clickhouse.schema.look import TableLook, check_marks, check_tables
from stream.clickhouse.shards import Shards
from stream.errors import ClickHouseRefused, ConfigError
from stream.settings_sections import ClickHouseSettings
from stream.tables import SCORE, SCORECARD

OLD_KEY = "customer_id, scorecard_id, score_id, toYYYYMM(event_time)"


class Server:
    """One shard's system tables, as a clickhouse-connect client sees them."""

    def __init__(self, number, count=2):
        comment = f"scorestream shard {number} of {count}, buckets of 1 days"
        self.tables = {t.target: ["ReplacingMergeTree", sorting_key(t), comment] for t in (SCORECARD, SCORE)}
        self.policies = []
        self.queries = []

    def query(self, text, parameters=None, settings=None):
        self.queries.append(text)
        if "row_policies" in text:
            if self.policies is None:
                raise OSError("Code: 497. DB::Exception: Not enough privileges. (ACCESS_DENIED)")
            return SimpleNamespace(result_rows=self.policies)
        assert parameters == {"database": "scorestream"}
        return SimpleNamespace(result_rows=[(name, *rest) for name, rest in self.tables.items()])

    def close(self):
        pass


def shards_of(*servers, urls=("http://a:1", "http://b:2"), monkeypatch):
    monkeypatch.setattr("stream.clickhouse.shards.connect", lambda _settings, shard, **_: servers[shard])
    return Shards(ClickHouseSettings(shards=list(urls[: len(servers)])))


def test_the_right_tables_are_looked_at_once_in_a_while(monkeypatch):
    servers = Server(0), Server(1)
    shards = shards_of(*servers, monkeypatch=monkeypatch)
    check_tables(shards)
    look = TableLook(shards)
    look(0)
    asked = len(servers[0].queries)
    look(0)
    assert len(servers[0].queries) == asked
    again = TableLook(shards, every_s=0)
    again(0)
    again(0)
    assert len(servers[0].queries) == asked + 4


def test_a_list_in_another_order_is_refused_with_what_the_tables_say(monkeypatch):
    shards = shards_of(Server(1), Server(0), monkeypatch=monkeypatch)
    with pytest.raises(ConfigError, match=r"shard 0 \(http://a:1\).*says `scorestream shard 1 of 2.*in the order"):
        check_tables(shards)


def test_a_list_with_one_shard_more_is_refused(monkeypatch):
    # given tables of two shards, and a third one in the list whose tables are not made yet
    new = Server(2)
    new.tables = {}
    urls = "http://a:1", "http://b:2", "http://c:3"
    shards = shards_of(Server(0), Server(1), new, urls=urls, monkeypatch=monkeypatch)
    with pytest.raises(ConfigError, match=r"says `scorestream shard 0 of 2.*make it `scorestream shard 0 of 3"):
        check_tables(shards)


def test_tables_without_a_place_are_told_once_and_taken(monkeypatch, caplog):
    old = Server(0)
    for held in old.tables.values():
        held[2] = "made in 2025"
    look = TableLook(shards_of(old, monkeypatch=monkeypatch), every_s=0)
    with caplog.at_level("WARNING"):
        look(0)
        look(0)
    (record,) = [each for each in caplog.records if each.name == "stream.clickhouse.schema.look"]
    assert record.getMessage() == "tables do not say which shard they are"
    assert record.way_out == "run `scorestream schema apply`"


def test_a_table_that_was_swapped_under_a_running_process_is_refused(monkeypatch):
    # given a process that has looked already
    server = Server(0, count=1)
    look = TableLook(shards_of(server, monkeypatch=monkeypatch), every_s=0)
    look(0)
    # when another table gets the name
    server.tables["score"][1] = OLD_KEY
    with pytest.raises(ClickHouseRefused, match=r"scorestream.score is sorted by .*toYYYYMM.*scorestream cutover NAME"):
        look(0)


def test_old_layouts_have_a_place_all_the_same(monkeypatch):
    # given live tables that a cutover is about to replace
    server = Server(0, count=1)
    server.tables["score"][1] = OLD_KEY
    check_marks(shards_of(server, monkeypatch=monkeypatch))
    server.tables["score"][2] = "scorestream shard 1 of 2, buckets of 1 days"
    with pytest.raises(ConfigError):
        check_marks(shards_of(server, monkeypatch=monkeypatch))


@pytest.mark.parametrize("engine", ["Distributed", "Null", "Buffer", "MergeTree"])
def test_a_table_that_acknowledges_what_it_has_not_stored_is_refused(monkeypatch, engine):
    server = Server(0, count=1)
    server.tables["score"][0] = engine
    with pytest.raises(ClickHouseRefused, match=f"scorestream.score has the engine {engine}, not ReplacingMergeTree"):
        check_tables(shards_of(server, monkeypatch=monkeypatch))
    server.tables["score"][0] = "ReplicatedReplacingMergeTree"
    check_tables(shards_of(server, monkeypatch=monkeypatch))


def test_a_row_policy_on_this_user_is_refused_by_name(monkeypatch):
    server = Server(0, count=1)
    look = TableLook(shards_of(server, monkeypatch=monkeypatch), every_s=0)
    server.policies = [("everything", "score", "1", 1), ("tenants", "scorecard", "customer_id = 'tenant-1'", 1)]
    with pytest.raises(ClickHouseRefused, match=r"row policy tenants on scorestream.scorecard.*TO ALL EXCEPT default"):
        look(0)


def test_a_row_policy_of_others_is_told_and_no_right_to_see_them_is_no_fault(monkeypatch, caplog):
    server = Server(0, count=1)
    look = TableLook(shards_of(server, monkeypatch=monkeypatch), every_s=0)
    server.policies = [("tenants", "", "customer_id = 'tenant-1'", 0)]
    with caplog.at_level("WARNING"):
        look(0)
    (record,) = [each for each in caplog.records if each.name == "stream.clickhouse.schema.look"]
    assert (record.getMessage(), record.policy, record.on) == ("row policy of other users", "tenants", "scorestream.*")
    # when the right is gone, it is not asked for again
    server.policies = None
    look(0)
    asked = len(server.queries)
    look(0)
    assert len(server.queries) == asked + 1
