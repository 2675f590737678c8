"""Columns of decoded JSON -> columns that ClickHouse's Native format takes: ints for UUIDs and times, finite floats.

A column is checked and converted as a whole. When that fails, each value is checked by itself, to find the refused
ones. None stands for a missing value.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from stream.errors import Refused
from stream.pipeline.placement import TIME_MAX_US, TIME_MIN_US
from stream.tables import Column, Kind

INT_MIN, INT_MAX = -(2**15), 2**15 - 1  # what ClickHouse's Int16 holds
UNAVAILABLE = "__debezium_unavailable_value"  # Debezium's stand-in for an unchanged TOAST value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_AMBIGUOUS = 10**13  # as microseconds the spring of 1970, as milliseconds a time up to 2286
_HEX = b"0123456789abcdefABCDEF"
_UUID_CHARS = 36
_HYPHENS = (8, 13, 18, 23)
_SAMPLE = 64

Bad = dict[int, Refused]  # index in the column -> why it is refused


def convert(column: Column, values: list[Any], bad: Bad) -> list[Any]:
    """Convert the values of a change's column for ClickHouse. Refused values become None, and stand in `bad`.

    The decoder has checked their types, and that none is missing where the column may not be NULL.
    """
    converter = _CONVERTERS.get(column.kind)
    return values if converter is None else converter(column, values, bad)


def convert_checked(column: Column, values: list[Any], bad: Bad) -> list[Any]:
    """As `convert`, for values that nothing has checked, such as rows read from Postgres."""
    if column.kind == "int":
        for index, value in enumerate(values):
            if value is not None and not INT_MIN <= value <= INT_MAX:
                bad.setdefault(index, Refused("bad_int", f"{column.name} is outside of 16 bits"))
    if column.kind == "time":
        found = _each(values, micros, bad, reason="bad_time", of=column)
    else:
        found = convert(column, values, bad)
    if not column.nullable:
        for index, value in enumerate(found):
            if value is None:
                bad.setdefault(index, Refused("null", f"{column.name} is NULL"))
    return found


def uuid_int(text: str) -> int:
    """A UUID as an int, read from its hyphenated form or from 32 hex digits.

    Raises:
        ValueError: the text is neither.
    """
    if len(text) not in {_UUID_CHARS, 32}:
        raise ValueError("is not a UUID")
    digits = text.replace("-", "")
    if len(digits) != 32 or (len(text) == _UUID_CHARS and any(text[at] != "-" for at in _HYPHENS)):
        raise ValueError("is not a UUID")
    if digits.encode("ascii", "replace").translate(None, _HEX):
        raise ValueError("is not a UUID")
    return int(digits, 16)


def uuid_text(number: int) -> str:
    """The canonical text of a UUID given as an int."""
    return str(UUID(int=number))


def uuid_ints(texts: Sequence[str]) -> list[int]:
    """A whole column of canonical UUIDs as ints: about 0.2 us each, strictly checked.

    Raises:
        ValueError: one of them is not a hyphenated UUID.
    """
    digits = _uuid_digits(texts)
    if digits is None:
        raise ValueError("not all are hyphenated UUIDs")
    return [high << 64 | low for high, low in struct.iter_unpack(">QQ", bytes.fromhex(digits))]


def are_uuids(texts: Sequence[str]) -> bool:
    """Whether all are hyphenated UUIDs."""
    return _uuid_digits(texts) is not None


def _uuid_digits(texts: Sequence[str]) -> str | None:
    """The hex digits of all texts in a row, when each text is a hyphenated UUID."""
    count = len(texts)
    joined = "".join(texts).encode("ascii", "replace")
    if len(joined) != count * _UUID_CHARS or set(map(len, texts)) - {_UUID_CHARS}:
        return None
    hyphens = b"-" * count
    if any(joined[at::_UUID_CHARS] != hyphens for at in _HYPHENS):
        return None
    digits = joined.translate(None, b"-")
    if len(digits) != 32 * count or digits.translate(None, _HEX):
        return None
    return digits.decode()


def micros(value: datetime | int) -> int:
    """Microseconds since 1970 of a time. Debezium sends timestamptz as text, and timestamp(6) as that number.

    Raises:
        ValueError: the time is outside the range of DateTime64(6).
    """
    if isinstance(value, datetime):
        since = value - _EPOCH
        value = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    if not TIME_MIN_US <= value <= TIME_MAX_US:
        raise ValueError("is outside of 1900-01-01 .. 2299-12-31")
    return value


def finite(value: float | str) -> float:
    """A finite float. With decimal.handling.mode=string Debezium sends numbers as text.

    Raises:
        ValueError: NaN, an infinity, or not a number.
    """
    try:
        number = float(value)
    except ValueError:
        raise ValueError("is not a number") from None
    if not math.isfinite(number):
        raise ValueError("is not a finite number")
    return number


def _uuids(of: Column, column: list[Any], bad: Bad) -> list[Any]:
    if None not in column:
        few = set(column) if len(set(column[:_SAMPLE])) < _SAMPLE // 2 else ()  # many scores share one criterion
        try:
            if few and 2 * len(few) < len(column):
                known = list(few)
                return list(map(dict(zip(known, uuid_ints(known), strict=True)).__getitem__, column))
            return uuid_ints(column)
        except ValueError:
            pass
    # The empty string means "none": scorecards.conversation_id holds either.
    return _each(column, uuid_int, bad, reason="bad_uuid", of=of, none=("", None))


def _times(of: Column, column: list[Any], bad: Bad) -> list[Any]:
    try:
        found: list[Any] = [(value - _EPOCH) // _MICROSECOND for value in column]
        if not found or (min(found) >= TIME_MIN_US and max(found) <= TIME_MAX_US):
            return found
    except TypeError:  # the column has None among its texts, or numbers
        pass
    return _each(column, _sent_micros, bad, reason="bad_time", of=of)


def _sent_micros(value: datetime | int) -> int:
    if isinstance(value, int) and abs(value) < _AMBIGUOUS:
        raise ValueError("may be milliseconds, or days")
    return micros(value)


def _floats(of: Column, column: list[Any], bad: Bad) -> list[Any]:
    present = [value for value in column if value is not None]
    try:
        if math.isfinite(math.fsum(present)):  # a NaN, an infinity or a text shows in the sum
            return column
    except (TypeError, OverflowError, ValueError):
        pass
    return _each(column, finite, bad, reason="not_finite", of=of)


def _each(
    column: list[Any],
    converter: Callable[[Any], Any],
    bad: Bad,
    *,
    reason: str,
    of: Column,
    none: tuple[Any, ...] = (None,),
) -> list[Any]:
    out: list[Any] = []
    for index, value in enumerate(column):
        if value in none:
            out.append(None)
            if not of.nullable:
                bad.setdefault(index, Refused("null", f"{of.name} is missing"))
            continue
        try:
            out.append(converter(value))
        except (ValueError, OverflowError) as error:
            out.append(None)
            bad.setdefault(index, Refused(reason, f"{of.name} {error}"))
    return out


_CONVERTERS: dict[Kind, Callable[[Column, list[Any], Bad], list[Any]]] = {
    "uuid": _uuids,
    "time": _times,
    "float": _floats,
}
