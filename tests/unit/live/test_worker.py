"""A worker that cannot start ends, so that its supervisor can start it again; it does not hang."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from testbed.universe import wait_for


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


def test_it_lives_while_a_store_hangs_at_its_start_and_sigterm_ends_it(tmp_path: Path) -> None:
    # given a shard that takes connections and never answers
    with socket.create_server(("127.0.0.1", 0)) as shard, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        env = os.environ | {
            "SCORESTREAM_CLICKHOUSE_SHARDS": f"http://127.0.0.1:{shard.getsockname()[1]}",
            "SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "SCORESTREAM_STATE_DIR": str(tmp_path),
            "SCORESTREAM_WEB_PORT": str(port),
        }
        worker = subprocess.Popen([sys.executable, "-m", "stream.cli", "worker"], env=env, stderr=subprocess.DEVNULL)

        def lives() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=1) as answer:
                    return bool(answer.status == 200)
            except (urllib.error.URLError, TimeoutError):
                return False

        # then the liveness probe is answered meanwhile
        try:
            wait_for("it answers", lives, deadline_s=30)
            # and SIGTERM ends it as it ends one that works
            worker.terminate()
            assert worker.wait(timeout=30) == 0
        finally:
            worker.kill()
            worker.wait()
