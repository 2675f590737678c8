"""Logging: the standard library, one line for each record, key=value, on stderr. Never row values or secrets."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping

LEVELS = ("debug", "info", "warning", "error")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Libraries that log every request at info.
_CHATTY = ("aiokafka", "faust", "mode", "urllib3", "urllib3.connectionpool", "clickhouse_connect")
_FORMS = 1_000  # of lines that are remembered


class KeyValue(logging.Formatter):
    """`time=.. level=.. logger=.. msg=".." key=value ..`; the pairs of `extra` come last."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{key}={_quoted(value)}" for key, value in self._pairs(record).items())

    def _pairs(self, record: logging.LogRecord) -> dict[str, object]:
        pairs: dict[str, object] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        pairs |= extras(record)
        if record.exc_info:
            pairs["trace"] = self.formatException(record.exc_info)
        return pairs


class Json(KeyValue):
    """The same pairs as one JSON object for each record."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self._pairs(record), ensure_ascii=False, default=str)


class Console(KeyValue):
    """For a terminal: `12:00:00 warning  message  key=value ..`, in UTC, with a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.gmtime(record.created))
        line = f"{clock}Z {record.levelname.lower():<8} {said(record)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class Seldom(logging.Filter):
    """Lets one of a library's lines of the same form pass each ten seconds; `left_out` says how many went before it.

    While the brokers are away, aiokafka alone would log fifteen lines a second.
    """

    def __init__(self, *, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s = every_s
        self._clock = clock
        self._passed: dict[tuple[str, str], tuple[float, int]] = {}  # form -> when one passed, left out since

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(_CHATTY):
            return True
        form, now = (record.name, str(record.msg)), self._clock()
        at, left_out = self._passed.get(form, (now - self._every_s, 0))
        if now - at < self._every_s:
            self._passed[form] = (at, left_out + 1)
            return False
        if len(self._passed) >= _FORMS:
            self._passed.clear()
        self._passed[form] = (now, 0)
        if left_out:
            record.left_out = left_out
        return True


FORMATS: Mapping[str, type[KeyValue]] = {"logfmt": KeyValue, "json": Json, "console": Console}
AUTO = "auto"
CHOICES = (AUTO, *FORMATS)


def extras(record: logging.LogRecord) -> dict[str, object]:
    """The pairs that the caller gave as `extra`."""
    return {key: value for key, value in vars(record).items() if key not in _OWN}


def said(record: logging.LogRecord) -> str:
    """The message with its pairs, without time and level."""
    return " ".join([record.getMessage(), *(f"{key}={_quoted(value)}" for key, value in extras(record).items())])


def configure(level: str, form: str = AUTO) -> None:
    """Send everything to stderr from now on. A second call changes only the level and the format.

    Args:
        form: one of CHOICES.
    """
    if form == AUTO:
        form = "console" if sys.stderr.isatty() else "logfmt"
    root = logging.getLogger()
    root.setLevel(level.upper())
    ours = [handler for handler in root.handlers if isinstance(handler.formatter, KeyValue)]
    if not ours:
        ours = [logging.StreamHandler(sys.stderr)]
        root.addHandler(ours[0])
    for handler in ours:
        handler.setFormatter(FORMATS[form]())
        handler.filters = [] if level == "debug" else [Seldom()]
    # The package's own errors repeat what these warnings say.
    quiet = logging.DEBUG if level == "debug" else logging.ERROR
    for name in _CHATTY:
        logging.getLogger(name).setLevel(quiet)


def _quoted(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    # One record is one line: a value with a space, a quote or a line break is written as a JSON string.
    return text if text and not any(char in ' "=\n\r\t' for char in text) else json.dumps(text, ensure_ascii=False)
