"""A secret that may be rotated while a process runs: each use reads its file again.

Enters: a path. Leaves: the secret for the next connection. Connections that stand already keep theirs.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr


class SecretFile(SecretStr):
    """The content of a file, without the end of its line.

    While the file cannot be read, as in the middle of a rotation, the secret is that of the last time.

    Raises:
        OSError: the file cannot be read at the start.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(_content(path))
        self._path = path

    def get_secret_value(self) -> str:
        """The secret as the file has it now."""
        with suppress(OSError):
            self._secret_value = _content(self._path)
        return self._secret_value


def _content(path: Path) -> str:
    return path.read_text("utf-8").rstrip("\r\n")
