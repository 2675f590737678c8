"""A publication that has a part of a table only, for made-up answers of the catalogs."""

from __future__ import annotations

import pytest

from stream.config import PostgresSettings
from stream.doctor import source
from tests.unit.doctor.catalogs import Catalogs


@pytest.mark.parametrize(
    ("filtered", "listed", "told"),
    [(True, False, "a row filter"), (False, True, "a column list"), (True, True, "a row filter and a column list")],
)
def test_a_part_of_a_table_is_told_with_the_sql_that_publishes_all_of_it(
    filtered: bool, listed: bool, told: str
) -> None:
    catalogs = Catalogs()
    catalogs.answers["pg_publication_rel"] = [("chats", False, False), ("scores", filtered, listed)]
    (finding,) = source.examine(catalogs, PostgresSettings())  # type: ignore[arg-type]
    assert (finding.id, finding.severity) == ("publication-part", "error")
    assert finding.what == f"publication scorestream has {told} for scores"
    assert finding.way_out == (
        'BEGIN; ALTER PUBLICATION "scorestream" DROP TABLE "app"."scores"; '
        'ALTER PUBLICATION "scorestream" ADD TABLE "app"."scores"; COMMIT;'
    )
