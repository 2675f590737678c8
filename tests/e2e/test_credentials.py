"""Passwords that are rotated while worker, monitor and verify --watch run: each goes on with the new ones.

The role's own timeouts are as short as an administrator may set them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
import urllib3

from devstack.stack import Stack
from testbed.replays import Command
from testbed.universe import Universe, wait_for
from testbed.workload import Workload
from tests.site import free_port

pytestmark = [pytest.mark.stack, pytest.mark.long]

ROLE, PASSWORD = "rotated", "SCORESTREAM_CLICKHOUSE_PASSWORD"
TIMEOUTS = ("statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout")


@pytest.fixture
def universe(stack: Stack, tmp_path: Path) -> Iterator[Universe]:
    with Universe(stack.env(), tmp_path) as made:
        made.set_up()
        yield made


@contextmanager
def role(universe: Universe) -> Iterator[None]:
    """A role with the rights of the stack's reader, in `universe.env` by a file of its password."""
    file = universe.folder / "postgres-password"
    file.write_text("one")
    dsn = universe.env["SCORESTREAM_POSTGRES_DSN"].replace("scorestream_reader@", f"{ROLE}@")
    own = {"SCORESTREAM_POSTGRES_DSN": dsn, "SCORESTREAM_POSTGRES_PASSWORD_FILE": str(file)}
    with universe.postgres() as connection, mock.patch.dict(universe.env, own):
        del universe.env["SCORESTREAM_POSTGRES_PASSWORD"]
        connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'one' IN ROLE scorestream_reader")
        for name in TIMEOUTS:
            connection.execute(f"ALTER ROLE {ROLE} SET {name} = '1s'")
        yield
        connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")
        connection.execute(f"DROP ROLE {ROLE}")


def rotate_postgres(universe: Universe) -> None:
    """The server's password first, and a moment later the file; no session stays."""
    with universe.postgres() as connection:
        connection.execute(f"ALTER ROLE {ROLE} PASSWORD 'two'")
        connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")
    (universe.folder / "postgres-password").write_text("two")


@contextmanager
def shards_password(stack: Stack, password: str) -> Iterator[None]:
    """Both shards take this password alone, from the block on; at its end the stack's own again."""
    own = stack.site.passwords["scorestream"]

    def take(taken: str) -> None:
        stack.site.passwords["scorestream"] = taken
        for name in ("clickhouse-0", "clickhouse-1"):
            stack.stop(name)
            stack.start(name)

    try:
        take(password)
        yield
    finally:
        take(own)


def equal(universe: Universe, password: str) -> None:
    """Wait until both stores are equal; the oracle has this password of ClickHouse."""
    with mock.patch.dict(universe.env, {PASSWORD: password}):
        universe.wait_until_equal()


def slot_answers(universe: Universe) -> bool:
    url = f"http://127.0.0.1:{universe.env['SCORESTREAM_MONITOR_PORT']}/api/state"
    found = urllib3.request("GET", url, retries=False, timeout=5).json()
    return not {each["id"] for each in found["findings"]} & {"postgres-unreachable", "shard-down"}


def test_rotated_passwords_and_short_timeouts_stop_no_process(universe: Universe, stack: Stack) -> None:
    first = universe.env[PASSWORD]
    secret = universe.folder / "clickhouse-password"
    secret.write_text(first)
    universe.env |= {"SCORESTREAM_MONITOR_PORT": str(free_port()), f"{PASSWORD}_FILE": str(secret)}
    with universe.postgres() as connection, role(universe):
        workload = Workload(connection, seed=91)
        workload.add(20)
        with mock.patch.dict(universe.env):
            del universe.env[PASSWORD]
            worker, monitor = universe.start_worker(), Command(universe, "monitor")
            watch = Command(universe, "verify", "--watch", "1s", SCORESTREAM_WEB_PORT="0")
        try:
            # given a worker, a monitor and a comparison again and again, which hold idle sessions and snapshots
            equal(universe, first)
            wait_for("a comparison is clean", lambda: "verify: clean" in watch.tail())
            wait_for("the monitor is content", lambda: slot_answers(universe), deadline_s=30)
            # when both passwords are rotated
            rotate_postgres(universe)
            with shards_password(stack, "two"):
                secret.write_text("two")
                for _ in range(40):
                    workload.change()
                # then everything goes on in the same processes
                equal(universe, "two")
                before = watch.log.read_text("utf-8").count("verify: clean")
                wait_for("comparisons go on", lambda: watch.log.read_text("utf-8").count("verify: clean") > before + 1)
                wait_for("the monitor is content", lambda: slot_answers(universe), deadline_s=30)
                assert worker.alive(), worker.log_tail()
                assert [each.process.poll() for each in (monitor, watch)] == [None, None], watch.tail()
                assert [worker.stop(), monitor.stop(), watch.stop()] == [0, 0, 0]
        finally:
            worker.kill()
            for each in (monitor, watch):
                each.__exit__()
