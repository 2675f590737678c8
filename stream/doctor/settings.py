"""The settings by themselves: files that they name, who can read the secrets, and the folder that is written to.

Enters: names of settings and the paths that they have. Leaves: findings. It asks no other system. Values that cannot be
are refused earlier, when the settings are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from stream.doctor.finding import ERROR, WARNING, Checks, DoctorFinding

CHECKS = Checks("settings")
FILE = CHECKS.add(
    "file-unreadable",
    ERROR,
    "a file that a setting names does not exist, or this user may not read it",
    "the process that needs it fails at its start, or at its next connection",
)
OPEN = CHECKS.add(
    "secret-open",
    WARNING,
    "other users of this host may read a file with secrets",
    "anyone with an account on this host has the passwords",
)
STATE = CHECKS.add(
    "state-folder",
    WARNING,
    "the folder of SCORESTREAM_STATE_DIR cannot be written to",
    "reindex and purge do not resume after an interruption, and the monitor takes a rewind for lag",
)
BACKFILL = CHECKS.add(
    "backfill-dsn",
    ERROR,
    "SCORESTREAM_BACKFILL_DSN is not set",
    "a backfill cannot send its signals: the workers' role may not write them",
    "set SCORESTREAM_BACKFILL_DSN and _PASSWORD to the role scorestream_cdc",
    purposes=("backfill",),
)


def examine(
    *, files: Mapping[str, Path], secrets: Mapping[str, Path], state_dir: Path, uid: int | None = None
) -> Iterator[DoctorFinding]:
    """Everything that is wrong.

    Args:
        files: setting -> file that it names (certificates, the connector's JSON).
        secrets: setting -> file that holds secrets.
        uid: of the user whose own files must not be open to others; default: this process's. Files of another user,
            as a Secret that Kubernetes mounts, are that user's matter.
    """
    own = os.getuid() if uid is None else uid
    for setting, path in {**files, **secrets}.items():
        if not path.is_file():
            yield FILE.found(f"{setting}={path}: no such file", f"create {path}, or correct {setting}")
        elif not os.access(path, os.R_OK):
            yield FILE.found(f"{setting}={path}: permission denied", f"chmod u+r {path}")
    for setting, path in secrets.items():
        if path.is_file() and (found := path.stat()).st_uid == own and found.st_mode & 0o077:
            yield OPEN.found(f"{setting}={path} has mode {found.st_mode & 0o777:o}", f"chmod 600 {path}")
    folder = state_dir
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent  # it is made when it is first needed
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        way = f"mkdir -p {state_dir} && chown {own} {state_dir}"
        yield STATE.found(f"SCORESTREAM_STATE_DIR={state_dir} cannot be written to", way)
