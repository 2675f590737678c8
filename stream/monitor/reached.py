"""How far each partition was ever indexed, kept in a file: a rewind stays a rewind when the monitor starts again.

Enters: offsets. Leaves: a JSON file, and its content at the start. An unreadable file counts as missing.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stream.kafka.topic_partition import TP

log = logging.getLogger(__name__)

SAVE_S: Final = 10.0


class Reached:
    """The file of one group's offsets."""

    def __init__(self, path: Path, group: str) -> None:
        self._path = path
        self._group = group
        self._saved = time.monotonic()

    def load(self) -> dict[TP, int]:
        """The offsets that an earlier process kept of this group; empty without a file."""
        try:
            kept = json.loads(self._path.read_text("utf-8"))
            if kept["group"] != self._group:
                return {}
            return {TP(topic, int(number)): int(at) for topic, number, at in kept["reached"]}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def save_sometimes(self, reached: Mapping[TP, int | None]) -> None:
        """Save, unless the last save was a short time ago."""
        if time.monotonic() - self._saved > SAVE_S:
            self.save(reached)
            self._saved = time.monotonic()

    def save(self, reached: Mapping[TP, int | None]) -> None:
        """Replace the file at once. A full disk is logged and ends nothing."""
        known = [[*tp, at] for tp, at in reached.items() if at is not None]
        if not known:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps({"group": self._group, "reached": known}), "utf-8")
            part.replace(self._path)
        except OSError as error:
            log.warning("cannot keep offsets", extra={"path": self._path, "cause": error.strerror})
