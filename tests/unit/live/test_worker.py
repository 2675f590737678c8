"""A worker that cannot start ends, so that its supervisor can start it again; it does not hang."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_without_a_broker_it_ends_with_an_error(tmp_path: Path) -> None:
    env = os.environ | {
        "SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "SCORESTREAM_STATE_DIR": str(tmp_path),
        "SCORESTREAM_WEB_PORT": "0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "stream.cli", "worker"], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "Unable to bootstrap" in done.stderr
