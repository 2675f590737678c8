"""Texts that the connector cut at TEXT_UNITS UTF-16 units, so that no change outgrows a message.

Enters: values of messages, decoded texts. Leaves: whether a text may be cut. Its scorecard is then read from Postgres.
A message with fewer bytes than TEXT_UNITS holds no cut text: each unit takes a byte of JSON or more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from stream.tables import TEXT_UNITS

# The first half of a surrogate pair at the end of a JSON string. Backslashes before it come in pairs.
_HALF = re.compile(rb'(?<!\\)((?:\\\\)*)\\u[dD][89abAB][0-9a-fA-F]{2}(?=")')
_REPLACEMENT = rb"\1\\ufffd"


def may_be_cut(text: str) -> bool:
    """Whether a message may hold only the beginning of this text. A text of exactly that length may also be whole."""
    if len(text) >= TEXT_UNITS:
        return True
    return 2 * len(text) >= TEXT_UNITS and len(text.encode("utf-16-le", "surrogatepass")) >= 2 * TEXT_UNITS


def any_may_be_cut(values: Sequence[Any], texts: Iterable[Iterable[str | None]]) -> bool:
    """Whether some text of these messages may be cut.

    Args:
        values: the messages, as bytes.
        texts: columns that were decoded from them.
    """
    return max(map(len, values)) >= TEXT_UNITS and any(
        text is not None and may_be_cut(text) for column in texts for text in column
    )


def without_half(value: bytes) -> bytes:
    """The message with U+FFFD where a cut left half of a surrogate pair, which no strict decoder takes."""
    return value if len(value) < TEXT_UNITS else _HALF.sub(_REPLACEMENT, value)
