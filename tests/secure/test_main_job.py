"""The main job over TLS, with passwords, with certificates, and with no more permissions than `topics acls` names."""

from __future__ import annotations

import json

import psutil
import pytest

from devstack.oidc import TokenEndpoint
from devstack.stack import Stack
from testbed.universe import wait_for
from testbed.workload import Workload
from tests.secure.site import SecuredUniverse

pytestmark = pytest.mark.stack


def command_lines() -> str:
    """The arguments of every process of this machine that may be read."""
    return "\n".join(" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))


@pytest.mark.parametrize("login", ["password", "certificate", "token"])
def test_every_command_does_its_work_and_tells_no_secret(
    universe: SecuredUniverse, secured: Stack, tokens: TokenEndpoint, login: str
) -> None:
    # given a user of the brokers who logs in by password, certificate or token, and rows in Postgres
    chosen = {
        "certificate": universe.by_certificate(universe.tls.client, universe.tls.client_key),
        "token": universe.by_token(tokens),
    }.get(login, {})
    universe.env = {name: value for name, value in (universe.env | chosen).items() if value is not None}
    universe.set_up()
    with universe.postgres() as connection:
        workload = Workload(connection, seed=1)
        workload.add(200)
        # when the worker runs, with changes, then ClickHouse is equal to Postgres
        with universe.worker() as worker:
            universe.wait_until_equal()
            for _ in range(200):
                workload.change()
            universe.wait_until_equal()
            # and what watches, compares and replays does its work, too
            assert json.loads(universe.done("lag", "--json", "--no-monitor"))["freshness"]["seconds"] is not None
            universe.done("verify")
            universe.done("replay", "start", "again", "--json")
            universe.done("backfill", "start", "--name", "b", "--window", "none")
            universe.done("dead-letters", "list")
            wait_for("doctor finds nothing wrong", lambda: universe.call("doctor")[0] == 0, deadline_s=30)
            universe.wait_until_equal()
            lines = command_lines()
        # and no password is in any output, log or argument
        heard = "\n".join([*universe.said, worker.log.read_text("utf-8"), lines])
        secrets = {**secured.site.passwords, "token": tokens.secret}
        assert [name for name, value in secrets.items() if value in heard] == []
    # and a token was asked for by both Kafka clients
    assert (tokens.given > 1) == (login == "token")


def test_a_monitor_needs_no_permission_to_change_anything(universe: SecuredUniverse) -> None:
    # given an installation, and a user (of the client's certificate) who may only read
    universe.set_up()
    reader = universe.by_certificate(universe.tls.client, universe.tls.client_key)
    # when the reading commands run as that user, then each does its work
    for command in (("lag", "--json"), ("status",), ("verify",), ("topics", "list")):
        code, printed, said = universe.call(*command, **reader)
        assert code in (0, 1, 3), (command, printed, said)
        assert "uthorization" not in printed + said, command
