"""The finding for made-up answers of the catalogs; tests/e2e/test_doctor.py tries the query itself."""

from __future__ import annotations

from stream.config import PostgresSettings
from stream.doctor import copies
from tests.unit.doctor.catalogs import Catalogs


def test_a_table_whose_copies_share_an_lsn_is_named_with_its_sql() -> None:
    # given: a table without the trigger, and a partition on which it is disabled
    catalogs = Catalogs()
    catalogs.answers["pg_partition_tree(id)"] = [("app.scores", False), ('app."Chats 2"', True)]
    # when
    scores, chats = copies.examine(catalogs, PostgresSettings(), ["chats", "scores"])  # type: ignore[arg-type]
    # then
    assert scores.id == "copy-trigger"
    assert "BEFORE INSERT ON app.scores FOR EACH ROW WHEN (false)" in scores.way_out
    assert 'CREATE OR REPLACE FUNCTION "app".scorestream_no_op()' in scores.way_out
    assert chats.way_out == 'ALTER TABLE app."Chats 2" ENABLE TRIGGER scorestream_one_by_one;'
