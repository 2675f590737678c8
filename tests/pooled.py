"""PgBouncer in front of a stack's Postgres."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from testbed import programs
from testbed.universe import wait_for
from tests.site import free_port, program


@contextmanager
def pgbouncer(dsn: str, password: str, *, pool_mode: str) -> Iterator[str]:
    """A pooler for the database of a DSN; the DSN that leads through it."""
    source, port = urlsplit(dsn), free_port()
    database = source.path.lstrip("/")
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n{database} = host={source.hostname} port={source.port} user={source.username} "
        f"password={password}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = any\npool_mode = {pool_mode}\nlogfile =\npidfile =\n"
        + "user = nobody\n"
        * (os.geteuid() == 0),  # it refuses to run as root
        "utf-8",
    )
    binary, env = programs.pgbouncer()
    through = f"postgresql://{source.username}@127.0.0.1:{port}/{database}"

    def answers() -> bool:
        try:
            psycopg.connect(through).close()
        except psycopg.OperationalError:
            return False
        return True

    log = folder / "log"
    try:
        with program([binary, config], env, log):
            wait_for("PgBouncer answers", answers, deadline_s=20)
            yield through
    finally:
        shutil.rmtree(folder)
