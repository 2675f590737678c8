"""Which types a column of the source may have, and how each is carried: the one list of them.

Enters: the kind of a column (stream/tables.py) and the name of its Postgres type. Leaves: how its values reach
ClickHouse, or why they do not. docs/reference/types.md is written from it, and stream/doctor/source.py reads it. A
change, a snapshot, a replay, a backfill and a reindex all store the same value, and verify compares with it. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

from stream.tables import TEXT_UNITS, Column, Kind


class Carried(NamedTuple):
    """How values of a type reach ClickHouse. `exactly`: every value that is not refused arrives unchanged."""

    exactly: bool
    how: str


_AS_IT_IS = Carried(exactly=True, how="as it is")
_AS_TEXT = Carried(exactly=True, how="its text")
_TEXTUAL_UUID = Carried(
    exactly=True, how="32 hex digits, with hyphens or without; an empty text is NULL; any other is refused"
)

# Kind of the column -> Postgres' name of the type (pg_type.typname; of a domain the type below it) -> how.
TYPES: dict[Kind, dict[str, Carried]] = {
    "uuid": {
        "uuid": _AS_IT_IS,
        "text": _TEXTUAL_UUID,
        "varchar": _TEXTUAL_UUID,
        "bpchar": _TEXTUAL_UUID._replace(how=f"{_TEXTUAL_UUID.how}; char(36) or char(32)"),
        "citext": _TEXTUAL_UUID,
    },
    "text": {
        "text": _AS_IT_IS,
        "varchar": _AS_IT_IS,
        "bpchar": Carried(exactly=True, how="with the blanks that Postgres pads it with"),
        "citext": Carried(exactly=True, how="as it was written; ClickHouse compares case"),
        "uuid": Carried(exactly=True, how="its text, in lower case with hyphens"),
    },
    "time": {
        "timestamptz": Carried(exactly=True, how="the moment in UTC, microseconds, any precision"),
        "timestamp": Carried(exactly=True, how="the moment, its digits taken for UTC; microseconds, any precision"),
        "date": Carried(exactly=False, how="midnight UTC of the day; its messages are decoded one by one"),
    },
    "float": {
        "float8": Carried(exactly=True, how="as it is; NaN and the infinities are refused"),
        "float4": Carried(
            exactly=False, how="the double nearest to its shortest decimal: 0.1 is 0.1; NaN and infinities are refused"
        ),
        "numeric": Carried(exactly=False, how="the nearest double; NaN, and what no double holds, is refused"),
        "int2": _AS_IT_IS,
        "int4": _AS_IT_IS,
        "int8": Carried(exactly=False, how="the nearest double: exact up to 2^53"),
    },
    "int": {
        "int2": _AS_IT_IS,
        "int4": Carried(exactly=True, how="as it is; what 16 bits do not hold is refused"),
        "int8": Carried(exactly=True, how="as it is; what 16 bits do not hold is refused"),
    },
    "bool": {"bool": _AS_IT_IS},
}
ENUM = _AS_TEXT  # of an enum type, for a column of text

REFUSED_VALUES: tuple[tuple[str, str], ...] = (
    ("a time before 1900-01-01 or after 2299-12-31 (UTC), before Christ, `infinity`, `-infinity`", "bad_time"),
    ("NaN, infinities, and numbers that no double holds", "not_finite"),
    ("an integer that 16 bits do not hold", "bad_int"),
    ("a text that is no UUID where one must be", "bad_uuid"),
    (f"a customer's id of {TEXT_UNITS:,} UTF-16 units or more", "long_customer"),
    ("NULL in a column that may not be NULL in ClickHouse", "null"),
)


def carried(column: Column, type_name: str, *, is_enum: bool = False) -> Carried | None:
    """How a column's values are carried. None: they are not, and `connectors apply` says so.

    Args:
        type_name: pg_type.typname; for a domain, that of the type below it.
        is_enum: whether pg_type.typtype is 'e'.
    """
    if is_enum:
        return ENUM if column.kind == "text" else None
    return TYPES[column.kind].get(type_name)


def table() -> str:
    """The table of docs/reference/types.md."""
    rows = [
        f"| {kind} | `{name}` | {'exactly' if how.exactly else 'converted'} | {how.how} |"
        for kind, types in TYPES.items()
        for name, how in types.items()
    ]
    rows.append(f"| text | an enum | exactly | {ENUM.how} |")
    refused = [f"| {what} | `{reason}` |" for what, reason in REFUSED_VALUES]
    return "\n".join(
        [
            "# Types and values of the source",
            "",
            "A column is of one of six kinds (`stream/tables.py`). A domain is carried as the type below it; generated",
            "and identity columns as any other. A type that is not in this table is not carried: arrays, `bytea`,",
            "`json`, `money`, `interval`, `time` and `timetz` among them.",
            "",
            "Other columns stay out of the messages (`column.include.list`), and may have any type. Debezium reads",
            "them all the same; before 3.7 it failed at a `timetz` whose offset from UTC has seconds.",
            "",
            "| kind | type | stored | how |",
            "|---|---|---|---|",
            *rows,
            "",
            "The connector sends times as text (`time.precision.mode=isostring`). It sends NULL as NULL, also where",
            "the column has a default (`replace.null.with.default=false`). A number in place of a time is taken for",
            "microseconds. One that may be milliseconds or days is refused, and the row is read from Postgres.",
            "",
            "## Long texts",
            "",
            f"The connector cuts a text at {TEXT_UNITS:,} UTF-16 units: an emoji has two. So no change outgrows a",
            "message. The pipeline writes no text of that length from a message, because it may be cut. It reads the",
            "scorecard with its scores from Postgres instead, and ClickHouse has the whole text, up to Postgres' 1 GB.",
            "",
            "## Values that are refused",
            "",
            "| value | reason of the dead letter |",
            "|---|---|",
            *refused,
            "",
            "A refused message is kept in the dead-letter topic, and its scorecard is read from Postgres. What can",
            "be held is stored; an appeal or a deleted row is hidden. A row with a value that cannot be held is",
            "withheld: it is shown nowhere, and `verify` names it with its column. An event time that cannot be held",
            "hides the scorecard until it is corrected.",
            "",
        ]
    )
