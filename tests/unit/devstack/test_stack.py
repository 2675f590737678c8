"""The local stack: processes, ports, settings, and one part from start to end. No Java here."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from devstack import jars
from devstack.__main__ import main
from devstack.parts.base import NotReady, Part
from devstack.parts.postgres import is_attached, shared_memory
from devstack.ports import ports
from devstack.process import PartFailed, Process, wait_until
from devstack.stack import Stack
from stream import config


def process(folder: Path) -> Process:
    return Process(name="p", pid_file=folder / "run" / "p.pid", log=folder / "log" / "p.log")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def until_log(of: Process, text: str) -> None:
    assert wait_until(lambda: text in of.log_tail(), timeout_s=20), of.log_tail()


SLEEPER = python("import time; print('asleep', flush=True); time.sleep(60)")
STUBBORN = python(
    "import signal, subprocess, sys, time; signal.signal(15, signal.SIG_IGN);"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print(child.pid, flush=True); time.sleep(60)"
)


def test_a_process_is_known_by_its_pid_file(tmp_path: Path) -> None:
    # given
    ours = process(tmp_path)
    assert (ours.pid(), ours.was_started()) == (None, False)
    pid = ours.spawn(SLEEPER, os.environ)
    # then: in a session of its own, its output in the log, seen by any other command
    until_log(ours, "asleep")
    assert os.getsid(pid) == pid
    assert process(tmp_path).pid() == pid
    # when / then: killed = died; stopped = stopped
    ours.kill()
    assert (ours.pid(), ours.was_started()) == (None, True)
    ours.stop(signal.SIGTERM, timeout_s=5)
    assert not ours.was_started()


def test_a_pid_that_belongs_to_a_stranger_is_left_alone(tmp_path: Path) -> None:
    # given: a pid file whose pid was given to another process since
    stranger, ours = process(tmp_path / "a"), process(tmp_path / "b")
    pid = stranger.spawn(SLEEPER, os.environ)
    ours.pid_file.parent.mkdir(parents=True)
    ours.pid_file.write_text(json.dumps({"pid": pid, "created": psutil.Process(pid).create_time() - 1_000}))
    # when
    assert ours.pid() is None
    ours.stop(signal.SIGKILL, timeout_s=1)
    ours.kill()
    # then
    assert stranger.pid() == pid
    stranger.stop(signal.SIGKILL, timeout_s=5)


def test_a_process_that_does_not_stop_is_killed_with_its_children(tmp_path: Path) -> None:
    ours = process(tmp_path)
    ours.spawn(STUBBORN, os.environ)
    assert wait_until(lambda: ours.log_tail().strip().isdigit(), timeout_s=20)
    child = int(ours.log_tail())
    ours.stop(signal.SIGTERM, timeout_s=0.3)
    # then: both are gone when it returns, with what they held
    assert ours.pid() is None
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_block_of_shared_memory_is_waited_for_while_a_backend_has_it(tmp_path: Path) -> None:
    # given: the lock of a server that was killed, and the kernel's table
    lock, table = tmp_path / "postmaster.pid", tmp_path / "shm"
    lock.write_text("4711\n/data\n1700000000\n5432\n\n127.0.0.1\n  9978019        15\nready\n")
    table.write_text("key shmid perms size cpid lpid nattch\n9978019 15 600 56 1 2 1\n5464257 26 600 56 1 2 0\n")
    # then
    assert shared_memory(lock) == "15"
    assert is_attached("15", table)
    assert not is_attached("26", table)
    assert not is_attached("99", table)
    assert not is_attached(None, table)
    assert shared_memory(tmp_path / "none") is None


def test_ports_are_chosen_once_and_can_be_fixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ports(tmp_path / "ports.json", ["postgres", "kafka"])
    assert len(set(first.values())) == 2
    assert ports(tmp_path / "ports.json", ["postgres", "kafka"]) == first
    monkeypatch.setenv("DEVSTACK_CLICKHOUSE_0_PORT", "12345")
    grown = ports(tmp_path / "ports.json", ["postgres", "clickhouse-0"])
    assert grown == first | {"clickhouse-0": 12345}


def test_the_settings_are_settings_of_scorestream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    stack, other = Stack(tmp_path / "one"), Stack(tmp_path / "two")
    # when
    for name, value in stack.env().items():
        monkeypatch.setenv(name, value)
    settings = config.load()  # refuses names that it does not know
    # then
    assert len(settings.clickhouse.shards) == 2
    assert settings.clickhouse.password.get_secret_value() != ""
    assert settings.postgres.password is not None
    assert settings.postgres.password.get_secret_value() not in settings.postgres.dsn
    # another folder is another stack, and sourcing the env of one does not fix the ports of the next
    assert not set(stack.site.ports.values()) & set(other.site.ports.values())
    assert not [name for name in stack.env() if name.startswith("DEVSTACK_") and name.endswith("_PORT")]
    assert (tmp_path / "one" / "passwords.json").stat().st_mode & 0o077 == 0


def test_a_cluster_is_chosen_when_the_stack_is_made(tmp_path: Path) -> None:
    # given / when
    stack = Stack(tmp_path, brokers=3, connect_workers=2)
    env = stack.env()
    # then: every part has a name, and the settings name all of them
    assert [name for name in stack.parts if name.startswith(("kafka", "connect"))] == [
        "kafka", "kafka-2", "kafka-3", "connect", "connect-2",
    ]  # fmt: skip
    servers = {f"127.0.0.1:{stack.site.ports[name]}" for name in ("kafka", "kafka-2", "kafka-3")}
    assert set(env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"].split(",")) == servers
    assert env["SCORESTREAM_CONNECT_URL"].count("http://") == 2
    # and every other command finds them, and cannot have another number
    assert Stack(tmp_path).parts.keys() == stack.parts.keys()
    with pytest.raises(PartFailed, match="kafka: the stack was made with 3, not 1"):
        Stack(tmp_path, brokers=1)


class Failing(Part):
    """A part that says why, and dies."""

    def command(self) -> tuple[list[str], dict[str, str]]:
        return python("import sys; sys.exit('no room for me')"), dict(os.environ)

    def probe(self) -> None:
        raise NotReady("nobody there")


class Silent(Failing):
    """A part that lives and never answers."""

    ready_timeout_s = 0.5

    def command(self) -> tuple[list[str], dict[str, str]]:
        return SLEEPER, dict(os.environ)


@pytest.mark.parametrize(("kind", "words"), [(Failing, "kafka died"), (Silent, "kafka does not answer after")])
def test_a_part_that_fails_is_named_with_the_end_of_its_log(tmp_path: Path, kind: type[Part], words: str) -> None:
    stack = Stack(tmp_path)
    stack.parts["kafka"] = kind("kafka", stack.site)
    with pytest.raises(PartFailed, match=words) as raised:
        stack.up(["kafka"])
    assert ("no room for me" if kind is Failing else "nobody there") in str(raised.value)
    stack.clean()
    assert not tmp_path.exists() or not any(tmp_path.iterdir())


def test_unknown_parts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PartFailed, match=r"no part 'zookeeper'; there are postgres, kafka, connect, clickhouse-0"):
        Stack(tmp_path).up(["zookeeper"])


def test_a_port_in_use_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("DEVSTACK_CLICKHOUSE_0_PORT", str(taken.getsockname()[1]))
        stack = Stack(tmp_path)
        with pytest.raises(PartFailed, match=r"clickhouse-0: port [0-9]+ is in use by another program"):
            stack.up(["clickhouse-0"])
        stack.clean()


def test_postgres_from_start_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # given
    folder = tmp_path / "a stack"
    stack = Stack(folder)
    stack.up(["postgres"])
    env = stack.env()
    assert (folder / "env").stat().st_mode & 0o077 == 0
    with psycopg.connect(env["DEVSTACK_POSTGRES_URL"]) as connection:
        assert connection.execute("SHOW wal_level").fetchone() == ("logical",)
        connection.execute("INSERT INTO app.chats VALUES ('c', 'acme')")
    # the reader of the settings may read, and no more
    with psycopg.connect(
        env["SCORESTREAM_POSTGRES_DSN"], password=env["SCORESTREAM_POSTGRES_PASSWORD"], autocommit=True
    ) as connection:
        assert connection.execute("SELECT count(*) FROM app.chats").fetchone() == (1,)
        with pytest.raises(psycopg.Error):
            connection.execute("DELETE FROM app.chats")
    # when it is killed, status says so ...
    pid = stack.pid("postgres")
    stack.kill("postgres")
    assert not stack.alive("postgres")
    monkeypatch.setattr(sys, "argv", ["devstack", "status", "--dir", str(folder)])
    assert main() == 1
    assert "postgres died; the end of its log" in capsys.readouterr().err
    # ... and up starts it again, with its data
    Stack(folder).up(["postgres"])
    assert stack.pid("postgres") not in (None, pid)
    again = stack.pid("postgres")
    Stack(folder).up(["postgres"])
    assert stack.pid("postgres") == again
    with psycopg.connect(env["DEVSTACK_POSTGRES_URL"]) as connection:
        assert connection.execute("SELECT count(*) FROM app.chats").fetchone() == (1,)
    # then
    stack.down(["postgres"])
    assert stack.status()[0].state == "stopped"
    stack.clean()
    assert not folder.exists()


def test_jars_are_fetched_once_for_a_pom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given: a Maven that counts
    fake = tmp_path / "bin" / "mvn"
    fake.parent.mkdir()
    copy = "for a; do case $a in -DoutputDirectory=*) touch ${a#*=}/k.jar;; esac; done"
    fake.write_text(f"#!/bin/sh\necho x >> {tmp_path}/calls\n{copy}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DEVSTACK_JARS", raising=False)
    # when
    folder = jars.jars()
    assert jars.jars() == folder
    # then
    assert [path.name for path in folder.iterdir()] == ["k.jar"]
    assert (tmp_path / "calls").read_text() == "x\n"
    assert [path.name for path in folder.parent.glob("jars-*")] == [folder.name]
    # a failing Maven is said, with its words, and leaves nothing behind
    fake.write_text("#!/bin/sh\necho no route; exit 1\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    with pytest.raises(PartFailed, match="no route"):
        jars.jars()
    assert list((tmp_path / "other" / "scorestream").glob("jars-*")) == []
