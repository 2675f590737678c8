"""`--installation` on the real stack: the settings come from the file alone, and no command acts for another one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.stack import Stack
from stream.kafka.announcement import SESSION_S
from testbed.universe import Universe, wait_for
from testbed.workload import Workload

pytestmark = [pytest.mark.stack, pytest.mark.long]

SECTIONS = {
    "kafka": ("bootstrap_servers", "topic_prefix", "group"),
    "postgres": ("dsn", "slot"),
    "clickhouse": ("shards", "user", "database"),
    "connect": ("url", "connector"),
}


@pytest.fixture
def universe(stack: Stack, tmp_path: Path) -> Iterator[Universe]:
    with Universe(stack.env(), tmp_path) as made:
        made.set_up()
        with made.postgres() as connection:
            Workload(connection, seed=16).add(20)
        yield made


def table(name: str, env: dict[str, str], *, cluster: str) -> str:
    """An installation's tables in the file."""
    lines = [f'[{name}]\ncluster = "{cluster}"']
    for section, keys in SECTIONS.items():
        lines.append(f"[{name}.{section}]")
        lines += [f'{key} = "{env[f"SCORESTREAM_{section}_{key}".upper()]}"' for key in keys]
        if (password := f"SCORESTREAM_{section}_PASSWORD".upper()) in env:
            lines.append(f'password_env = "BASTION_{password}"')
    return "\n".join(lines) + "\n"


def bastion(universe: Universe, file: Path) -> dict[str, str | None]:
    """The variables of a host that has no settings of its own, only the file and the passwords that it names."""
    passwords = {f"BASTION_{name}": value for name, value in universe.env.items() if name.endswith("_PASSWORD")}
    nothing: dict[str, str | None] = {name: None for name in universe.env if name.startswith("SCORESTREAM_")}
    return nothing | passwords | {"SCORESTREAM_INSTALLATIONS": str(file)}


def test_a_command_acts_for_the_installation_that_it_names_and_for_no_other(universe: Universe, tmp_path: Path) -> None:
    # given a file with this installation, and with one of its name whose Kafka cluster is another
    cluster = json.loads(universe.done("replay", "list", "--json") or "[]")
    assert cluster == []
    own = json.loads(universe.call("lag", "--no-monitor", "--json")[1])["installation"]["cluster"]
    file = tmp_path / "installations.toml"
    file.write_text(table("eu-1", universe.env, cluster=own) + table("us-1", universe.env, cluster="B"), "utf-8")
    env = bastion(universe, file)
    with universe.worker():
        universe.wait_until_equal()
        # when commands name it, then they act with its settings, also in the processes that they start
        code, printed, said = universe.call("replay", "start", "again", "--installation", "eu-1", "--json", **env)
        assert code == 0, (printed, said)
        facts = json.loads(printed)
        assert (facts["state"], facts["installation"]["name"], facts["installation"]["cluster"]) == (
            "done",
            "eu-1",
            own,
        )
        code, printed, said = universe.call("lag", "--installation", "eu-1", "--customers", "--json", **env)
        assert code == 0, said
        found = json.loads(printed)
        assert (found["name"], found["installation"]["clickhouse"]) == ("eu-1", universe.name)
        # and for the other one they refuse, before they change anything
        for command in (("lag", "--json"), ("replay", "start", "other"), ("replay", "list"), ("verify",)):
            code, printed, said = universe.call(*command, "--installation", "us-1", **env)
            assert (code, printed) == (2, ""), (command, printed, said)
            assert f"{own}, not B" in said, said
    names = [each["name"] for each in json.loads(universe.done("replay", "list", "--json"))]
    assert names == ["again"]


def test_a_worker_on_a_free_port_is_in_the_table_without_configuration_and_leaves_it_after_a_kill(
    universe: Universe,
) -> None:
    def processes() -> list[tuple[int, bool]]:
        found = json.loads(universe.done("lag", "--no-monitor", "--json"))["processes"]
        return [(each["pid"], each["up"]) for each in found]

    # given a worker that nobody has listed
    worker = universe.start_worker()
    try:
        assert os.environ.get("SCORESTREAM_MONITOR_PROCESSES") is None
        wait_for("it is found", lambda: (worker.pid, True) in processes(), deadline_s=60, every_s=1)
    finally:
        worker.kill()
    # when it was killed, then the brokers forget it
    killed = time.monotonic()
    wait_for("it is gone", lambda: worker.pid not in [pid for pid, _ in processes()], deadline_s=60, every_s=1)
    assert time.monotonic() - killed < SESSION_S + 30
