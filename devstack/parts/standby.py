"""A physical standby of a server of this stack: pg_basebackup, streaming, with or without synchronised slots."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from devstack.parts.base import Site
from devstack.parts.postgres import SUPERUSER, Postgres, as_server_user, bin_dir
from devstack.process import PartFailed

SLOT = "standby"  # physical, on the primary: its WAL stays until the standby has it


class Standby(Postgres):
    """Follows the server `primary`. With `sync_slots` it copies that server's failover slots."""

    def __init__(self, name: str, site: Site, primary: Postgres, *, sync_slots: bool) -> None:
        super().__init__(name, site)
        self._primary = primary
        self._sync_slots = sync_slots

    @property
    def settings(self) -> dict[str, str]:
        where = f"host=127.0.0.1 port={self._primary.port} user={SUPERUSER} dbname=postgres"
        password = self.site.passwords[SUPERUSER]
        more = {"primary_conninfo": f"{where} password={password}", "primary_slot_name": SLOT}
        if self._sync_slots:
            more |= {"hot_standby_feedback": "on", "sync_replication_slots": "on"}
        return super().settings | more

    def prepare(self) -> None:
        cluster = self.data / "data"
        if not (cluster / "PG_VERSION").exists():
            self._copy(cluster)
        super().prepare()
        signal_file = cluster / "standby.signal"
        signal_file.touch()
        self.give_to_server_user(signal_file)

    def set_up(self) -> None:
        """Nothing: what the primary has comes by itself."""

    def _copy(self, cluster: Path) -> None:
        shutil.rmtree(cluster, ignore_errors=True)
        cluster.mkdir(parents=True, mode=0o700)
        self.give_to_server_user(cluster)
        arguments = ["-D", str(cluster), "-h", "127.0.0.1", "-p", str(self._primary.port), "-U", SUPERUSER]
        arguments += ["-X", "stream", "-c", "fast", "-C", "-S", SLOT, "--no-sync"]
        done = subprocess.run(
            [*as_server_user(), str(bin_dir() / "pg_basebackup"), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={"PATH": os.environ.get("PATH", ""), "PGPASSWORD": self.site.passwords[SUPERUSER]},
        )
        if done.returncode:
            shutil.rmtree(cluster, ignore_errors=True)
            raise PartFailed(f"{self.name}: pg_basebackup failed\n{done.stderr[-2000:]}")
