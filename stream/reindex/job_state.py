"""How far a long job has come, kept in a small file, so that it goes on where kill -9 ended it.

The file's name comes from the job's subject, so the same call finds it again. The file is replaced as a whole, after
the work that it records. It is removed when the job has ended. A chunk that was written but not recorded is written
again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class JobState:
    """`after`: the id behind which to go on; the counts are of scorecards."""

    total: int
    after: str | None = None
    done: int = 0
    failed: int = 0
    began_at: float = 0.0


class JobFile:
    """The state of one job.

    Args:
        folder: `settings.state_dir`.
        name: reindex, purge.
        about: JSON that identifies the job.
    """

    def __init__(self, folder: Path, name: str, about: dict[str, Any]) -> None:
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        self.path = folder / f"{name}-{digest}.json"
        self._about = about

    def load(self) -> JobState | None:
        """The state that an earlier run left, or None."""
        try:
            document = json.loads(self.path.read_text("utf-8"))
            return JobState(**document["state"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, state: JobState) -> None:
        """Keep the state; on return it survives the process."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        state.began_at = state.began_at or time.time()
        draft = self.path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps({"about": self._about, "state": asdict(state)}), "utf-8")
        draft.replace(self.path)

    def remove(self) -> None:
        """Remove the file, because the job has ended."""
        self.path.unlink(missing_ok=True)
