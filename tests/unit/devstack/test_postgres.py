"""The server's user reaches what lies below a folder that only its owner may enter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from devstack.parts.postgres import as_server_user


def test_the_servers_user_may_run_programs_in_a_private_home(tmp_path: Path) -> None:
    # given a program below a home that only its owner may enter
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    program = home / "initdb"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    # when the server's user asks whether it may run it, as initdb does, then it may
    ask = f"import os, sys; sys.exit(not os.access({str(program)!r}, os.R_OK | os.X_OK))"
    assert subprocess.run([*as_server_user(), sys.executable, "-c", ask], check=False, cwd="/").returncode == 0
