"""Moments, durations and sizes: parsed from a command line, and written for people.

Enters: texts and numbers. Leaves: microseconds or milliseconds since 1970, seconds, or a text. Times are UTC unless a
text names another zone.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta

from stream.errors import UsageError

DAY_US = 86_400_000_000
POSTGRES_EPOCH_US = 946_684_800_000_000  # 2000-01-01, the start of Postgres' own time scale
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PART = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"(?:{_PART}d)?(?:{_PART}h)?(?:{_PART}m)?(?:{_PART}s)?")
_ISO_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


def moment(micros: int) -> datetime:
    """A UTC datetime."""
    return _EPOCH + timedelta(microseconds=micros)


def day_text(day: int) -> str:
    """`2026-01-31` for a number of days since 1970."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def time_text(ms: int) -> str:
    """ISO 8601, UTC, seconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str, *, end: bool = False) -> int:
    """Microseconds since 1970 of an ISO date or time. UTC where no zone is named; an end date includes its day.

    Raises:
        UsageError: the text is neither.
    """
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is neither a date (2026-01-31) nor a time (2026-01-31T12:00:00)") from error
    value = value if value.tzinfo else value.replace(tzinfo=UTC)
    if end and len(text) <= len("2026-01-31"):
        value += timedelta(days=1)
    since = value - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def parse_moment(text: str, *, now_ms: int | None = None) -> int:
    """Milliseconds since 1970 of a time; `now` is allowed.

    Raises:
        UsageError: the text is not a time, or lies in the future.
    """
    now_ms = int(time.time() * 1000) if now_ms is None else now_ms
    found = now_ms if text == "now" else parse_time(text) // 1000
    if found > now_ms:
        raise UsageError(f"{text} is in the future: give a time that has passed (UTC unless it names a zone)")
    return found


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `10m`, `2h30m`, `1d`, or ISO 8601 (`PT10M`).

    Raises:
        UsageError: the text is not a duration.
    """
    match = _ISO_DURATION.fullmatch(text) if text.startswith("P") else _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise UsageError(f"{text!r} is no duration: write 90s, 10m, 2h30m, 1d or PT10M")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def duration(seconds: float) -> str:
    """40 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 and seconds != whole else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def span(seconds: float) -> str:
    """`0:03:25`, for the time left or taken."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def size(count: float) -> str:
    """Bytes in words, such as 12.3 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
