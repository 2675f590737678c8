"""Logging: the standard library, one line for each record, key=value, on stderr. Never row values or secrets."""

from __future__ import annotations

import json
import logging
import sys
import time

LEVELS = ("debug", "info", "warning", "error")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Libraries that speak of every request at info.
_CHATTY = ("aiokafka", "faust", "mode", "urllib3", "urllib3.connectionpool", "clickhouse_connect")


class KeyValue(logging.Formatter):
    """`time=.. level=.. logger=.. msg=".." key=value ..`; the keys are what was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        pairs: dict[str, object] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        pairs |= {key: value for key, value in vars(record).items() if key not in _OWN}
        if record.exc_info:
            pairs["trace"] = self.formatException(record.exc_info)
        return " ".join(f"{key}={_quoted(value)}" for key, value in pairs.items())


def configure(level: str) -> None:
    """Send everything to stderr from now on; calling it again changes the level only."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    if not any(isinstance(handler.formatter, KeyValue) for handler in root.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(KeyValue())
        root.addHandler(handler)
    # Their warnings repeat what our own errors say.
    quiet = logging.DEBUG if level == "debug" else logging.ERROR
    for name in _CHATTY:
        logging.getLogger(name).setLevel(quiet)


def _quoted(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    # One record is one line: whatever has a space, a quote or a line break is written as a JSON string.
    return text if text and not any(char in ' "=\n\r\t' for char in text) else json.dumps(text, ensure_ascii=False)
