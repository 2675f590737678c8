"""The client of this package's own web servers: reads what another process tells under a path.

Enters: URLs. Leaves: the bytes of an answer of 200, or AskFailed. It follows no redirect and retries nothing.
"""

from __future__ import annotations

import urllib3

from stream.errors import Retry


class AskFailed(Retry):
    """The other process does not answer, or not with 200."""


class Asker:
    """Keeps its connections open. For several threads; `close` it."""

    def __init__(self, *, timeout_s: float) -> None:
        self._pool = urllib3.PoolManager(timeout=timeout_s, retries=False, maxsize=1)

    def get(self, url: str) -> bytes:
        """The body of an answer.

        Raises:
            AskFailed: the text has a short cause.
        """
        try:
            answer = self._pool.request("GET", url)
        except urllib3.exceptions.NewConnectionError as error:
            raise AskFailed("connection refused" if "refused" in str(error) else "no connection") from error
        except urllib3.exceptions.TimeoutError as error:
            raise AskFailed("timed out") from error
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            raise AskFailed(type(error).__name__) from error
        if answer.status != 200:
            raise AskFailed(f"status {answer.status}")
        return bytes(answer.data)

    def close(self) -> None:
        self._pool.clear()
