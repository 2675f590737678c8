"""The guides' own commands, on a real stack: what a newcomer types, in the order of the page."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.universe import ROOT, SCORESTREAM, Universe, _with_database, wait_for
from testbed.workload import Workload

pytestmark = pytest.mark.stack

GUIDES = ROOT / "docs" / "guides"
# The fixtures have done these: the stack runs, its settings are in the environment.
_DONE_ALREADY = ("make ", ". .devstack/env", ". .venv/bin/activate")
_BLOCK = re.compile(r"^ *```console\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def universe(stack_env: dict[str, str], tmp_path: Path) -> Iterator[Universe]:
    with Universe(stack_env, tmp_path) as made:
        yield made


def lines(guide: str) -> list[str]:
    """The commands of a guide's console blocks."""
    text = (GUIDES / guide).read_text("utf-8")
    found = [line for block in _BLOCK.findall(text) for line in re.findall(r"^ *\$ (.*)$", block, re.MULTILINE)]
    return [line for line in found if not line.startswith(_DONE_ALREADY)]


def typed(universe: Universe, commands: list[str]) -> str:
    """The output of a shell that runs the commands one after another, each echoed before its output."""
    script = "\n".join(
        ["set -e -o pipefail -m", *(f"printf '%s\\n' {shell_quoted(each)}\n{each}" for each in commands)]
    )
    env = universe.env | {
        "PATH": f"{SCORESTREAM.parent}:{os.environ['PATH']}",
        "DEVSTACK_POSTGRES_URL": universe.url,
    }
    seen = universe.folder / "typed.log"  # a pipe would stay open as long as anything in the background
    with seen.open("w") as out:
        shell = subprocess.Popen(["bash", "-c", script], env=env, stdout=out, stderr=out, start_new_session=True)
        try:
            shell.wait(timeout=240)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the guide did not end:\n{seen.read_text('utf-8')}") from None
        finally:
            end_session(shell)
    printed = seen.read_text("utf-8")
    assert shell.returncode == 0, printed
    return printed


def end_session(shell: subprocess.Popen[bytes]) -> None:
    """Kill what the shell has left, also in the background."""
    for pid in (int(each) for each in os.listdir("/proc") if each.isdecimal()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == shell.pid:
                os.kill(pid, signal.SIGKILL)
    shell.wait(timeout=10)


def shell_quoted(text: str) -> str:
    return "'$ " + text.replace("'", "'\\''") + "'"


def test_the_first_hour_goes_as_its_guide_says(universe: Universe) -> None:
    # when its commands are typed in order, up to the end of the worker
    printed = typed(universe, [*lines("first-hour.md"), "wait"])

    # then the scorecard is seen in ClickHouse, and as an appeal no more
    explained = printed.split("$ scorestream explain ")
    assert "Indexed: on shard" in explained[1]
    assert "An appeal (scorecard_type 2, request)" in explained[2]
    assert "$ scorestream lag" in printed


# The commands for a system without rows and without a person who waits.
_RUNS = re.compile(r" (audit|doctor|lag|list|status|config|verify|reindex)\b|--dry-run")
_NOT_HERE = re.compile(r"--watch|status (june|NAME)|kubectl|docker|backfill status")


@pytest.mark.long
@pytest.mark.parametrize("guide", ["operate.md", "verify.md", "upgrade.md"])
def test_the_commands_of_a_guide_work_on_an_idle_system(universe: Universe, guide: str) -> None:
    # given a system that is set up, with its worker
    universe.set_up()
    with universe.worker():
        wait_for("the worker has joined", lambda: universe.call("doctor", "--only", "processes")[0] == 0)
        # when the guide's commands are typed
        chosen = [each for each in lines(guide) if _RUNS.search(each) and not _NOT_HERE.search(each)]
        printed = typed(universe, chosen)

    # then each was run
    assert [each for each in chosen if f"$ {each}" in printed] == chosen
    assert chosen


def with_waits(commands: list[str], status: str) -> list[str]:
    """The commands, with a wait behind each that goes on in the background: a person looks before typing on."""
    found: list[str] = []
    for each in commands:
        found.append(each)
        if each.endswith("&") and (name := re.search(r"(?:start --name|start|resume) (\w+)", each)):
            seen = f'{status} {name[1]} --json 2>/dev/null | grep -q \'"state": "running"\''
            found.append(f"for try in $(seq 100); do {seen} && break; sleep 0.2; done")
    return found


@pytest.mark.long
def test_the_replay_guide_goes_as_it_says(universe: Universe) -> None:
    # given a log with changes of every kind, and a worker that has read it
    universe.set_up()
    with universe.postgres() as connection, universe.worker():
        workload = Workload(connection, seed=41)
        workload.add(150)
        for _ in range(100):
            workload.change()
        universe.wait_until_equal()
        # when the guide's commands are typed, up to the rewind, which needs a group without members
        commands = [each.replace("acme", "propel") for each in lines("replay.md") if "rewind" not in each]
        printed = typed(universe, with_waits(commands, "scorestream replay status"))
        # then all went, the old tables are dropped, and what readers see is still right
        assert [each for each in commands if f"$ {each}" not in printed] == []
        assert universe.differences() == []

    # and the live group's offsets are moved when its worker has ended
    assert "--yes" in typed(universe, [each for each in lines("replay.md") if "rewind" in each])


@pytest.mark.long
def test_the_backfill_guide_goes_as_it_says(universe: Universe) -> None:
    # given rows that live has indexed
    universe.env["SCORESTREAM_BACKFILL_DSN"] = _with_database(universe.env["SCORESTREAM_BACKFILL_DSN"], universe.name)
    document = json.loads(universe.connector_file.read_text("utf-8"))
    document["config"]["incremental.snapshot.chunk.size"] = "32"  # or a pause would find nothing left to pause
    universe.connector_file.write_text(json.dumps(document), "utf-8")
    universe.set_up()
    with universe.postgres() as connection, universe.worker():
        Workload(connection, seed=42).add(400)
        universe.wait_until_equal()
        # when the guide's commands are typed
        commands = [*(each.replace("acme", "propel") for each in lines("backfill.md")), "wait"]
        printed = typed(universe, with_waits(commands, "scorestream backfill status"))
        # then all went, and reading again changed nothing
        assert [each for each in commands if f"$ {each}" not in printed] == []
        universe.wait_until_equal()
