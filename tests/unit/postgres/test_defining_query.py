"""The defining query: its SQL for the types that the source's columns have."""

from __future__ import annotations

from typing import Any

import pytest

from stream.postgres.defining_query import SourceSql, as_stored, float_of, link_as, source_of, text_of
from stream.tables import SCORE, SCORECARD, TARGETS

UPPER, LOWER = "ABCDEF00-0000-4000-8000-00000000000A", "abcdef00-0000-4000-8000-00000000000a"


def source(link: str = "text", chat: str = "text", **types: str) -> SourceSql:
    kinds = {"uuid": "uuid", "text": "text", "time": "timestamptz", "float": "float8", "int": "int4", "bool": "bool"}
    known = {(table.source, column.name): kinds[column.kind] for table in TARGETS for column in table.columns}
    known |= {("scores", name): kind for name, kind in types.items()}
    known |= {("scorecards", "scorecard_id"): "uuid", ("scores", "scorecard_id"): "uuid"}
    return SourceSql("app", known | {("scorecards", "conversation_id"): link, ("chats", "conversation_id"): chat})


class FakeConnection:
    """Answers every query with these rows."""

    def __init__(self, *rows: tuple[Any, ...]) -> None:
        self.rows = rows

    def execute(self, *_: Any) -> list[tuple[Any, ...]]:
        return list(self.rows)


def test_only_ids_of_different_types_are_cast_and_on_the_scorecards_side() -> None:
    assert source("uuid", "uuid").joined(SCORECARD).endswith("c.conversation_id = s.conversation_id")
    assert "c.conversation_id = CASE WHEN" in source("text", "uuid").joined(SCORECARD)
    assert "c.conversation_id = NULLIF(s.conversation_id::text, '')::text" in source("uuid", "text").joined(SCORECARD)


def test_scores_are_joined_to_their_scorecards() -> None:
    assert '"app"."scores" r ON r.scorecard_id = s.scorecard_id' in source().joined(SCORE)
    assert '"scores"' not in source().joined(SCORECARD)


@pytest.mark.parametrize("table", TARGETS, ids=lambda table: table.target)
def test_the_hash_of_a_row_covers_every_column(table: Any) -> None:
    of = source()
    assert all(of.bytes_of(table, column) in of.hash_of(table) for column in table.all_columns)
    assert of.hashes_of(table).count("md5(") == len(table.all_columns)


def test_faults_follow_the_types_of_the_columns() -> None:
    # given a criterion id that is text, and an id that is a uuid
    faults = source(criterion_id="text").faults_of(SCORE)
    # then only the text may fail to be a UUID; numbers and times have their own faults
    assert "criterion_id is not a UUID" in faults
    assert "score_id is not a UUID" not in faults
    assert "numeric_value is not finite" in faults
    assert "updated_at is outside of 1900 to 2299" in faults


def test_values_are_read_as_the_connector_sends_them() -> None:
    assert float_of("x", "float4") == "(x::text::float8)"
    assert float_of("x", "float8") == "x::float8"
    assert "Infinity" in float_of("x", "numeric")
    assert text_of("x", "bpchar").startswith("convert_from(bpcharsend")
    assert text_of("x", "varchar") == "x::text"
    assert link_as("x", "int8") == "NULLIF(x::text, '')::int8"


def test_ids_are_asked_as_postgres_spells_them() -> None:
    # given a text column that holds an id in capitals
    kinds = source().types | {("scorecards", "scorecard_id"): "text"}
    connection: Any = FakeConnection((UPPER,))
    # then the canonical id becomes the stored one, and an unknown id stays
    other = LOWER.replace("a", "b")
    assert as_stored(connection, SourceSql("app", kinds), [LOWER, other]) == [UPPER, other]
    assert as_stored(connection, source(), [LOWER]) == [LOWER]


def test_the_types_come_from_the_catalog() -> None:
    connection: Any = FakeConnection(("scores", "score_id", "uuid"), ("chats", "conversation_id", "text"))
    assert source_of(connection, "app").types == {("scores", "score_id"): "uuid", ("chats", "conversation_id"): "text"}
