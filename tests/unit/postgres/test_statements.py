"""The statements of the look-ups; tests/contract/test_source.py runs them on a real Postgres."""

from __future__ import annotations

from typing import Any

import pytest

from stream.errors import PostgresRefused
from stream.postgres.statements import _column_types, required_columns


class FakeConnection:
    """The catalog of a schema with these columns."""

    def __init__(self, columns: set[tuple[str, str]]) -> None:
        self.columns = columns

    def execute(self, *_: Any) -> list[tuple[str, str, str]]:
        return [(table, column, "text") for table, column in self.columns]


def test_missing_columns_are_named_all_at_once() -> None:
    # given a schema without two of the columns
    lacking = {("chats", "started_at"), ("scores", "comment")}
    connection: Any = FakeConnection(set(required_columns()) - lacking)
    # then the error names both, and the file that creates them
    with pytest.raises(PostgresRefused, match=r"scores\.comment.*0001_tables\.sql") as refused:
        _column_types(connection, "app")
    assert "chats.started_at" in str(refused.value)
