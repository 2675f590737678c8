"""Kafka's credentials beside the work: when a secret file or a certificate is rotated, the worker ends.

Its supervisor starts it again with the new ones, within seconds. The connections that stand would go on with the old
ones, but the next one that breaks could not be replaced. Postgres and ClickHouse need no restart: each of their
connections reads the password again.

Enters: the settings of Kafka. Leaves: the end of the worker.
"""

from __future__ import annotations

import threading
from typing import Final

from stream.errors import CredentialsRotated
from stream.kafka.client import credentials
from stream.live.app import LiveApp
from stream.settings_sections import KafkaSettings

EVERY_S: Final = 5.0


class CredentialsWatch:
    """The thread. `start` it; it ends when the worker stops."""

    def __init__(self, settings: KafkaSettings, *, every_s: float = EVERY_S) -> None:
        self._settings = settings
        self._every_s = every_s
        self._first = credentials(settings)
        self._closed = threading.Event()

    def start(self, live: LiveApp) -> None:
        """Look on until the worker stops."""
        live.on_stopping(self._closed.set)
        threading.Thread(target=self._watch, args=(live,), name="credentials-watch", daemon=True).start()

    def _watch(self, live: LiveApp) -> None:
        while not self._closed.wait(self._every_s):
            if credentials(self._settings) != self._first:
                text = "Kafka's secret files or certificates have changed; the next start reads them"
                live.app.loop.call_soon_threadsafe(live.crash, CredentialsRotated(text))
                return
