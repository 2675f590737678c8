"""Stops a worker that would drain a topic into the dead letters: a changed schema is no bad message."""

from __future__ import annotations

from collections import deque

from stream.errors import TooManyDeadLetters


class DeadLetterGuard:
    """Watches the share of refused messages among the last ones.

    Args:
        share: above it the process stops.
        window: messages looked back on; with fewer than that nothing stops.
    """

    def __init__(self, *, share: float, window: int) -> None:
        self._share = share
        self._window = window
        self._batches: deque[tuple[int, int]] = deque()
        self._messages = 0
        self._refused = 0

    def add(self, topic: str, *, messages: int, refused: int) -> None:
        """Count a finished batch.

        Raises:
            TooManyDeadLetters: with the share and the way out.
        """
        self._batches.append((messages, refused))
        self._messages += messages
        self._refused += refused
        while self._messages - self._batches[0][0] >= self._window:
            gone, gone_refused = self._batches.popleft()
            self._messages -= gone
            self._refused -= gone_refused
        if self._messages >= self._window and self._refused > self._share * self._messages:
            raise TooManyDeadLetters(
                f"{topic}: {self._refused} of the last {self._messages} messages were refused; they are in the "
                "dead-letter topic. See `scorestream dead-letters list` for the reasons, mend the source or the "
                "connector, then start the worker again (or raise SCORESTREAM_BATCH_DEAD_LETTER_SHARE)"
            )
