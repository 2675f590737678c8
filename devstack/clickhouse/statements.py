"""What a statement is, found from its first words: how to run it, and where the data of an INSERT begin."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SKIP = re.compile(rb"(?:\s+|--[^\n]*(?:\n|$)|#[! ][^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(rb"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"|`(?:[^`\\]|\\.)*`|[A-Za-z_][A-Za-z0-9_]*|.", re.DOTALL)
_FORMAT_AT_END = re.compile(rb"\bFORMAT\s+([A-Za-z][A-Za-z0-9]*)\s*(?:SETTINGS\b[^)]*)?[;\s]*$", re.IGNORECASE)
_LINE_END = re.compile(rb"[ \t\f]*\r?\n?")


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT whose data come with the request: `head` names table and columns, `data_at` is where the data begin."""

    head: str
    format: str
    data_at: int


def first_word(sql: bytes) -> str:
    """The first keyword in upper case; "(" for a parenthesis, "" for an empty statement."""
    start = _skip(sql, 0)
    word = _WORD.match(sql, start)
    return word.group().decode().upper() if word else sql[start : start + 1].decode("latin-1")


def streams(word: str) -> bool:
    """True for the statements whose result the engine hands out in pieces."""
    return word in ("SELECT", "WITH", "(", "FROM")


def has_result(word: str) -> bool:
    """True for the statements that answer with a result, be it empty; clients tell them by X-ClickHouse-Format."""
    return streams(word) or word in ("SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK", "KILL")


def output_format(sql: bytes, default: str) -> str:
    """The FORMAT that ends a statement, else `default`."""
    found = _FORMAT_AT_END.search(sql, max(0, len(sql) - 400))
    return found.group(1).decode() if found else default


def split_insert(sql: bytes) -> Insert | None:
    """The parts of an INSERT with data; None when it is INSERT ... SELECT, or when neither data nor FORMAT come."""
    at = _skip(sql, 0)
    depth = 0
    while at < len(sql):
        token = _TOKEN.match(sql, at)
        if token is None:
            return None
        word = token.group().upper()
        if word == b"(":
            depth += 1
        elif word == b")":
            depth -= 1
        elif depth == 0:
            if word in (b"SELECT", b"WITH", b"WATCH"):
                return None
            if word == b"VALUES":
                return Insert(sql[:at].decode(), "Values", token.end())
            if word == b"FORMAT":
                name = _WORD.match(sql, _skip(sql, token.end()))
                if name is None:
                    return None
                line_end = _LINE_END.match(sql, name.end())
                return Insert(sql[:at].decode(), name.group().decode(), line_end.end() if line_end else name.end())
        at = _skip(sql, token.end())
    return None


def _skip(sql: bytes, at: int) -> int:
    found = _SKIP.match(sql, at)
    return found.end() if found else at
