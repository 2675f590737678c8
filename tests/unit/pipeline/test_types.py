"""The list of types: each kind of column has one, and the values of each arrive as the list says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream.errors import Refused
from stream.pipeline.decoder import Decoder
from stream.pipeline.envelope import Envelope
from stream.pipeline.types import TYPES, carried, table
from stream.pipeline.values import convert, convert_checked
from stream.tables import CLICKHOUSE_TYPES, SCORE, SCORECARD, Column
from tests.fakes import envelope
from tests.fakes.rows import row_of

CARD = "5c000000-0000-4000-8000-000000000000"
MARCH_4_US = 1_772_582_400_000_000


def test_each_kind_of_column_has_types() -> None:
    assert set(TYPES) == set(CLICKHOUSE_TYPES)
    for column in (*SCORECARD.all_columns, *SCORE.all_columns):
        assert TYPES[column.kind]


@pytest.mark.parametrize(
    ("column", "type_name", "is_enum", "is_carried"),
    [
        (Column("x", "time"), "date", False, True),
        (Column("x", "time"), "timetz", False, False),
        (Column("x", "text"), "mood", True, True),
        (Column("x", "uuid"), "mood", True, False),
        (Column("x", "float"), "money", False, False),
        (Column("x", "text"), "bytea", False, False),
        (Column("x", "text"), "_text", False, False),
    ],
)
def test_a_type_that_is_not_carried_is_told(column: Column, type_name: str, is_enum: bool, is_carried: bool) -> None:
    assert (carried(column, type_name, is_enum=is_enum) is not None) is is_carried


def test_the_page_has_a_line_for_each_type() -> None:
    page = table()
    assert all(f"| {kind} | `{name}` |" in page for kind, names in TYPES.items() for name in names)


def submitted(sent: Any) -> Any:
    """Microseconds of a scorecard's submitted_at, or the reason why it is refused."""
    row = row_of("scorecards", CARD)
    body = msgspec.json.decode(envelope("scorecards", "c", None, row))
    body["after"]["submitted_at"] = sent
    (change,) = Decoder("scorecards").decode([msgspec.json.encode(body)])
    if isinstance(change, Refused):
        return change.reason
    assert isinstance(change, Envelope)
    bad: dict[int, Refused] = {}
    (value,) = convert(Column("submitted_at", "time"), [change.after.submitted_at], bad)
    return bad[0].reason if bad else value


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2026-03-04T00:00:00Z", MARCH_4_US),
        ("2026-03-04T05:00:00+05:00", MARCH_4_US),
        ("2026-03-04T00:00:00.000001Z", MARCH_4_US + 1),
        ("2026-03-04", MARCH_4_US),  # a date
        ("2026-03-04Z", MARCH_4_US),
        (MARCH_4_US, MARCH_4_US),
        (MARCH_4_US // 1000, "bad_time"),  # a timestamp(3) of a connector that sends numbers: never 1970
        (20_516, "bad_time"),  # a date of such a one
        ("infinity", "wrong_type"),
        ("-infinity", "wrong_type"),
        ("-0043-03-15T12:00:00Z", "wrong_type"),
        ("+10000-01-01T00:00:00Z", "wrong_type"),
        ("9999-12-31T00:00:00Z", "bad_time"),
        (9_223_372_036_825_200_000, "bad_time"),
        (None, None),
    ],
)
def test_a_time_is_exact_or_refused(sent: Any, stored: Any) -> None:
    assert submitted(sent) == stored


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        (Column("x", "int"), 40_000, "bad_int"),
        (Column("x", "bool", nullable=False), None, "null"),
        (Column("x", "text", nullable=False), None, "null"),
        (Column("x", "uuid", nullable=False), "", "null"),
        (Column("x", "time"), 2**63 - 1, "bad_time"),
        (Column("x", "float"), float("inf"), "not_finite"),
        (Column("x", "float"), 10**400, "not_finite"),
    ],
)
def test_what_postgres_holds_and_clickhouse_does_not_is_refused(column: Column, value: Any, reason: str) -> None:
    bad: dict[int, Refused] = {}
    convert_checked(column, [value], bad)
    assert [why.reason for why in bad.values()] == [reason]
    assert str(value) not in bad[0].error or value == ""


def test_an_empty_text_is_no_uuid_where_one_must_be() -> None:
    bad: dict[int, Refused] = {}
    convert(Column("criterion_id", "uuid", nullable=False), [CARD, ""], bad)
    assert bad[1].reason == "null"
