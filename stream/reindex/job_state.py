"""How far a long job has come, kept in a small file, so that it goes on where kill -9 ended it.

The file's name is made from what the job is about: the same call finds it again. It is replaced as a whole, after what
it says is done, and removed when the job has ended; a chunk that was written but not noted is written again.
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
        about: what identifies the job; JSON.
    """

    def __init__(self, folder: Path, name: str, about: dict[str, Any]) -> None:
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        self.path = folder / f"{name}-{digest}.json"
        self._about = about

    def load(self) -> JobState | None:
        """What an earlier run left, or None."""
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
        """The job has ended."""
        self.path.unlink(missing_ok=True)
