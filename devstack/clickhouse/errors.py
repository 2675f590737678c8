"""Errors as the real server words them, and the HTTP status that it answers with."""

from __future__ import annotations

import re

_STATUS = {
    400: (6, 25, 26, 27, 36, 38, 41, 43, 44, 53, 62, 69, 72, 117, 130, 131, 167, 168, 223, 376, 427, 441, 675, 676),
    401: (194,),
    403: (192, 193, 497, 512, 516),
    404: (24, 46, 47, 50, 56, 60, 63, 73, 78, 81, 83, 115, 511),
    408: (159,),
    411: (381,),
    413: (229,),
    501: (48,),
    503: (76, 209, 439),
}
_STATUS_OF_CODE = {code: status for status, codes in _STATUS.items() for code in codes}
_NAMES = {
    62: "SYNTAX_ERROR",
    48: "NOT_IMPLEMENTED",
    115: "UNKNOWN_SETTING",
    164: "READONLY",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    241: "MEMORY_LIMIT_EXCEEDED",
    242: "TABLE_IS_READ_ONLY",
    243: "NOT_ENOUGH_SPACE",
    252: "TOO_MANY_PARTS",
    319: "UNKNOWN_STATUS_OF_INSERT",
    372: "SESSION_NOT_FOUND",
    373: "SESSION_IS_LOCKED",
    516: "AUTHENTICATION_FAILED",
    159: "TIMEOUT_EXCEEDED",
    999: "KEEPER_EXCEPTION",
}
_FIRST_CODE = re.compile(r"Code: (\d+)\. DB::Exception: ")
_VERSION = re.compile(r" \(version [^()]*(?:\([^()]*\))?\)")
_NAME = re.compile(r" \(([A-Z][A-Z0-9_]+)\)\.?$")


class ServerError(Exception):
    """An error with ClickHouse's code; `text` is what the client reads in the body."""

    def __init__(self, code: int, message: str, *, name: str | None = None) -> None:
        self.code = code
        self.name = name or _NAMES.get(code, "UNKNOWN_EXCEPTION")
        self.message = message
        super().__init__(f"Code: {code}. DB::Exception: {message} ({self.name})")

    @property
    def status(self) -> int:
        """HTTP status, as in ClickHouse's src/Server/HTTP/exceptionCodeToHTTPStatus.cpp; 500 for most codes."""
        return _STATUS_OF_CODE.get(self.code, 500)

    def text(self, version: str) -> str:
        return f"{self} (version {version} (official build))\n"


def from_engine(error: BaseException) -> ServerError:
    """chdb's exceptions are text: `Code: N. DB::Exception: ... (NAME)`, at times twice, at times with a version."""
    text = str(error)
    parts = _FIRST_CODE.split(text)
    if len(parts) < 3:
        return ServerError(1002, text, name="UNKNOWN_EXCEPTION")
    message = _VERSION.sub("", parts[-1]).strip()
    name = None
    while found := _NAME.search(message):  # twice where it was wrapped twice
        name, message = found.group(1), message[: found.start()]
    return ServerError(int(parts[1]), message, name=name)
